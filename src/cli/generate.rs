//! `gatefold generate`.

use std::process::ExitCode;
use std::time::Instant;

use clap::Args;
use serde::Serialize;

use super::sampling::SamplingArgs;
use super::{DeviceArgs, ModelArgs};
use crate::error::Result;
use crate::generate::{self, Batch, PREFILL_WINDOW, Request, Sequence};
use crate::host::Device;
use crate::model::Model;
use crate::plan::Sizes;
use crate::text::StopTexts;

/// Arguments of `generate`.
#[derive(Args)]
pub(super) struct GenerateArgs {
    #[command(flatten)]
    model: ModelArgs,

    /// Text to go on from [default: the model's own start]
    #[arg(long, short, value_name = "TEXT", default_value = "", hide_default_value = true)]
    prompt: String,

    /// Tokens to write at most [default: 500]
    #[arg(long, short = 'n', value_name = "N")]
    max_tokens: Option<u32>,

    /// End where this text appears, without writing it; may be given several times
    #[arg(long, value_name = "TEXT")]
    stop: Vec<String>,

    /// The same seed gives the same text on the same device [default: a new one each time, shown]
    #[arg(long, value_name = "SEED")]
    seed: Option<u64>,

    /// Print one JSON object: prompt, text, tokens, finish_reason, log_probability
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    device: DeviceArgs,

    #[command(flatten)]
    sampling: SamplingArgs,
}

/// Tokens at most, where neither the command line nor the model says.
const MAX_TOKENS: u32 = 500;

/// What `--json` prints.
#[derive(Serialize)]
struct Report<'a> {
    prompt: &'a str,
    text: &'a str,
    tokens: &'a [u32],
    finish_reason: &'static str,
    /// Under the model without filters, at temperature 1, of all tokens together.
    log_probability: f64,
}

pub(super) fn run(args: &GenerateArgs) -> Result<ExitCode> {
    let model = args.model.open()?;
    let vocab = model.config.vocab_size;
    let generation = model.generation_config.clone().unwrap_or_default();
    let options = args.sampling.options(&generation, vocab)?;
    let prompt = model.prompt_ids(&args.prompt, args.model.on_unknown(&model)?)?;
    let sequence = sequence(args, &model, generation.stop_strings.as_deref())?;
    let device = Device::choose(&args.device.choice(), args.device.threads())?;
    super::announce(&model, &args.device, &device);
    let seed = args.seed.unwrap_or_else(fresh_seed);

    let planned = if options.need_filters() { generate::plan_with_filters } else { generate::plan };
    let plan = planned(model.shape, 0);
    let capacity = Sizes { rows: 1, time: PREFILL_WINDOW };
    let mut executor = device.executor(&plan.plan, capacity, &generate::sections(&plan))?;
    model.weights.load_into(&mut *executor)?;
    let mut batch = Batch::new(plan, executor);
    let max_tokens = args.max_tokens.or(generation.max_new_tokens).unwrap_or(MAX_TOKENS) as usize;
    let stop = model.eos_ids().into_iter().take(4).collect();
    let request = Request { prompt, sequence: 0, seed, options, max_tokens, stop };
    batch.start(std::slice::from_ref(&request))?;
    stream(args, &mut batch, sequence, seed)
}

/// The sequence that tokens will be added to.
fn sequence(args: &GenerateArgs, model: &Model, of_model: Option<&[String]>) -> Result<Sequence> {
    let stops = if args.stop.is_empty() { of_model.unwrap_or_default() } else { &args.stop };
    let stops = StopTexts::new(stops).map_err(|e| crate::Error::Usage(format!("--stop: {e}")))?;
    Ok(Sequence::new(&model.tokenizer, stops, model.eos_ids()))
}

/// Takes tokens as they arrive and prints them, then says how fast they came.
fn stream(args: &GenerateArgs, batch: &mut Batch, mut sequence: Sequence, seed: u64) -> Result<ExitCode> {
    let started = Instant::now();
    let clock = || started.elapsed().as_micros() as u64;
    let mut read_on = args.json || super::print(&args.prompt)?;
    let mut shown = 0;
    while read_on && sequence.finish.is_none() && !batch.is_done() {
        for event in batch.wait(&clock)? {
            sequence.push(event.token, event.log_prob, event.finish)?;
        }
        if !args.json {
            read_on = super::print(&sequence.text[shown..])?;
            shown = sequence.text.len();
        }
    }
    if !read_on {
        return Ok(ExitCode::SUCCESS);
    }
    let seconds = started.elapsed().as_secs_f64();
    super::print(&if args.json { json(&args.prompt, &sequence) } else { "\n".into() })?;
    let tokens = sequence.tokens.len();
    super::say(&format!("{tokens} tokens, {:.0} tokens/s, seed {seed}", tokens as f64 / seconds.max(1e-9)));
    Ok(ExitCode::SUCCESS)
}

fn json(prompt: &str, sequence: &Sequence) -> String {
    let report = Report {
        prompt,
        text: &sequence.text,
        tokens: &sequence.tokens,
        finish_reason: sequence.finish.map_or("length", |reason| reason.word()),
        log_probability: sequence.log_probability(),
    };
    serde_json::to_string(&report).expect("a report is JSON") + "\n"
}

/// A seed from the hasher's own randomness: short enough to be typed again.
fn fresh_seed() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    std::collections::hash_map::RandomState::new().build_hasher().finish() % 1_000_000
}
