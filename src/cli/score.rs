//! `gatefold score`.

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::Args;
use serde::Serialize;

use super::{DeviceArgs, ModelArgs};
use crate::error::{Error, Result};
use crate::host::Device;
use crate::model::Model;
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

    /// Print one JSON object
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    device: DeviceArgs,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Report {
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
    let mut encoder = Encoder::new(&model.tokenizer, args.model.on_unknown(&model)?)?;
    let (name, mut file) = open(&args.file)?;
    super::announce(&model, &args.device, &device);

    let mut scorer = scorer(&model, &device)?;
    let started = Instant::now();
    let mut total = Total::default();
    let (mut piece, mut ids, mut log_probs) = (vec![0; PIECE], Vec::new(), Vec::new());
    loop {
        let read = file.read(&mut piece).map_err(|source| Error::Io { context: name.clone(), source })?;
        total.bytes += read as u64;
        if read == 0 { encoder.finish(&mut ids) } else { encoder.push_bytes(&piece[..read], &mut ids) }
            .map_err(|e| e.within(&name))?;
        scorer.push(&ids, &mut log_probs)?;
        ids.clear();
        total.add(&mut log_probs);
        if read == 0 {
            break;
        }
    }
    scorer.finish(&mut log_probs)?;
    total.add(&mut log_probs);
    if total.tokens == 0 {
        let why = "a text is scored from its second token on, as the model has no bos token";
        let why = if model.config.bos_token_id.is_some() { "it is empty" } else { why };
        return Err(Error::Text(format!("{name}: no token to score: {why}")));
    }
    let report = total.report(started.elapsed().as_secs_f64(), device.name());
    let text = if args.json { json(&report) } else { table(&report) };
    super::print(&text)?;
    Ok(ExitCode::SUCCESS)
}

fn open(path: &std::path::Path) -> Result<(String, Box<dyn Read>)> {
    if path.as_os_str() == "-" {
        return Ok(("standard input".into(), Box::new(std::io::stdin())));
    }
    let name = path.display().to_string();
    match File::open(path) {
        Ok(file) => Ok((name, Box::new(file))),
        Err(source) => Err(Error::Io { context: name, source }),
    }
}

fn scorer(model: &Model, device: &Device) -> Result<Scorer> {
    let shape = model.config.shape();
    let plan = score::plan(shape);
    let mut executor = device.executor(&plan.plan, score::sizes(shape), &score::sections(&plan))?;
    model.weights.load_into(&mut *executor)?;
    Scorer::new(plan, executor, model.config.bos_token_id)
}

/// Sums over the whole text.
#[derive(Default)]
struct Total {
    bytes: u64,
    tokens: u64,
    nats: f64,
}

impl Total {
    fn add(&mut self, log_probs: &mut Vec<f32>) {
        self.tokens += log_probs.len() as u64;
        self.nats -= log_probs.drain(..).map(f64::from).sum::<f64>();
    }

    fn report(&self, seconds: f64, adapter: String) -> Report {
        let nats_per_token = self.nats / self.tokens as f64;
        Report {
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
    let Report { tokens, nats_per_token, perplexity, bits_per_byte, tokens_per_second, .. } = report;
    format!(
        "tokens            {tokens}\nnats per token    {nats_per_token:.4}\nperplexity        {perplexity:.4}\n\
         bits per byte     {bits_per_byte:.4}\ntokens per second {tokens_per_second:.0}\n"
    )
}
