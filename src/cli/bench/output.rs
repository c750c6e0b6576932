//! Where a report goes, and in which form.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use clap::{Args, ValueEnum};

use crate::bench::plot::pictures;
use crate::bench::render::{Format, render};
use crate::bench::report::{Machine, Report};
use crate::error::{Error, Result};
use crate::host::{self, Device};

/// The form of a report.
#[derive(Args)]
pub(super) struct OutputArgs {
    /// The report's form
    #[arg(long, value_name = "FORM", value_enum, default_value_t = OutputFormat::Text)]
    format: OutputFormat,

    /// The same as --format json: all that was measured, for `bench compare` and `bench show`
    #[arg(long, conflicts_with = "format")]
    json: bool,

    /// Write pictures (SVG) into this folder: kernels below the device's limits, tokens a second against the batch
    #[arg(long, value_name = "DIR")]
    plot: Option<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
enum OutputFormat {
    Text,
    Markdown,
    Csv,
    Json,
    /// A JSON object a line for each job, as peers' scripts print them
    Lines,
}

impl OutputArgs {
    /// Prints a report and draws its pictures.
    pub fn write(&self, report: &Report) -> Result<()> {
        let format = match self.format {
            _ if self.json => Format::Json,
            OutputFormat::Text => Format::Text,
            OutputFormat::Markdown => Format::Markdown,
            OutputFormat::Csv => Format::Csv,
            OutputFormat::Json => Format::Json,
            OutputFormat::Lines => Format::Lines,
        };
        if let Some(folder) = &self.plot {
            draw(report, folder)?;
        }
        crate::cli::print(&render(report, format))?;
        Ok(())
    }
}

fn draw(report: &Report, folder: &Path) -> Result<()> {
    let failed = |path: &Path, source| Error::Io { context: path.display().to_string(), source };
    let pictures = pictures(report)?;
    if pictures.is_empty() {
        crate::cli::say("--plot: there is nothing to draw: kernels with limits, or a job at several --batch sizes");
        return Ok(());
    }
    std::fs::create_dir_all(folder).map_err(|e| failed(folder, e))?;
    for (name, svg) in pictures {
        let path = folder.join(name);
        std::fs::write(&path, svg).map_err(|e| failed(&path, e))?;
        crate::cli::say(&format!("wrote {}", path.display()));
    }
    Ok(())
}

/// A report without a measurement yet.
pub(super) fn empty(device: &Device) -> Report {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
    let (backend, driver, software, timestamps, name) = match device {
        Device::Cpu(_) => ("cpu".into(), String::new(), false, false, device.name()),
        Device::Gpu(gpu) => (
            gpu.info.backend.clone(),
            gpu.info.driver.clone(),
            gpu.is_software(),
            gpu.has_timestamps(),
            gpu.info.name.clone(),
        ),
    };
    let machine = Machine {
        device: name,
        backend,
        driver,
        software,
        timestamps,
        cpu: host::cpu_name(),
        threads: std::thread::available_parallelism().map_or(1, usize::from),
        system: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
    };
    let mut report = Report {
        gatefold: env!("CARGO_PKG_VERSION").into(),
        date: crate::bench::date(now),
        machine,
        ..Default::default()
    };
    if cfg!(debug_assertions) {
        report.warnings.push("this program was built without optimisation (cargo build --release)".into());
    }
    report
}
