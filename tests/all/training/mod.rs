//! Training: gradients, optimisers, trajectories, and small models that learn.

pub mod finite_differences;
mod gradients;
mod learning;
mod step_gradients;
mod training_ops;
mod trajectories;

use libtest_mimic::Trial;

pub fn trials() -> Vec<Trial> {
    [
        finite_differences::trials(),
        gradients::trials(),
        trajectories::trials(),
        learning::trials(),
        step_gradients::trials(),
        training_ops::trials(),
    ]
    .into_iter()
    .flatten()
    .collect()
}
