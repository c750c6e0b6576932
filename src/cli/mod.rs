//! The command line: one file a command. What was typed becomes what it means here.

mod bench;
mod check;
mod completions;
mod convert;
mod devices;
mod generate;
mod input;
mod inspect;
mod model;
mod sampling;
mod score;
mod train;

use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::error::{Error, Result};
use crate::gpu::Choice;
use crate::host::Device;
use crate::model::Model;
use model::ModelArgs;

/// Recurrent language models (LSTM, GRU) on any GPU, or on the CPU.
#[derive(Parser)]
#[command(name = "gatefold", version, max_term_width = 80)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Write text with a model
    Generate(Box<generate::GenerateArgs>),
    /// Say how likely a text is to a model: nats per token, perplexity, bits per byte
    Score(score::ScoreArgs),
    /// Train a model on a text file, or go on with a run
    Train(Box<train::TrainArgs>),
    /// Show what a model or a .safetensors file holds
    Inspect(inspect::InspectArgs),
    /// Make a model folder from weights of PyTorch, Keras, ONNX or TensorFlow.js
    Convert(convert::ConvertArgs),
    /// List the devices that models can run on
    Devices(devices::DevicesArgs),
    /// Compare the kernels of a device with the references
    Check(check::CheckArgs),
    /// Measure kernels and whole jobs, with the share of the device's limits
    Bench(Box<bench::BenchArgs>),
    /// Print a script that completes commands and options in a shell
    Completions(completions::CompletionsArgs),
}

/// Where to run.
#[derive(Args, Clone, Debug)]
struct DeviceArgs {
    /// auto (the best GPU, else the CPU), cpu, gpu, an index of `gatefold devices`, or part of an adapter's name;
    /// software adapters such as llvmpipe are used only by index or name
    #[arg(long, value_name = "DEVICE", env = "GATEFOLD_DEVICE", default_value = "auto", hide_env_values = true)]
    device: String,

    /// Threads of the CPU [default: one for each core]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
}

impl DeviceArgs {
    fn choice(&self) -> Choice {
        self.device.parse().unwrap_or(Choice::Auto)
    }

    fn threads(&self) -> Option<usize> {
        self.threads.map(usize::from)
    }
}

/// Runs the command line of this process.
///
/// # Errors
/// Whatever the command says; `main` prints it.
pub fn run() -> Result<ExitCode> {
    match Cli::parse().command {
        Command::Generate(args) => generate::run(&args),
        Command::Score(args) => score::run(&args),
        Command::Train(args) => train::run(&args),
        Command::Inspect(args) => inspect::run(&args),
        Command::Convert(args) => convert::run(&args),
        Command::Devices(args) => devices::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Completions(args) => completions::run(&args),
    }
}

/// 2 for a wrong command line, 1 for everything else.
pub fn exit_status(error: &Error) -> u8 {
    if matches!(error, Error::Usage(_)) { 2 } else { 1 }
}

/// Says on standard error what is not part of the result.
fn say(text: &str) {
    crate::host::message(&format!("gatefold: {text}"));
}

/// Says which model runs where, and that no GPU was found if one was looked for.
fn announce(model: &Model, args: &DeviceArgs, device: &Device) {
    let (model, on) = (&model.name, device.name());
    if args.choice() == Choice::Auto && matches!(device, Device::Cpu(_)) {
        say(&format!("{model}: no GPU was found, so it runs on the {on}"));
    } else {
        say(&format!("{model} on {on}"));
    }
}

/// Writes to standard output. `false` when nobody reads it any more: then the program ends, without an error.
fn print(text: &str) -> Result<bool> {
    use std::io::Write;
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => Ok(false),
        Err(source) => Err(Error::Io { context: "standard output".into(), source }),
    }
}
