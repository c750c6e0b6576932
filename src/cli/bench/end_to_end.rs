//! `gatefold bench generate`, `gatefold bench score` and `gatefold bench train`.

use std::process::ExitCode;

use clap::Args;

use super::lists::WorkloadArgs;
use super::{CommonArgs, Within, WithinArgs, output, progress};
use crate::bench::end_to_end::{Job, Settings, measure};
use crate::bench::report::Report;
use crate::bench::{Workload, limits};
use crate::error::{Error, Result};
use crate::host::Device;
use crate::ops;

/// Arguments of `bench generate`, `bench score` and `bench train`.
#[derive(Args)]
pub(super) struct EndToEndArgs {
    #[command(flatten)]
    workload: WorkloadArgs,

    /// Another number of tokens of each sequence than the workload's
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=65_536))]
    steps: Option<u32>,

    /// Say which op takes which share of the time
    #[arg(long)]
    profile: bool,

    /// Measure the device's matrix rate, too, and say which share of it is reached
    #[arg(long)]
    share: bool,

    /// Run an op as this variant, as in `matmul=matmul_4x4`; may be given several times
    #[arg(long = "kernel", value_name = "OP=VARIANT", value_parser = forced)]
    forced: Vec<(String, String)>,

    #[command(flatten)]
    within: WithinArgs,

    #[command(flatten)]
    common: CommonArgs,
}

/// The presets, in the order in which they are printed.
pub(super) const PRESETS: [&str; 5] = ["seed", "char", "chargru", "smiles", "single"];
/// Seconds for each job.
pub(super) const SECONDS: f64 = 3.0;

pub(super) fn run(args: &EndToEndArgs, job: Job) -> Result<ExitCode> {
    let within = args.within.start();
    let mut workloads = args.workload.read(&PRESETS)?;
    if let Some(steps) = args.steps {
        workloads.iter_mut().for_each(|workload| workload.steps = steps as usize);
    }
    let device = args.common.open()?;
    if !args.forced.is_empty() && matches!(device, Device::Cpu(_)) {
        return Err(Error::Usage("--kernel: the CPU has one function an op; variants are for GPUs".into()));
    }
    let mut report = output::empty(&device);
    if args.share {
        progress("limits");
        report.limits = Some(limits::measure(&device, args.common.budget(super::kernels::SECONDS))?);
    }
    let (budget, profile, forced) = (args.common.budget(SECONDS), args.profile, args.forced.clone());
    let settings = Settings { budget, profile, forced };
    add_runs(&mut report, &device, &[job], &workloads, &settings, within)?;
    report.add_warnings();
    args.common.output.write(&report)?;
    Ok(ExitCode::SUCCESS)
}

/// Measures jobs on workloads into a report. A workload that the device cannot hold is a warning of the report.
pub(super) fn add_runs(
    report: &mut Report,
    device: &Device,
    jobs: &[Job],
    workloads: &[Workload],
    settings: &Settings,
    within: Within,
) -> Result<()> {
    for job in jobs {
        for workload in workloads {
            if within.is_over() {
                let what = format!("{} {} batch {}", job.name(), workload.name, workload.batch);
                report.warnings.push(format!("{what}: not measured: the time was up"));
                continue;
            }
            progress(&format!("{} {} batch {}", job.name(), workload.name, workload.batch));
            let mut line = match measure(device, *job, workload, settings) {
                Err(why @ (Error::Limit(_) | Error::Memory { .. } | Error::Binding { .. })) => {
                    report.warnings.push(format!("{} {}: not measured: {why}", job.name(), workload.name));
                    continue;
                }
                line => line?,
            };
            let matrix_rate = report.limits.map(|limits| limits.matrix_gflops);
            line.share_of_matrix_rate = matrix_rate.map(|rate| line.gflops / rate.max(1e-9));
            report.runs.push(line);
        }
    }
    progress("");
    Ok(())
}

fn forced(text: &str) -> std::result::Result<(String, String), String> {
    let (op, variant) = text.split_once('=').ok_or("expected OP=VARIANT")?;
    let row = ops::find(op).ok_or_else(|| {
        let names: Vec<_> = ops::TABLE.iter().map(|row| row.name).collect();
        format!("no op is named `{op}`; there are {}", names.join(", "))
    })?;
    if !row.variants.iter().any(|v| v.name == variant) {
        let names: Vec<_> = row.variants.iter().map(|v| v.name).collect();
        return Err(format!("op `{op}` has no variant `{variant}`; it has {}", names.join(", ")));
    }
    Ok((op.into(), variant.into()))
}
