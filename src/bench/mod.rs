//! Measurement: workloads, repetitions until the figure is steady, and what a run costs.
//!
//! Nothing here is a test: results are compared elsewhere, and no test waits for a speed.

mod end_to_end;
mod sample;
mod workload;

pub use end_to_end::{Job, Measured, measure};
pub use sample::{Budget, Sample};
pub use workload::Workload;
