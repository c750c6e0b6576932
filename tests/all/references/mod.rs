//! Values that PyTorch computed, and what the references make of the same inputs.

mod cell_gradients;
mod encoder_decoders;
mod reference_values;
mod stacks;
pub mod vectors;

use libtest_mimic::Trial;

pub fn trials() -> Vec<Trial> {
    [
        reference_values::trials(),
        vectors::trials(),
        cell_gradients::trials(),
        encoder_decoders::trials(),
        stacks::trials(),
    ]
    .into_iter()
    .flatten()
    .collect()
}
