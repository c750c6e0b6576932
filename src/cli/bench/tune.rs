//! `gatefold bench tune`.

use std::process::ExitCode;

use clap::Args;

use super::kernels::SECONDS;
use super::lists::WorkloadArgs;
use super::{WithinArgs, progress};
use crate::bench::Budget;
use crate::bench::cases::of_workload;
use crate::bench::tune::{Finding, Tuner};
use crate::cli::DeviceArgs;
use crate::error::{Error, Result};
use crate::gpu::DeviceOptions;
use crate::host::{self, Device};

/// Arguments of `bench tune`.
#[derive(Args)]
pub(super) struct TuneArgs {
    #[command(flatten)]
    workload: WorkloadArgs,

    /// Time steps of the windows that score, prefill and train read
    #[arg(long, value_name = "T", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..))]
    window: u16,

    /// Seconds for each kernel; steady ones take less
    #[arg(long, value_name = "S", value_parser = super::seconds)]
    seconds: Option<f64>,

    #[command(flatten)]
    within: WithinArgs,

    /// Print what was found, and save nothing
    #[arg(long)]
    dry_run: bool,

    #[command(flatten)]
    device: DeviceArgs,
}

pub(super) fn run(args: &TuneArgs) -> Result<ExitCode> {
    let within = args.within.start();
    let workloads = args.workload.read(&super::end_to_end::PRESETS)?;
    // Without the choices of another time: they are what is measured.
    let options = |_: &_| DeviceOptions { timestamps: true, ..Default::default() };
    let device = Device::open(&args.device.choice(), args.device.threads(), options)?;
    let Device::Gpu(gpu) = &device else {
        return Err(Error::Usage("bench tune: the CPU has one function an op; nothing is to be chosen".into()));
    };
    crate::cli::print(&format!("{}\n", device.name()))?;
    let mut tuner = Tuner::new(gpu.clone(), Budget::seconds(args.seconds.unwrap_or(SECONDS)));
    // Variants tuned for other workloads stay.
    let mut choices = host::choices(&gpu.info);
    let (mut path, mut broke_off) = (None, false);
    let mut known = std::collections::BTreeSet::new();
    for case in workloads.iter().flat_map(|workload| of_workload(workload, args.window.into())) {
        if case.op.variants.len() < 2 || !known.insert((case.op.name, case.shape.clone())) {
            continue;
        }
        if within.is_over() {
            crate::cli::say("the time was up: the ops that follow were not looked at");
            broke_off = true;
            break;
        }
        progress(&format!("{} {}", case.op.name, case.shape));
        let found = tuner.tune(&case)?;
        progress("");
        let Some(found) = found else { continue };
        crate::cli::print(&text(&found))?;
        // Saved at once: whoever breaks off here keeps what was found.
        if !args.dry_run {
            choices.extend(tuner.choices.clone());
            path = Some(host::save_choices(&gpu.info, &choices)?);
        }
    }
    match path {
        Some(path) => crate::cli::say(&format!("{} choices are in {}", choices.len(), path.display())),
        None if args.dry_run || broke_off => {}
        None => crate::cli::say("no op of these workloads has kernels to choose from on this device"),
    }
    Ok(ExitCode::SUCCESS)
}

fn text(found: &Finding) -> String {
    let mut text = format!("{} {}\n", found.op.name, found.shape);
    for (name, figure) in &found.times {
        let mark = if *name == found.chosen { '*' } else { ' ' };
        let usual = if *name == found.preferred { "  (without tuning)" } else { "" };
        text += &format!("{mark} {name:<24}{:>10}{usual}\n", crate::bench::time(figure.median_us));
    }
    for (name, why) in &found.excluded {
        text += &format!("  {name:<24} not timed: {why}\n");
    }
    text
}
