//! `gatefold bench show`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::output::OutputArgs;
use crate::error::Result;

/// Arguments of `bench show`.
#[derive(Args)]
pub(super) struct ShowArgs {
    /// A report, of `gatefold bench --json`
    #[arg(value_name = "REPORT")]
    report: PathBuf,

    #[command(flatten)]
    output: OutputArgs,
}

pub(super) fn run(args: &ShowArgs) -> Result<ExitCode> {
    args.output.write(&super::compare::report(&args.report)?)?;
    Ok(ExitCode::SUCCESS)
}
