//! `gatefold bench compare` and `gatefold bench ratios`.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use crate::bench::compare::compare;
use crate::bench::peers;
use crate::bench::report::Report;
use crate::error::{Error, Result};

/// Arguments of `bench compare`.
#[derive(Args)]
pub(super) struct CompareArgs {
    /// The older report, of `gatefold bench --json`
    #[arg(value_name = "BEFORE")]
    before: PathBuf,

    /// The newer one
    #[arg(value_name = "AFTER")]
    after: PathBuf,

    /// A smaller change of a median than this is none, in percent
    #[arg(long, value_name = "PERCENT", default_value_t = 2.0, value_parser = percent)]
    threshold: f64,
}

/// Arguments of `bench ratios`.
#[derive(Args)]
pub(super) struct RatiosArgs {
    /// Lines of JSON from `gatefold bench --format lines` and from other programs; `-` is standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

fn percent(text: &str) -> std::result::Result<f64, String> {
    match text.parse::<f64>() {
        Ok(percent) if (0.0..=1000.0).contains(&percent) => Ok(percent),
        _ => Err("expected percent, from 0 to 1000".into()),
    }
}

pub(super) fn run(args: &CompareArgs) -> Result<ExitCode> {
    let (before, after) = (report(&args.before)?, report(&args.after)?);
    let comparison = compare(&before, &after, args.threshold / 100.0);
    crate::cli::print(&comparison.text())?;
    if comparison.lines.is_empty() {
        return Err(Error::Usage("the reports have no figure in common".into()));
    }
    Ok(if comparison.any_slower() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

pub(super) fn run_ratios(args: &RatiosArgs) -> Result<ExitCode> {
    let wrong = |why| Error::Usage(format!("{}: {why}", args.file.display()));
    let text = String::from_utf8(read(&args.file)?).map_err(|e| wrong(e.to_string()))?;
    crate::cli::print(&peers::table(&text).map_err(wrong)?)?;
    Ok(ExitCode::SUCCESS)
}

/// A saved report.
pub(super) fn report(path: &Path) -> Result<Report> {
    Report::from_json(&read(path)?).map_err(|why| Error::Usage(format!("{}: {why}", path.display())))
}

fn read(path: &Path) -> Result<Vec<u8>> {
    let failed = |source| Error::Io { context: path.display().to_string(), source };
    if path.as_os_str() != "-" {
        return std::fs::read(path).map_err(failed);
    }
    let mut bytes = Vec::new();
    std::io::stdin().lock().read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}
