//! `gatefold generate`: one text as it comes, or many sequences into a file.

mod batch;
mod formats;
mod jobs;
mod output;
mod progress;
mod prompts;
mod stream;
mod unique;
mod writer;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use clap::{Args, ValueEnum};

use super::sampling::SamplingArgs;
use super::{DeviceArgs, ModelArgs};
use crate::error::Result;
use crate::front::{self, Resolved};
use crate::model::Model;
use crate::text::OnUnknown;
use formats::Format;

/// Arguments of `generate`.
#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct GenerateArgs {
    /// Text to go on from [default: the model's own start]
    #[arg(value_name = "PROMPT", conflicts_with = "prompt")]
    text: Option<String>,

    #[command(flatten)]
    model: ModelArgs,

    /// Text to go on from, where it begins with a dash
    #[arg(long, short, value_name = "TEXT", allow_hyphen_values = true, hide_short_help = true)]
    prompt: Option<String>,

    /// Tokens to write at most [default: 500]
    #[arg(long, short = 'n', value_name = "N", allow_negative_numbers = true)]
    max_tokens: Option<u32>,

    /// End where this text appears, without writing it
    ///
    /// May be given several times.
    #[arg(long, value_name = "TEXT")]
    stop: Vec<String>,

    /// The same seed gives the same text [default: a new one]
    ///
    /// On the same device and driver. A new seed is shown, so that the text can be made again.
    #[arg(long, value_name = "SEED", allow_negative_numbers = true)]
    seed: Option<u64>,

    /// Print a JSON object
    ///
    /// With prompt, text, tokens, finish_reason, log_probability (nats) and seed. For many sequences, see --format jsonl.
    #[arg(long, conflicts_with_all = MANY)]
    json: bool,

    #[command(flatten)]
    many: ManyArgs,

    #[command(flatten, next_help_heading = "Device")]
    device: DeviceArgs,

    #[command(flatten)]
    sampling: SamplingArgs,
}

const AFTER_HELP: &str = "\
Examples (--help has all options):
  gatefold generate 'ROMEO:' --stop $'\\n\\n'
  gatefold generate -m builtin:molecules --count 1000 -o molecules.smi
  gatefold generate -m my-model --prompts prompts.jsonl --format jsonl";

impl GenerateArgs {
    /// Text to go on from; nothing for the model's own start.
    fn prompt(&self) -> &str {
        self.text.as_deref().or(self.prompt.as_deref()).unwrap_or_default()
    }
}

/// The names of [`ManyArgs`].
const MANY: [&str; 12] = [
    "count",
    "prompts",
    "prompts_format",
    "samples_per_prompt",
    "on_error",
    "output",
    "format",
    "logprobs",
    "batch",
    "shard",
    "resume",
    "unique",
];

/// Many sequences: any of these makes a batch of them.
#[derive(Args)]
#[command(next_help_heading = "Many sequences")]
struct ManyArgs {
    /// Draw N sequences and write them, one a line
    #[arg(long, value_name = "N", conflicts_with = "prompts", allow_negative_numbers = true)]
    count: Option<u64>,

    /// Go on from the lines of a .txt or .jsonl file
    ///
    /// .txt has a prompt a line, .jsonl an object a line with `prompt` and any option (id, max_tokens, stop, seed,
    /// sequence, temperature, top_k, ban_tokens, ...); `-` is standard input.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["prompt", "text"])]
    prompts: Option<PathBuf>,

    /// Format of the prompts [default: by the file's name]
    #[arg(long, value_name = "FORMAT", value_enum, requires = "prompts", hide_short_help = true)]
    prompts_format: Option<prompts::PromptsFormat>,

    /// Sequences of each prompt
    #[arg(long, value_name = "N", default_value_t = 1, allow_negative_numbers = true, value_parser = clap::value_parser!(u64).range(1..), hide_short_help = true)]
    samples_per_prompt: u64,

    /// Treatment of a prompt that cannot be used
    #[arg(long, value_name = "WHAT", value_enum, default_value_t = OnError::Stop, hide_short_help = true)]
    on_error: OnError,

    /// Where sequences are written; `-` is standard output
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,

    /// How: text, jsonl or csv [default: by the file's name]
    #[arg(long, value_name = "FORMAT", value_enum, hide_possible_values = true)]
    format: Option<Format>,

    /// Write each token's log-probability too (jsonl)
    #[arg(long, hide_short_help = true)]
    logprobs: bool,

    /// Sequences side by side [default: up to 256]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = clap::value_parser!(u32).range(1..=65_536), hide_short_help = true)]
    batch: Option<u32>,

    /// Only part I of N equal parts, such as 3/16
    ///
    /// The parts one after another are the whole.
    #[arg(long, value_name = "I/N", hide_short_help = true)]
    shard: Option<jobs::Shard>,

    /// Go on with an output that was not finished, or begin it
    #[arg(long, requires = "output")]
    resume: bool,

    /// Leave out sequences whose text was written before: fewer are written than --count says, and with --shard only
    /// what a part has itself is left out
    #[arg(long, hide_short_help = true)]
    unique: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum OnError {
    /// End with an error, after the sequences before it
    Stop,
    /// Say so and go on
    Skip,
}

impl ManyArgs {
    /// Where sequences are written, if not to standard output.
    fn output(&self) -> Option<&Path> {
        self.output.as_deref().filter(|path| path.as_os_str() != "-")
    }

    /// Whether a batch was asked for.
    fn any(&self) -> bool {
        self.count.is_some()
            || self.prompts.is_some()
            || self.output.is_some()
            || self.format.is_some()
            || self.logprobs
            || self.shard.is_some()
            || self.unique
            || self.batch.is_some()
            || self.on_error != OnError::Stop
            || self.samples_per_prompt > 1
    }
}

/// Options of requests that say nothing else: from the command line and the model.
struct Defaults {
    of: Resolved,
    unknown: OnUnknown,
}

impl Defaults {
    fn new(args: &GenerateArgs, model: &Model, seed: u64) -> Result<Defaults> {
        let options = front::Options {
            max_tokens: args.max_tokens.map(|n| n as usize),
            seed,
            stop: args.stop.clone(),
            ..args.sampling.options(model)?
        };
        let of = options.resolve(model)?;
        Ok(Defaults { of, unknown: args.model.on_unknown(model)? })
    }
}

pub(super) fn run(args: &GenerateArgs) -> Result<ExitCode> {
    if args.many.any() { batch::run(args) } else { stream::run(args) }
}

/// Microseconds since it was made.
fn clock() -> Box<dyn Fn() -> u64> {
    let started = Instant::now();
    Box::new(move || started.elapsed().as_micros() as u64)
}

/// A random seed, short enough to be typed again.
fn fresh_seed() -> u64 {
    crate::host::random() % 1_000_000
}
