//! The command line of a run of training, and what it means.

mod asked;

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, ValueEnum};

use super::super::DeviceArgs;
use super::super::model::Unknown as UnknownArg;
use crate::train::{Cadence, End};

/// Arguments of `train`.
#[derive(Args)]
#[command(after_help = EXAMPLES, after_long_help = AFTER_HELP)]
pub(in crate::cli) struct TrainArgs {
    /// Go on exactly where the run in this folder stopped; it may be given other --steps, --epochs and --patience
    #[arg(long, value_name = "DIR")]
    pub resume: Option<PathBuf>,

    #[command(flatten)]
    pub data: DataArgs,

    #[command(flatten)]
    pub model: ShapeArgs,

    #[command(flatten)]
    pub steps: StepArgs,

    #[command(flatten)]
    pub end: EndArgs,

    #[command(flatten)]
    pub schedule: ScheduleArgs,

    #[command(flatten)]
    pub valid: ValidArgs,

    #[command(flatten, next_help_heading = "Device")]
    pub device: DeviceArgs,
}

const EXAMPLES: &str = "\
Examples (--help has all options):
  gatefold train --data corpus.txt --output my-model
  gatefold train --data names.txt --lines --hidden 128 --output names
  gatefold train --resume my-model --epochs 20";

const AFTER_HELP: &str = "\
The folder is a model from the start: `gatefold generate --model DIR` uses the
best weights so far. It also holds log.jsonl, loss.svg, and checkpoint/, from
which --resume goes on. Ctrl-C writes a checkpoint first.

  gatefold train --data corpus.txt --output my-model
  gatefold train --data names.txt --lines --output names
  gatefold train --resume my-model --epochs 20";

/// The files that are read and written.
#[derive(Args)]
#[command(next_help_heading = "Data")]
#[group(id = "data_args", multiple = true, conflicts_with = "resume")]
// The help shows these comments as they stand, `<bos>` without quotes.
#[allow(rustdoc::invalid_html_tags)]
pub(in crate::cli) struct DataArgs {
    /// The text to learn from; .gz files are unpacked
    #[arg(long, value_name = "FILE", required_unless_present_any = ["resume", "pairs"])]
    pub data: Option<PathBuf>,

    /// Lines of a source, a tab and a target: an encoder-decoder learns to write the one for the other
    #[arg(long, value_name = "FILE", conflicts_with_all = ["data", "lines"], group = "sequences")]
    pub pairs: Option<PathBuf>,

    /// The folder that is written
    #[arg(long, short, value_name = "DIR", required_unless_present = "resume")]
    pub output: Option<PathBuf>,

    /// Begin anew in a folder that holds a model or run
    #[arg(long)]
    pub overwrite: bool,

    /// The text to validate on [default: the last 5 % of --data, held out; of --lines a random 5 %]
    #[arg(long, value_name = "FILE")]
    pub valid: Option<PathBuf>,

    /// Each line is a sequence of its own (names, molecules), read from bos to eos; else it is one continuous text
    #[arg(long, group = "sequences")]
    pub lines: bool,

    /// char (the characters of the data), byte, word:N (its N most frequent words), a tokenizer.json, a list of
    /// tokens, or a model's folder
    #[arg(long, value_name = "WHAT", default_value = "char")]
    pub tokenizer: String,

    /// The same for the sources of --pairs [default: the tokens of the targets, of both columns]
    #[arg(long, value_name = "WHAT", requires = "pairs")]
    pub source_tokenizer: Option<String>,

    /// The token that begins a line [default: <bos>, <s>, ...]
    #[arg(long, value_name = "TOKEN", requires = "sequences")]
    pub bos: Option<String>,

    /// The token that ends a line [default: <eos>, </s>, ...]
    #[arg(long, value_name = "TOKEN", requires = "sequences")]
    pub eos: Option<String>,

