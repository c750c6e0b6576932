//! All tests that need devices or data: one process, one shared device an adapter, one trial a case.
//!
//! A trial that finds no adapter reports itself as ignored, with the reason; with GATEFOLD_GPU=required it fails.
//! The folders say what is tested; what lies beside this file helps all of them.

mod context;
mod default_model;
mod encoder_decoders;
mod execution;
mod finite_differences;
mod first_training;
mod front;
mod generation;
mod gradients;
mod import_cases;
mod imported_models;
mod keras;
mod learning;
mod limits;
mod model_folders;
mod onnx;
mod package;
mod reference_values;
mod report;
mod safetensor_file;
mod training;

// Tests whose helpers others use, by their short names.
use house::{structure, wgsl};
use program::{bench, command_line, model_folders};
use references::vectors;
use training::finite_differences;

fn main() {
    let arguments = libtest_mimic::Arguments::from_args();
    let mut trials = Vec::new();
    trials.extend(structure::trials());
    trials.extend(package::trials());
    trials.extend(arrows::trials());
    trials.extend(shared::trials());
    trials.extend(cases::trials());
    trials.extend(browser::trials());
    trials.extend(finite_differences::trials());
    trials.extend(gradients::trials());
    trials.extend(reference_values::trials());
    trials.extend(vectors::trials());
    trials.extend(encoder_decoders::trials());
    trials.extend(onnx::trials());
    trials.extend(keras::trials());
    trials.extend(cell_gradients::trials());
    trials.extend(trajectories::trials());
    trials.extend(learning::trials());
    trials.extend(stacks::trials());
    trials.extend(step_gradients::trials());
    trials.extend(execution::trials());
    trials.extend(limits::trials());
    trials.extend(training_ops::trials());
    trials.extend(sampling::trials());
    trials.extend(self_tests::trials());
    trials.extend(bits::trials());
    trials.extend(generation::trials());
    trials.extend(batches::trials());
    trials.extend(default_model::trials());
    trials.extend(command_line::trials());
    trials.extend(model_folders::trials());
    trials.extend(texts::trials());
    trials.extend(imported_models::trials());
    trials.extend(import_cases::trials());
    trials.extend(bench::trials());
    trials.extend(training_run::trials());
    trials.extend(first_training::trials());
    trials.extend(front::trials());
    trials.extend(tour::trials());
    libtest_mimic::run(&arguments, trials).exit();
}
