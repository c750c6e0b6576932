//! `gatefold score`.

mod lines;

use std::io::Read;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::Args;
use serde::Serialize;

use super::input::Input;
use super::{DeviceArgs, ModelArgs};
use crate::error::{Error, Result};
use crate::executor::Executor;
use crate::host::Device;
use crate::model::Model;
use crate::network::{LanguageModel, Shape};
use crate::plan::Sizes;
use crate::score::{self, Scorer};
use crate::text::Encoder;

/// Arguments of `score`.
#[derive(Args)]
pub(super) struct ScoreArgs {
    /// The text; `-` is standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,

    #[command(flatten)]
    model: ModelArgs,

    /// Score each line as a text of its own, from bos to eos where the model has them; empty ones are left out
    #[arg(long)]
    lines: bool,

    /// Print each line with its log-probability, a JSON object a line: line, text, tokens, log_probability
    #[arg(long, requires = "lines", conflicts_with = "json")]
    each: bool,

    /// Print one JSON object
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    device: DeviceArgs,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Report {
    #[serde(skip_serializing_if = "Option::is_none")]
    lines: Option<u64>,
    tokens: u64,
    nats_per_token: f64,
    perplexity: f64,
    bits_per_byte: f64,
    tokens_per_second: f64,
    adapter: String,
}

/// Bytes of the file that are read at a time.
const PIECE: usize = 64 << 10;

pub(super) fn run(args: &ScoreArgs) -> Result<ExitCode> {
    let model = args.model.open()?;
    let device = Device::choose(&args.device.choice(), args.device.threads())?;
    let encoder = Encoder::new(&model.tokenizer, args.model.on_unknown(&model)?)?;
    let input = Input::open(&args.file)?;
    super::announce(&model, &args.device, &device);
    let started = Instant::now();
    let total = if args.lines {
        lines::score(&model, &device, encoder, input, args.each)?
    } else {
        whole(&model, &device, encoder, input)?
    };
    if args.each {
        return Ok(ExitCode::SUCCESS);
    }
    let report = total.report(started.elapsed().as_secs_f64(), device.name());
    let text = if args.json { json(&report) } else { table(&report) };
    super::print(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// Scores a text of any length.
fn whole(model: &Model, device: &Device, mut encoder: Encoder, mut input: Input) -> Result<Total> {
    let (plan, executor) = loaded(model, device, score::sizes)?;
    let mut scorer = Scorer::new(plan, executor, model.config.bos_token_id)?;
    let mut total = Total::default();
    let (mut piece, mut ids, mut log_probs) = (vec![0; PIECE], Vec::new(), Vec::new());
    loop {
        let read = input.text.read(&mut piece).map_err(|source| input.failed(source))?;
        total.bytes += read as u64;
        if read == 0 { encoder.finish(&mut ids) } else { encoder.push_bytes(&piece[..read], &mut ids) }
            .map_err(|e| e.within(&input.name))?;
        scorer.push(&ids, &mut log_probs)?;
        ids.clear();
        total.add(log_probs.drain(..));
        if read == 0 {
            break;
        }
    }
    scorer.finish(&mut log_probs)?;
    total.add(log_probs.drain(..));
    if total.tokens == 0 {
        let why = "a text is scored from its second token on, as the model has no bos token";
        let why = if model.config.bos_token_id.is_some() { "it is empty" } else { why };
        return Err(Error::Text(format!("{}: no token to score: {why}", input.name)));
    }
    Ok(total)
}

/// The plan, and an executor of these sizes that has the model's weights.
fn loaded(model: &Model, device: &Device, sizes: fn(Shape) -> Sizes) -> Result<(LanguageModel, Box<dyn Executor>)> {
    let shape = model.config.shape();
    let plan = score::plan(shape);
    let mut executor = device.executor(&plan.plan, sizes(shape), &score::sections(&plan))?;
    model.weights.load_into(&mut *executor)?;
    Ok((plan, executor))
}

/// Sums over all that was scored.
#[derive(Default)]
struct Total {
    /// Where lines are scored.
    lines: Option<u64>,
    bytes: u64,
    tokens: u64,
    nats: f64,
}

impl Total {
    fn add(&mut self, log_probs: impl ExactSizeIterator<Item = f32>) {
        self.tokens += log_probs.len() as u64;
        self.nats -= log_probs.map(f64::from).sum::<f64>();
    }

    fn report(&self, seconds: f64, adapter: String) -> Report {
        let nats_per_token = self.nats / self.tokens as f64;
        Report {
            lines: self.lines,
            tokens: self.tokens,
            nats_per_token,
            perplexity: nats_per_token.exp(),
            bits_per_byte: self.nats / std::f64::consts::LN_2 / self.bytes as f64,
            tokens_per_second: self.tokens as f64 / seconds.max(1e-9),
            adapter,
        }
    }
}

fn json(report: &Report) -> String {
    serde_json::to_string(report).expect("a report is JSON") + "\n"
}

fn table(report: &Report) -> String {
    let Report { lines, tokens, nats_per_token, perplexity, bits_per_byte, tokens_per_second, .. } = report;
    let lines = lines.map_or(String::new(), |lines| format!("lines             {lines}\n"));
    format!(
        "{lines}tokens            {tokens}\nnats per token    {nats_per_token:.4}\nperplexity        {perplexity:.4}\n\
         bits per byte     {bits_per_byte:.4}\ntokens per second {tokens_per_second:.0}\n"
    )
}
