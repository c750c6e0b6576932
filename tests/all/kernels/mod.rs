//! Kernels and executors: every case of every op, and devices at their limits.

mod browser;
mod cases;
mod execution;
mod limits;
mod self_tests;

use libtest_mimic::Trial;

pub fn trials() -> Vec<Trial> {
    [cases::trials(), browser::trials(), execution::trials(), limits::trials(), self_tests::trials()]
        .into_iter()
        .flatten()
        .collect()
}
