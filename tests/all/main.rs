//! All tests that need devices or data: one process, one shared device an adapter, one trial a case.
//!
//! A trial that finds no adapter reports itself as ignored, with the reason; with GATEFOLD_GPU=required it fails.
//! The folders say what is tested; what lies beside this file helps all of them.

mod context;
mod generate;
mod house;
mod imports;
mod kernels;
mod program;
mod references;
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
    trials.extend(house::trials());
    trials.extend(kernels::trials());
    trials.extend(references::trials());
    trials.extend(training::trials());
    trials.extend(generate::trials());
    trials.extend(imports::trials());
    trials.extend(program::trials());
    libtest_mimic::run(&arguments, trials).exit();
}
