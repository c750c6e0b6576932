//! `gatefold bench`: one file a subcommand.

mod compare;
mod end_to_end;
mod kernels;
mod lists;
mod output;
mod show;
mod tour;
mod tune;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Args, Subcommand};

use super::DeviceArgs;
use crate::bench::Budget;
use crate::bench::end_to_end::Job;
use crate::error::Result;
use crate::gpu::DeviceOptions;
use crate::host::{self, Device};
use output::OutputArgs;

/// Arguments of `bench`.
#[derive(Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct BenchArgs {
    #[command(subcommand)]
    command: Option<Command>,

    #[command(flatten)]
    tour: tour::TourArgs,
}

#[derive(Subcommand)]
enum Command {
    /// Measure what the device can do at most
    Limits(kernels::LimitsArgs),
    /// Time the kernels of a network, each on its own
    Kernels(kernels::KernelsArgs),
    /// Generate text for many sequences at once
    Generate(end_to_end::EndToEndArgs),
    /// Score many sequences at once
    Score(end_to_end::EndToEndArgs),
    /// Take training steps on many sequences at once
    Train(end_to_end::EndToEndArgs),
    /// Find the fastest kernels for a network on this device, and save them
    Tune(tune::TuneArgs),
    /// Compare two reports; status 1 if anything became slower
    Compare(compare::CompareArgs),
    /// Print the ratios between programs that ran the same workloads
    Ratios(compare::RatiosArgs),
    /// Print a report that was saved as JSON in another form
    Show(show::ShowArgs),
}

pub(super) fn run(args: &BenchArgs) -> Result<ExitCode> {
    match &args.command {
        None => tour::run(&args.tour),
        Some(Command::Limits(args)) => kernels::run_limits(args),
        Some(Command::Kernels(args)) => kernels::run(args),
        Some(Command::Generate(args)) => end_to_end::run(args, Job::Generate),
        Some(Command::Score(args)) => end_to_end::run(args, Job::Score),
        Some(Command::Train(args)) => end_to_end::run(args, Job::Train),
        Some(Command::Tune(args)) => tune::run(args),
        Some(Command::Compare(args)) => compare::run(args),
        Some(Command::Ratios(args)) => compare::run_ratios(args),
        Some(Command::Show(args)) => show::run(args),
    }
}

/// The options of every measurement.
#[derive(Args)]
struct CommonArgs {
    /// Seconds for each figure; steady ones take less
    #[arg(long, value_name = "S", value_parser = seconds)]
    seconds: Option<f64>,

    #[command(flatten)]
    output: OutputArgs,

    #[command(flatten)]
    device: DeviceArgs,
}

impl CommonArgs {
    /// The device, with timestamps where it has them, and the kernels that were measured to be the fastest.
    fn open(&self) -> Result<Device> {
        Device::open(&self.device.choice(), self.device.threads(), |adapter| DeviceOptions {
            timestamps: true,
            choices: host::choices(adapter),
            ..Default::default()
        })
    }

    fn budget(&self, seconds: f64) -> Budget {
        Budget::seconds(self.seconds.unwrap_or(seconds))
    }
}

/// A time for the whole call.
#[derive(Args)]
struct WithinArgs {
    /// Begin nothing new after this many seconds, and say what is missing
    #[arg(long, value_name = "S", value_parser = seconds)]
    within: Option<f64>,
}

impl WithinArgs {
    /// The time counts from here.
    fn start(&self) -> Within {
        Within { until: self.within.map(|seconds| Instant::now() + Duration::from_secs_f64(seconds)) }
    }
}

/// When nothing new begins.
#[derive(Clone, Copy)]
struct Within {
    until: Option<Instant>,
}

impl Within {
    fn is_over(self) -> bool {
        self.until.is_some_and(|until| Instant::now() >= until)
    }
}

fn seconds(text: &str) -> std::result::Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.0..=3600.0).contains(&seconds) => Ok(seconds),
        _ => Err("expected seconds, from 0 to 3600".into()),
    }
}

/// Says on a terminal what is being measured, on one line that is overwritten.
fn progress(what: &str) {
    use std::io::IsTerminal;
    if std::io::stderr().is_terminal() && !super::is_quiet() {
        let what: String = what.chars().take(super::progress::width().saturating_sub(1)).collect();
        crate::host::status(&what);
    }
}
