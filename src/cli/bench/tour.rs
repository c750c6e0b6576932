//! `gatefold bench` alone: the short tour.

use std::process::ExitCode;

use clap::Args;

use super::end_to_end::{PRESETS, add_runs};
use super::kernels::{Variants, add_kernels};
use super::{CommonArgs, WithinArgs, output, progress};
use crate::bench::cases::{KernelCase, of_workload};
use crate::bench::end_to_end::{Job, Settings};
use crate::bench::{Workload, kernels, limits};
use crate::error::Result;
use crate::network::{Cell, Shape};

/// Arguments of `bench`.
#[derive(Args)]
pub(super) struct TourArgs {
    /// Small networks and short times: proves that everything runs and that results agree, says little about speed
    #[arg(long)]
    quick: bool,

    /// Expect other results of this op than it has: for tests of the comparison
    #[arg(long, value_name = "OP", hide = true, value_parser = op)]
    spoil: Option<&'static str>,

    #[command(flatten)]
    within: WithinArgs,

    #[command(flatten)]
    common: CommonArgs,
}

/// Limits, kernels and jobs on one device; status 1 where a result is wrong.
pub(super) fn run(args: &TourArgs) -> Result<ExitCode> {
    let within = args.within.start();
    let device = args.common.open()?;
    let mut report = output::empty(&device);
    let short = if args.quick { 0.02 } else { 0.3 };
    progress("limits");
    report.limits = Some(limits::measure(&device, args.common.budget(short))?);
    let (of_kernels, of_jobs, window) =
        if args.quick { (small(), small(), 4) } else { (presets(&["char", "chargru"]), presets(&PRESETS), 16) };
    let mut cases: Vec<KernelCase> = Vec::new();
    for case in of_kernels.iter().flat_map(|workload| of_workload(workload, window)) {
        if !cases.iter().any(|known| known.is_like(&case)) {
            cases.push(case);
        }
    }
    let budget = args.common.budget(short);
    let settings = kernels::Settings { budget, cold: !args.quick, spoiled: args.spoil };
    let variants = if args.quick { Variants::All } else { Variants::Chosen };
    add_kernels(&mut report, &device, &cases, variants, settings, within)?;
    let budget = args.common.budget(if args.quick { 0.05 } else { 2.0 });
    let settings = Settings { budget, profile: false, forced: Vec::new() };
    add_runs(&mut report, &device, &Job::ALL, &of_jobs, &settings, within)?;
    report.add_warnings();
    args.common.output.write(&report)?;
    Ok(if report.is_correct() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn op(name: &str) -> std::result::Result<&'static str, String> {
    crate::ops::find(name).map(|op| op.name).ok_or_else(|| format!("no op is named `{name}`"))
}

fn presets(names: &[&str]) -> Vec<Workload> {
    let all = Workload::presets();
    names.iter().map(|name| all.iter().find(|w| w.name == *name).expect("a preset").clone()).collect()
}

/// Networks that a slow device runs in no time, of both cells.
fn small() -> Vec<Workload> {
    let of = |name: &str, cell| {
        let shape = Shape { cell, vocab: 200, embedding: 48, hidden: 96, layers: 2 };
        Workload { name: name.into(), shape, batch: 8, steps: 16 }
    };
    vec![of("lstm", Cell::Lstm), of("gru", Cell::Gru)]
}
