//! The command line: one file a command. What was typed becomes what it means here.

mod bench;
mod check;
mod completions;
mod convert;
mod devices;
mod generate;
mod hints;
mod input;
mod inspect;
mod man;
mod model;
mod numbers;
mod progress;
mod sampling;
mod score;
mod train;
mod translate;

use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::error::{Error, Result};
use crate::gpu::DeviceChoice;
use crate::host::{Device, shown};
use crate::model::{Model, short};
use crate::text::{Lacking, OnUnknown};
pub use hints::explain;
use model::ModelArgs;
use numbers::{count, grouped};

/// Recurrent language models (LSTM, GRU) on any GPU, or on the CPU.
#[derive(Parser)]
#[command(name = "gatefold", version, max_term_width = 80)]
struct Cli {
    /// Say nothing but results and errors
    #[arg(long, short, global = true)]
    quiet: bool,

    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Write text with a model
    Generate(Box<generate::GenerateArgs>),
    /// Say how likely a text is to a model: nats per token, perplexity, bits per byte
    Score(score::ScoreArgs),
    /// Write the target of each source by an encoder-decoder
    Translate(translate::TranslateArgs),
    /// Train a model on a text file, or go on with a run
    Train(Box<train::TrainArgs>),
    /// Show what a model or a .safetensors file holds
    Inspect(inspect::InspectArgs),
    /// Make a model folder from weights of PyTorch, Keras, ONNX or TensorFlow.js
    Convert(Box<convert::ConvertArgs>),
    /// List the devices that models can run on
    Devices(devices::DevicesArgs),
    /// Compare the kernels of a device with the references
    Check(check::CheckArgs),
    /// Measure kernels and whole jobs, with the share of the device's limits
    Bench(Box<bench::BenchArgs>),
    /// Print a script that completes commands and options in a shell
    Completions(completions::CompletionsArgs),
    /// Write the manual pages
    #[command(hide = true)]
    Man(man::ManArgs),
}

/// Where to run.
#[derive(Args, Clone, Debug)]
struct DeviceArgs {
    /// auto, cpu, gpu, or an index or name of `gatefold devices`
    ///
    /// auto is the best GPU, else the CPU. A part of an adapter's name will do. Software adapters such as llvmpipe are
    /// used only by index or name.
    #[arg(long, value_name = "DEVICE", env = "GATEFOLD_DEVICE", default_value = "auto", hide_env_values = true)]
    device: String,

    /// Threads of the CPU [default: one for each core]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = clap::value_parser!(u16).range(1..=1024), hide_short_help = true)]
    threads: Option<u16>,
}

impl DeviceArgs {
    fn choice(&self) -> DeviceChoice {
        self.device.parse().unwrap_or(DeviceChoice::Auto)
    }

    /// The device. What the environment asked for is named as that.
    fn open(&self) -> Result<Device> {
        Device::choose(&self.choice(), self.threads()).map_err(|e| match e {
            Error::Device { .. } if asked_by_environment(&self.device) => e.within("GATEFOLD_DEVICE"),
            // It is said where the error is printed.
            other => other,
        })
    }

    fn threads(&self) -> Option<usize> {
        self.threads.map(usize::from)
    }
}

/// Whether the environment, and nobody who typed, asked for a device.
fn asked_by_environment(device: &str) -> bool {
    let typed = || std::env::args().any(|arg| arg.starts_with("--device"));
    std::env::var("GATEFOLD_DEVICE").is_ok_and(|asked| asked.eq_ignore_ascii_case(device)) && !typed()
}

/// Options that `train -h` shows; `--help` has all.
const SHORT_TRAIN: [&str; 13] = [
    "resume",
    "data",
    "pairs",
    "output",
    "lines",
    "tokenizer",
    "cell",
    "hidden",
    "layers",
    "steps",
    "epochs",
    "device",
    "quiet",
];

