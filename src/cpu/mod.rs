//! Runs a plan on the CPU, with the ops' fast functions or their references.

mod executor;
mod fast;
mod functions;
mod fuse;
mod lines;
mod pool;

pub use executor::{CpuExecutor, Functions};
pub use functions::{Fast, fast_function};
pub use lines::Lines;
pub use pool::{Pool, Serial};

use crate::plan::{Buffer, ParamWords};

/// The CPU in words, with this many threads.
pub fn name(threads: usize) -> String {
    let s = if threads == 1 { "" } else { "s" };
    format!("CPU ({threads} thread{s})")
}

/// A fast function's view of a run.
pub struct FastArgs<'a> {
    /// Operands in the row's order, row major, without padding. A packed weight's buffer here is empty.
    pub operands: &'a mut [Buffer<f32>],
    /// For each operand its packed form, where [`Fast::layouts`] asks for one.
    pub packed: &'a [Option<&'a [f32]>],
    /// Parameter words, as for a reference.
    pub words: ParamWords,
    /// Where threads come from.
    pub pool: &'a dyn Pool,
    /// Memory that is kept from call to call; its contents mean nothing.
    pub scratch: &'a mut Lines,
}

impl FastArgs<'_> {
    /// The leading parameter words as sizes and offsets.
    pub fn sizes<const N: usize>(&self) -> [usize; N] {
        self.words.sizes()
    }
}
