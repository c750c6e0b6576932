//! The program and the front door, as people call them.

mod batches;
pub mod bench;
pub mod command_line;
mod default_model;
mod first_training;
mod front;
pub mod model_folders;
mod pairs;
mod texts;
mod tour;
mod training_run;

use libtest_mimic::Trial;

pub fn trials() -> Vec<Trial> {
    [
        batches::trials(),
        default_model::trials(),
        command_line::trials(),
        model_folders::trials(),
        texts::trials(),
        bench::trials(),
        training_run::trials(),
        pairs::trials(),
        first_training::trials(),
        front::trials(),
        tour::trials(),
    ]
    .into_iter()
    .flatten()
    .collect()
}
