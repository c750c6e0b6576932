//! Our kernels and files, read by other people's crates.
//!
//! A package of its own: these crates ask for features of naga, hashbrown and more that the program does without. As
//! dependencies of the program's own tests they would make every example build wgpu once more.

mod files;
#[path = "../all/report.rs"]
mod report;
mod translation;
#[path = "../all/house/wgsl.rs"]
mod wgsl;

fn main() {
    let arguments = libtest_mimic::Arguments::from_args();
    let mut trials = translation::trials();
    trials.extend(files::trials());
    libtest_mimic::run(&arguments, trials).exit();
}
