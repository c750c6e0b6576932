//! The house: what the code may name, how large its files are, and what WGSL and Rust share.

mod arrows;
mod package;
mod shared;
pub mod structure;
pub mod wgsl;

use libtest_mimic::Trial;

pub fn trials() -> Vec<Trial> {
    [structure::trials(), package::trials(), arrows::trials(), shared::trials()].into_iter().flatten().collect()
}
