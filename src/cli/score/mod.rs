//! `gatefold score`.

mod lines;

use std::io::Read;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::Args;
use serde::Serialize;

use super::input::Input;
use super::numbers::{count, grouped};
use super::progress::{Bar, in_words, left};
use super::{DeviceArgs, ModelArgs};
use crate::error::{Error, Result};
use crate::host::{self, Device};
use crate::model::Model;
use crate::text::{Encoder, Lacking, OnUnknown, Tally};

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

/// The report that `--json` prints.
#[derive(Serialize)]
struct Report {
    #[serde(skip_serializing_if = "Option::is_none")]
    lines: Option<u64>,
    tokens: u64,
    nats_per_token: f64,
    perplexity: f64,
    /// Of the bytes that the scored tokens stand for; none where only marks were scored.
    #[serde(skip_serializing_if = "Option::is_none")]
    bits_per_byte: Option<f64>,
    /// Bytes of the text that the scored tokens stand for.
    bytes: u64,
    /// Bytes of the text that the vocabulary lacks, where they were left out or replaced.
    #[serde(skip_serializing_if = "is_zero")]
    lacking_bytes: u64,
    tokens_per_second: f64,
    adapter: String,
}

fn is_zero(n: &u64) -> bool {
    *n == 0
}

/// Bytes of the file that are read at a time.
const PIECE: usize = 64 << 10;

pub(super) fn run(args: &ScoreArgs) -> Result<ExitCode> {
    let model = args.model.open()?;
    let device = args.device.open()?;
    let unknown = args.model.on_unknown(&model)?;
    let encoder = Encoder::new(&model.tokenizer, unknown)?;
    let input = Input::open(&args.file)?;
    super::announce(&model, &args.device, &device);
    let started = Instant::now();
    let total = if args.lines {
        lines::score(&model, &device, encoder, input, args.each, unknown)?
    } else {
        whole(&model, &device, encoder, input, unknown)?
    };
    super::say_lacking(&total.lacking, unknown);
    if args.each {
        return Ok(ExitCode::SUCCESS);
    }
    let report = total.report(started.elapsed().as_secs_f64(), device.name());
    let text = if args.json { json(&report) } else { table(&report) };
    super::print(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// Scores a text of any length.
fn whole(model: &Model, device: &Device, mut encoder: Encoder, mut input: Input, unknown: OnUnknown) -> Result<Total> {
    let mut scorer = host::scorer(model, device)?;
    let (mut total, pace) = (Total::default(), Pace::new());
    let (mut piece, mut ids, mut log_probs) = (vec![0; PIECE], Vec::new(), Vec::new());
    loop {
        let read = input.text.read(&mut piece).map_err(|source| input.failed(source))?;
        input.read += read as u64;
        if read == 0 { encoder.finish(&mut ids) } else { encoder.push_bytes(&piece[..read], &mut ids) }
            .map_err(|e| e.within(&input.name))?;
        scorer.push(&ids, &mut log_probs)?;
        ids.clear();
        total.add(log_probs.drain(..));
        pace.show(&input, total.tokens);
        if read == 0 {
            break;
        }
    }
    scorer.finish(&mut log_probs)?;
    pace.clear();
    total.add(log_probs.drain(..));
    total.count(&encoder.take_tally(), model.config.bos_token_id.is_some(), unknown);
    if total.tokens == 0 {
        let why = "a text is scored from its second token on, as the model has no bos token";
        let why = if model.config.bos_token_id.is_some() { "it is empty" } else { why };
        return Err(Error::text(&input.name, format!("no token to score: {why}")));
    }
    Ok(total)
}

/// How far scoring is, on a terminal.
struct Pace {
    bar: Bar,
    begun: Instant,
}

impl Pace {
    fn new() -> Pace {
        Pace { bar: Bar::new(), begun: Instant::now() }
    }

    fn show(&self, input: &Input, tokens: u64) {
        if self.bar.is_hidden() {
            return;
        }
        let passed = self.begun.elapsed();
        let speed = grouped(tokens as f64 / passed.as_secs_f64().max(1e-9));
        let left = input.share().and_then(|share| left(passed, 0.0, share));
        let left = left.map(|left| format!("{} left", in_words(left)));
        let parts = [Some(count(tokens, "token")), Some(format!("{speed} tokens/s")), left];
        self.bar.show(input.share(), &parts.into_iter().flatten().collect::<Vec<_>>());
    }

    fn clear(&self) {
        self.bar.clear();
    }
}

/// Sums over all that was scored.
#[derive(Default)]
struct Total {
    /// Where lines are scored.
    lines: Option<u64>,
    /// Of the text that the scored tokens stand for.
    bytes: u64,
    lacking: Lacking,
    tokens: u64,
    nats: f64,
}

impl Total {
    fn add(&mut self, log_probs: impl ExactSizeIterator<Item = f32>) {
        self.tokens += log_probs.len() as u64;
        self.nats -= log_probs.map(f64::from).sum::<f64>();
    }

    /// Adds what was read of a text; with `first`, its first token is scored too.
    fn count(&mut self, tally: &Tally, first: bool, unknown: OnUnknown) {
        self.bytes += tally.encoded(first, unknown == OnUnknown::Skip);
        self.lacking.extend(&tally.lacking);
    }

    fn report(&self, seconds: f64, adapter: String) -> Report {
        let nats_per_token = self.nats / self.tokens as f64;
        Report {
            lines: self.lines,
            tokens: self.tokens,
            nats_per_token,
            perplexity: nats_per_token.exp(),
            bits_per_byte: (self.bytes > 0).then(|| self.nats / std::f64::consts::LN_2 / self.bytes as f64),
            bytes: self.bytes,
            lacking_bytes: self.lacking.bytes,
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
    let lines = lines.map_or(String::new(), |lines| format!("lines             {}\n", grouped(lines)));
    let bits_per_byte = bits_per_byte.map_or("none".into(), |bits| format!("{bits:.4}"));
    let (tokens, speed) = (grouped(tokens), grouped(tokens_per_second));
    format!(
        "{lines}tokens            {tokens}\nnats per token    {nats_per_token:.4}\nperplexity        {perplexity:.4}\n\
         bits per byte     {bits_per_byte}\ntokens per second {speed}\n"
    )
}
