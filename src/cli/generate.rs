//! `gatefold generate`.

use std::process::ExitCode;
use std::time::Instant;

use clap::Args;

use super::DeviceArgs;
use crate::error::{Error, Result};
use crate::generate::{self, Batch, Options, PREFILL_WINDOW, Request};
use crate::host::Device;
use crate::model::Model;
use crate::plan::Sizes;

/// Arguments of `generate`.
#[derive(Args)]
pub(super) struct GenerateArgs {
    /// Text to go on from [default: the model's own start]
    #[arg(long, short, value_name = "TEXT", default_value = "", hide_default_value = true)]
    prompt: String,

    /// Tokens to write at most
    #[arg(long, short = 'n', value_name = "N", default_value_t = 500)]
    max_tokens: u32,

    #[command(flatten)]
    sampling: SamplingArgs,

    /// The same seed gives the same text on the same device [default: a new one each time, shown]
    #[arg(long, value_name = "SEED")]
    seed: Option<u64>,

    #[command(flatten)]
    device: DeviceArgs,
}

/// How tokens are chosen.
#[derive(Args)]
struct SamplingArgs {
    /// Divides the logits: below 1 bolder, above 1 wilder, 0 always the most likely token
    #[arg(long, short, value_name = "T", default_value_t = 0.8, allow_negative_numbers = true)]
    temperature: f32,

    /// Choose among the K most likely tokens
    #[arg(long, value_name = "K")]
    top_k: Option<usize>,

    /// Choose among the most likely tokens that together have probability P
    #[arg(long, value_name = "P", default_value_t = 1.0, hide_default_value = true, allow_negative_numbers = true)]
    top_p: f32,

    /// Choose among tokens at least P times as likely as the most likely one
    #[arg(long, value_name = "P", default_value_t = 0.0, hide_default_value = true, allow_negative_numbers = true)]
    min_p: f32,

    /// Divide the positive logits of tokens that occurred by R, multiply negative ones
    #[arg(long, value_name = "R", default_value_t = 1.0, hide_default_value = true, allow_negative_numbers = true)]
    repetition_penalty: f32,

    /// Subtract X from the logits of tokens that occurred
    #[arg(long, value_name = "X", default_value_t = 0.0, hide_default_value = true, allow_negative_numbers = true)]
    presence_penalty: f32,

    /// Subtract X from a logit for each time that its token occurred
    #[arg(long, value_name = "X", default_value_t = 0.0, hide_default_value = true, allow_negative_numbers = true)]
    frequency_penalty: f32,

    /// Never draw the token with this id; may be given several times
    #[arg(long = "ban-token", value_name = "ID")]
    banned: Vec<u32>,
}

impl SamplingArgs {
    fn options(&self, vocab: usize) -> Result<Options> {
        if self.top_k == Some(0) {
            return Err(Error::Usage("--top-k 0: expected 1 or more; without --top-k all tokens are kept".into()));
        }
        let options = Options {
            temperature: self.temperature,
            top_k: self.top_k.unwrap_or(0),
            top_p: self.top_p,
            min_p: self.min_p,
            repetition_penalty: self.repetition_penalty,
            presence_penalty: self.presence_penalty,
            frequency_penalty: self.frequency_penalty,
            banned: self.banned.clone(),
        };
        options.check(vocab).map_err(|e| Error::Usage(format!("--{e}")))?;
        Ok(options)
    }
}

pub(super) fn run(args: &GenerateArgs) -> Result<ExitCode> {
    let model = Model::shakespeare()?;
    let options = args.sampling.options(model.shape.vocab)?;
    let prompt = model.prompt_ids(&args.prompt)?;
    let device = Device::choose(&args.device.choice(), args.device.threads())?;
    eprintln!("gatefold: {} on {}", model.name, device.name());
    let seed = args.seed.unwrap_or_else(fresh_seed);

    let plan =
        if options.need_filters() { generate::plan_with_filters(model.shape, 0) } else { generate::plan(model.shape, 0) };
    let capacity = Sizes { rows: 1, time: PREFILL_WINDOW };
    let mut executor = device.executor(&plan.plan, capacity, &generate::sections(&plan))?;
    model.weights.load_into(&mut *executor)?;
    let mut batch = Batch::new(plan, executor);
    let request = Request {
        prompt,
        sequence: 0,
        seed,
        options,
        max_tokens: args.max_tokens as usize,
        stop: Vec::new(),
    };
    super::print(&args.prompt)?;
    batch.start(std::slice::from_ref(&request))?;
    stream(&mut batch, &model, seed)
}

/// Prints tokens as they arrive, then how fast they came.
fn stream(batch: &mut Batch, model: &Model, seed: u64) -> Result<ExitCode> {
    let started = Instant::now();
    let clock = || started.elapsed().as_micros() as u64;
    let mut tokens = 0;
    while !batch.is_done() {
        let events = batch.wait(&clock)?;
        tokens += events.len();
        let text: String = events.iter().filter_map(|event| model.tokenizer.decode(event.token)).collect();
        if !super::print(&text)? {
            return Ok(ExitCode::SUCCESS);
        }
    }
    let seconds = started.elapsed().as_secs_f64();
    super::print("\n")?;
    eprintln!("gatefold: {tokens} tokens, {:.0} tokens/s, seed {seed}", tokens as f64 / seconds.max(1e-9));
    Ok(ExitCode::SUCCESS)
}

/// A seed from the hasher's own randomness: short enough to be typed again.
fn fresh_seed() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    std::collections::hash_map::RandomState::new().build_hasher().finish() % 1_000_000
}
