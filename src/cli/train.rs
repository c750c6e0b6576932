//! `gatefold train`.

mod arguments;
mod chart;
mod display;
mod prepare;
mod session;

use std::process::ExitCode;

use crate::error::Result;

pub(super) use arguments::TrainArgs;

pub(super) fn run(args: &TrainArgs) -> Result<ExitCode> {
    match &args.resume {
        Some(folder) => prepare::resumed(args, folder)?.run(),
        None => prepare::new(args)?.run(),
    }
}
