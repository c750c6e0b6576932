//! `gatefold bench limits` and `gatefold bench kernels`.

use std::process::ExitCode;

use clap::Args;

use super::lists::{Sizes, WorkloadArgs, sizes};
use super::{CommonArgs, Within, WithinArgs, output, progress};
use crate::bench::cases::{KernelCase, of_workload};
use crate::bench::kernels::{Settings, chosen, compare_with, measure};
use crate::bench::report::Report;
use crate::bench::{Workload, implementations, limits};
use crate::error::{Error, Result};
use crate::host::Device;
use crate::network::Shape;

/// Arguments of `bench limits`.
#[derive(Args)]
pub(super) struct LimitsArgs {
    #[command(flatten)]
    common: CommonArgs,
}

/// Arguments of `bench kernels`.
#[derive(Args)]
pub(super) struct KernelsArgs {
    /// Only ops whose name contains this
    #[arg(long, value_name = "PART")]
    filter: Option<String>,

    #[command(flatten)]
    workload: WorkloadArgs,

    /// Other hidden sizes than the workload's: a list as for --batch
    #[arg(long, value_name = "LIST", value_parser = sizes)]
    hidden: Option<Sizes>,

    /// Time steps of the windows that score, prefill and train read
    #[arg(long, value_name = "T", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..))]
    window: u16,

    /// Only the kernels that the device takes by itself
    #[arg(long)]
    chosen: bool,

    /// Only with all operands in the caches
    #[arg(long)]
    hot: bool,

    #[command(flatten)]
    within: WithinArgs,

    #[command(flatten)]
    common: CommonArgs,
}

/// Seconds for each limit and each kernel.
pub(super) const SECONDS: f64 = 0.5;

pub(super) fn run_limits(args: &LimitsArgs) -> Result<ExitCode> {
    let device = args.common.open()?;
    let mut report = output::empty(&device);
    progress("limits");
    report.limits = Some(limits::measure(&device, args.common.budget(SECONDS))?);
    progress("");
    args.common.output.write(&report)?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn run(args: &KernelsArgs) -> Result<ExitCode> {
    let within = args.within.start();
    let device = args.common.open()?;
    let mut report = output::empty(&device);
    let cases = cases(args, &device)?;
    progress("limits");
    report.limits = Some(limits::measure(&device, args.common.budget(SECONDS))?);
    let settings = Settings { budget: args.common.budget(SECONDS), cold: !args.hot, spoiled: None };
    let variants = if args.chosen { Variants::Chosen } else { Variants::All };
    add_kernels(&mut report, &device, &cases, variants, settings, within)?;
    report.add_warnings();
    args.common.output.write(&report)?;
    Ok(if report.is_correct() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The kernels of an op that are measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Variants {
    /// The kernels that the device takes by itself.
    Chosen,
    /// All that it supports.
    All,
}

/// Measures cases into a report that has limits. What the device takes by itself comes first: where time is short, the
/// picture of a network is whole before any other variant is looked at.
pub(super) fn add_kernels(
    report: &mut Report,
    device: &Device,
    cases: &[KernelCase],
    variants: Variants,
    settings: Settings,
    within: Within,
) -> Result<()> {
    let (mut kernels, mut others) = (Vec::new(), Vec::new());
    for (i, case) in cases.iter().enumerate() {
        let chosen = chosen(device, case)?;
        for name in implementations(device, case.op) {
            if Some(name) == chosen { &mut kernels } else { &mut others }.push((i, name));
        }
    }
    if variants == Variants::All {
        kernels.append(&mut others);
    }
    let mut lines = Vec::new();
    for (done, (i, name)) in kernels.iter().enumerate() {
        let (case, all) = (&cases[*i], kernels.len());
        if within.is_over() {
            report.warnings.push(format!("the time was up after {done} of {all} kernels; the others are not measured"));
            break;
        }
        progress(&format!("kernels: {} of {all}, {name} {}", done + 1, case.shape));
        let mut line = measure(device, case, name, settings)?;
        if let Some(limits) = &report.limits {
            compare_with(limits, &mut line);
        }
        lines.push((i, line));
    }
    progress("");
    lines.sort_by_key(|(i, _)| *i);
    report.kernels.extend(lines.into_iter().map(|(_, line)| line));
    Ok(())
}

/// The distinct ops of the workloads in all the sizes that were typed.
fn cases(args: &KernelsArgs, device: &Device) -> Result<Vec<KernelCase>> {
    let workloads = args.workload.read(&["char"])?;
    let mut cases: Vec<KernelCase> = Vec::new();
    let mut known = std::collections::BTreeSet::new();
    let mut named = false;
    for workload in &workloads {
        let hidden = args.hidden.as_ref().map_or(vec![workload.shape.hidden], |list| list.0.clone());
        for hidden in hidden {
            let workload = Workload { shape: Shape { hidden, ..workload.shape }, ..workload.clone() };
            for case in of_workload(&workload, args.window.into()) {
                let is_wanted = args.filter.as_ref().is_none_or(|part| case.op.name.contains(part));
                named |= is_wanted;
                let runs_here = !implementations(device, case.op).is_empty();
                if is_wanted && runs_here && known.insert((case.op.name, case.shape.clone())) {
                    cases.push(case);
                }
            }
        }
    }
    if cases.is_empty() {
        let names: Vec<_> = crate::ops::TABLE.iter().map(|op| op.name).collect();
        let why = if named { "has only a reference on the CPU" } else { "matches no op of these workloads" };
        let part = args.filter.as_deref().unwrap_or_default();
        return Err(Error::Usage(format!("--filter {part} {why}; ops are {}", names.join(", "))));
    }
    Ok(cases)
}