/// The command line.
fn command() -> clap::Command {
    Cli::command().mut_subcommand("train", |train| {
        let is_shown = |id: &str| SHORT_TRAIN.contains(&id) || id == "help";
        train.mut_args(|arg| if is_shown(arg.get_id().as_str()) { arg } else { arg.hide_short_help(true) })
    })
}

/// Runs the command line of this process.
///
/// # Errors
/// Whatever the command says; `main` prints it.
pub fn run() -> Result<ExitCode> {
    let cli = Cli::from_arg_matches(&command().get_matches()).unwrap_or_else(|e| e.exit());
    if cli.quiet {
        QUIET.store(true, Relaxed);
        log::set_max_level(log::LevelFilter::Error);
    }
    match cli.command {
        Command::Generate(args) => generate::run(&args),
        Command::Score(args) => score::run(&args),
        Command::Translate(args) => translate::run(&args),
        Command::Train(args) => train::run(&args),
        Command::Inspect(args) => inspect::run(&args),
        Command::Convert(args) => convert::run(&args),
        Command::Devices(args) => devices::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Completions(args) => completions::run(&args),
        Command::Man(args) => man::run(&args),
    }
}

/// 2 for a command line that asks for what cannot be, 1 for everything else.
pub fn exit_status(error: &Error) -> u8 {
    let asked = matches!(
        error,
        Error::Usage(_)
            | Error::Option { .. }
            | Error::NoPrompt { .. }
            | Error::NoToken { .. }
            | Error::Exists { .. }
            | Error::InTheWay { .. }
            | Error::NoRun { .. }
    );
    if asked { 2 } else { 1 }
}

/// Whether nothing but results and errors are wanted.
static QUIET: AtomicBool = AtomicBool::new(false);

fn is_quiet() -> bool {
    QUIET.load(Relaxed)
}

/// Says on standard error what is not part of the result.
fn say(text: &str) {
    note(&format!("gatefold: {text}"));
}

/// As [`say`], without the program's name in front.
fn note(text: &str) {
    if !is_quiet() {
        crate::host::message(text);
    }
}

/// Says what the vocabulary lacked, where that was no error: how much, and what.
fn say_lacking(lacking: &Lacking, unknown: OnUnknown) {
    let Lacking { places, bytes, kinds } = lacking;
    if *places == 0 {
        return;
    }
    let what = match unknown {
        OnUnknown::Unk(_) => "wrote the unknown token for",
        OnUnknown::Skip | OnUnknown::Error => "left out",
    };
    let times = |n: u64| if n == 1 { "once".to_string() } else { format!("{} times", grouped(n)) };
    let mut pieces: Vec<String> = kinds.iter().map(|(text, n)| format!("\"{}\" {}", short(text), times(*n))).collect();
    let others = places - kinds.iter().map(|(_, n)| n).sum::<u64>();
    if others > 0 {
        pieces.push(format!("others {}", times(others)));
    }
    let (bytes, places) = (count(*bytes, "byte"), count(*places, "place"));
    say(&format!("{what} {bytes} of text at {places}, which the vocabulary lacks: {}", pieces.join(", ")));
}

/// Says which model runs where; once on a machine, that no GPU was found if one was looked for.
fn announce(model: &Model, args: &DeviceArgs, device: &Device) {
    let (model, on) = (&model.name, device.name());
    let looked_for = args.choice() == DeviceChoice::Auto && matches!(device, Device::Cpu(_));
    if looked_for && !is_quiet() && crate::host::is_news("no-gpu") {
        say(&format!("{model}: no GPU was found, so it runs on the {on}"));
    } else {
        say(&format!("{model} on {on}"));
    }
}

/// Writes to standard output. `false` when nobody reads it any more: then the program ends, without an error.
fn print(text: &str) -> Result<bool> {
    use std::io::{IsTerminal, Write};
    let mut stdout = std::io::stdout().lock();
    let text = shown(text, stdout.is_terminal());
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => Ok(false),
        Err(source) => Err(Error::Io { context: "standard output".into(), source }),
    }
}
