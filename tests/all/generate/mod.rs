//! Generation: draws, the scheduler, and equal bits in any batch.

mod bits;
mod generation;
mod sampling;

use libtest_mimic::Trial;

pub fn trials() -> Vec<Trial> {
    [sampling::trials(), bits::trials(), generation::trials()].into_iter().flatten().collect()
}
