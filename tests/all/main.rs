//! All tests that need devices or data: one process, one shared device an adapter, one trial a case.
//!
//! A trial that finds no adapter reports itself as ignored, with the reason; with GATEFOLD_GPU=required it fails.

mod arrows;
mod batches;
mod bench;
mod bits;
mod browser;
mod cases;
mod cell_gradients;
mod command_line;
mod context;
mod default_model;
mod execution;
mod finite_differences;
mod generation;
mod gradients;
mod imported_models;
mod keras;
mod learning;
mod limits;
mod model_folders;
mod onnx;
mod reference_values;
mod safetensor_file;
mod sampling;
mod self_tests;
mod shared;
mod stacks;
mod step_gradients;
mod structure;
mod texts;
mod training_ops;
mod training_run;
mod trajectories;
mod translation;
mod vectors;

fn main() {
    let arguments = libtest_mimic::Arguments::from_args();
    let mut trials = Vec::new();
    trials.extend(structure::trials());
    trials.extend(arrows::trials());
    trials.extend(shared::trials());
    trials.extend(translation::trials());
    trials.extend(cases::trials());
    trials.extend(browser::trials());
    trials.extend(finite_differences::trials());
    trials.extend(gradients::trials());
    trials.extend(reference_values::trials());
    trials.extend(vectors::trials());
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
    trials.extend(bench::trials());
    trials.extend(training_run::trials());
    libtest_mimic::run(&arguments, trials).exit();
}