    /// Treatment of text that the vocabulary lacks: an error that says where it is, leave it out, or the
    /// tokenizer's unknown token
    #[arg(long, value_name = "WHAT", value_enum, default_value_t = UnknownArg::Error)]
    on_unknown: UnknownArg,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum CellName {
    Lstm,
    Gru,
    Rnn,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(in crate::cli) enum AttentionName {
    None,
    Luong,
    Bahdanau,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(in crate::cli) enum NonlinearityName {
    Tanh,
    Relu,
}

/// The sizes of the model.
#[derive(Args)]
#[command(next_help_heading = "Model")]
#[group(id = "model_args", multiple = true, conflicts_with = "resume")]
pub(in crate::cli) struct ShapeArgs {
    /// How the decoder of --pairs looks at the source: not at all, by Luong's general attention, or by Bahdanau's
    #[arg(long, value_name = "NAME", value_enum, default_value_t = AttentionName::Luong, hide_short_help = true)]
    attention: AttentionName,

    /// The share of a target's probability that all tokens get alike, of --pairs
    #[arg(long, value_name = "P", default_value_t = 0.0, hide_short_help = true)]
    label_smoothing: f32,

    /// The recurrent cell
    #[arg(long, value_enum, default_value_t = CellName::Lstm)]
    cell: CellName,

    /// The function of an rnn's units [default: tanh]
    #[arg(long, value_name = "NAME", value_enum)]
    nonlinearity: Option<NonlinearityName>,

    /// Length of each layer's state [default: by the size of the data]
    #[arg(long, value_name = "H", allow_negative_numbers = true, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    hidden: Option<u32>,

    /// Recurrent layers [default: by the size of the data]
    #[arg(long, value_name = "L", allow_negative_numbers = true, value_parser = clap::value_parser!(u32).range(1..=256))]
    layers: Option<u32>,

    /// Length of a token's embedding [default: 64 for up to 512 tokens, else as --hidden]
    #[arg(long, value_name = "E", allow_negative_numbers = true, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    embedding: Option<u32>,

    /// Share one weight between embedding and output; then E = H
    #[arg(long)]
    tied: bool,

    /// Share of values that are zeroed between layers while training [default: by the size of the data]
    #[arg(long, value_name = "P", allow_negative_numbers = true, value_parser = share::<f32>)]
    dropout: Option<f32>,

    /// Bias of an LSTM's forget gates at the beginning [default: random, as in PyTorch]
    #[arg(long, value_name = "X", allow_negative_numbers = true, value_parser = finite)]
    pub forget_bias: Option<f32>,
}

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
enum MethodName {
    Adam,
    Adamw,
    Sgd,
}

/// The steps.
#[derive(Args)]
#[command(next_help_heading = "Training")]
#[group(id = "step_args", multiple = true, conflicts_with = "resume")]
pub(in crate::cli) struct StepArgs {
    /// Rows that are trained at once [default: by the size of the data]
    #[arg(long, value_name = "B", allow_negative_numbers = true, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    batch_size: Option<u32>,

    /// Tokens of a row in one step; gradients reach back no further [default: by the size of the data]
    #[arg(long, value_name = "T", allow_negative_numbers = true, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    sequence_length: Option<u32>,

    /// Of the first weights, dropout and the order of lines: the same seed gives the same model on the same device
    #[arg(long, value_name = "SEED", default_value_t = 1, allow_negative_numbers = true)]
    pub seed: u64,

    /// How gradients become steps
    #[arg(long, value_enum, default_value_t = MethodName::Adam)]
    optimizer: MethodName,

    /// The learning rate that --schedule begins with [default: by the size of the data, for sgd 0.5]
    #[arg(long, value_name = "RATE", allow_negative_numbers = true, value_parser = positive)]
    learning_rate: Option<f32>,

    /// Pulls weights towards zero
    #[arg(long, value_name = "X", default_value_t = 0.0, allow_negative_numbers = true, value_parser = not_negative::<f64>)]
    weight_decay: f64,

    /// Of sgd
    #[arg(long, value_name = "X", default_value_t = 0.0, allow_negative_numbers = true, value_parser = share::<f64>)]
    momentum: f64,

    /// Scale gradients down to this norm; 0 for never
    #[arg(long, value_name = "NORM", default_value_t = 1.0, allow_negative_numbers = true, value_parser = not_negative::<f32>)]
    clip: f32,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ScheduleName {
    Constant,
    Cosine,
    Step,
    Plateau,
}

/// The learning rate over the run.
#[derive(Args)]
#[command(next_help_heading = "Learning rate")]
#[group(id = "schedule_args", multiple = true, conflicts_with = "resume")]
pub(in crate::cli) struct ScheduleArgs {
    /// constant; cosine: down to --min-learning-rate at the end; step: divided every --divide-after steps; plateau:
    /// divided when validation did not get better --plateau times
    #[arg(long, value_enum, default_value_t = ScheduleName::Cosine, hide_possible_values = true)]
    schedule: ScheduleName,

    /// Steps in which it rises from zero [default: by the size of the data]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    warmup: Option<u32>,

    /// Where cosine ends
    #[arg(long, value_name = "RATE", default_value_t = 0.0, allow_negative_numbers = true, value_parser = not_negative::<f32>)]
    min_learning_rate: f32,

    /// Of step
    #[arg(long, value_name = "N", default_value_t = 5000, allow_negative_numbers = true, value_parser = clap::value_parser!(u32).range(1..))]
    divide_after: u32,

    /// Divisor of step and plateau
    #[arg(long, value_name = "X", default_value_t = 2.0, allow_negative_numbers = true, value_parser = positive)]
    divide_by: f32,

    /// Validations that plateau waits for a better one
    #[arg(long, value_name = "N", default_value_t = 2, allow_negative_numbers = true)]
    plateau: u32,
}

/// The work beside the steps.
#[derive(Args)]
#[command(next_help_heading = "Validation and checkpoints")]
#[group(id = "valid_args", multiple = true, conflicts_with = "resume")]
pub(in crate::cli) struct ValidArgs {
    /// Steps between validations [default: a twentieth of the run]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = clap::value_parser!(u32).range(1..))]
    pub valid_every: Option<u32>,

    /// Tokens that a validation reads at most; 0 for all [default: what takes 5 % of the run, up to 1,000,000]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub valid_tokens: Option<usize>,

    /// Steps between checkpoints, or minutes with an m
    #[arg(long, value_name = "N", default_value = "5m", value_parser = cadence)]
    checkpoint_every: Cadence,

    /// Write the model's weights as 16-bit floats; the checkpoint keeps all bits
    #[arg(long)]
    f16: bool,

    /// Steps between lines of log.jsonl
    #[arg(long, value_name = "N", default_value_t = 20, allow_negative_numbers = true, value_parser = clap::value_parser!(u32).range(1..))]
    log_every: u32,
}

/// When the run ends.
#[derive(Args)]
#[command(next_help_heading = "End")]
pub(in crate::cli) struct EndArgs {
    /// Steps to take [default: as --epochs says]
    #[arg(long, value_name = "N", conflicts_with = "epochs", allow_negative_numbers = true, value_parser = clap::value_parser!(u32).range(1..=0x7fff_ffff))]
    pub steps: Option<u32>,

    /// Times to read the data [default: by its size]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub epochs: Option<u64>,

    /// End after so many validations without a better one [default: never]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = clap::value_parser!(u32).range(1..))]
    pub patience: Option<u32>,
}

impl EndArgs {
    /// The limit that was typed.
    pub fn end(&self) -> Option<End> {
        self.steps.map(End::Steps).or(self.epochs.map(End::Epochs))
    }
}

type Parsed<T> = std::result::Result<T, String>;

/// A number of either width that fits.
fn number<F: FromStr + Copy + Into<f64>>(text: &str, expected: &str, fits: impl Fn(f64) -> bool) -> Parsed<F> {
    let number = text.parse().ok().filter(|x: &F| (*x).into().is_finite() && fits((*x).into()));
    number.ok_or_else(|| format!("expected {expected}"))
}

fn finite(text: &str) -> Parsed<f32> {
    number(text, "a number", |_| true)
}

fn share<F: FromStr + Copy + Into<f64>>(text: &str) -> Parsed<F> {
    number(text, "a number from 0 to less than 1", |x| (0.0..1.0).contains(&x))
}

fn positive(text: &str) -> Parsed<f32> {
    number(text, "a number above 0", |x| x > 0.0)
}

fn not_negative<F: FromStr + Copy + Into<f64>>(text: &str) -> Parsed<F> {
    number(text, "a number, 0 or more", |x| x >= 0.0)
}

fn cadence(text: &str) -> Parsed<Cadence> {
    let parsed = match text.strip_suffix('m') {
        Some(minutes) => minutes.parse().ok().filter(|m: &f64| m.is_finite() && *m >= 0.0).map(Cadence::Minutes),
        None => text.parse().ok().filter(|n| *n > 0).map(Cadence::Steps),
    };
    parsed.ok_or_else(|| "expected a number of steps, such as 500, or of minutes, such as 10m".into())
}
