//! `gatefold generate`.

use std::process::ExitCode;
use std::time::Instant;

use clap::Args;

use super::DeviceArgs;
use crate::error::{Error, Result};
use crate::generate::{self, Batch, PREFILL_WINDOW, Request};
use crate::host::Device;
use crate::model::Model;
use crate::plan::Sizes;
use crate::text::Decoder;

/// Arguments of `generate`.
#[derive(Args)]
pub(super) struct GenerateArgs {
    /// Text to go on from [default: the model's own start]
    #[arg(long, short, value_name = "TEXT", default_value = "", hide_default_value = true)]
    prompt: String,

    /// Tokens to write at most
    #[arg(long, short = 'n', value_name = "N", default_value_t = 500)]
    max_tokens: u32,

    /// Divides the logits: below 1 bolder, above 1 wilder, 0 always the most likely token
    #[arg(long, short, value_name = "T", default_value_t = 0.8, allow_negative_numbers = true)]
    temperature: f32,

    /// The same seed gives the same text on the same device [default: a new one each time, shown]
    #[arg(long, value_name = "SEED")]
    seed: Option<u64>,

    #[command(flatten)]
    device: DeviceArgs,
}

pub(super) fn run(args: &GenerateArgs) -> Result<ExitCode> {
    if !(args.temperature.is_finite() && (args.temperature == 0.0 || args.temperature >= 1e-3)) {
        let temperature = args.temperature;
        return Err(Error::Usage(format!("--temperature {temperature}: expected 0 (greedy), or 0.001 and more")));
    }
    let model = Model::shakespeare()?;
    let prompt = model.prompt_ids(&args.prompt)?;
    let device = Device::choose(&args.device.choice(), args.device.threads())?;
    eprintln!("gatefold: {} on {}", model.name, device.name());
    let seed = args.seed.unwrap_or_else(fresh_seed);

    let plan = generate::plan(model.shape, 0);
    let capacity = Sizes { rows: 1, time: PREFILL_WINDOW };
    let mut executor = device.executor(&plan.plan, capacity, &generate::sections(&plan))?;
    model.weights.load_into(&mut *executor)?;
    let mut batch = Batch::new(plan, executor);
    let request = Request {
        prompt,
        sequence: 0,
        seed,
        temperature: args.temperature,
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
    let mut decoder = Decoder::new(&model.tokenizer);
    let mut tokens = 0;
    while !batch.is_done() {
        let events = batch.wait(&clock)?;
        tokens += events.len();
        let mut text = String::new();
        for event in &events {
            decoder.push(event.token, &mut text)?;
        }
        if !super::print(&text)? {
            return Ok(ExitCode::SUCCESS);
        }
    }
    let seconds = started.elapsed().as_secs_f64();
    let mut text = String::new();
    decoder.finish(&mut text);
    super::print(&(text + "\n"))?;
    eprintln!("gatefold: {tokens} tokens, {:.0} tokens/s, seed {seed}", tokens as f64 / seconds.max(1e-9));
    Ok(ExitCode::SUCCESS)
}

/// A seed from the hasher's own randomness: short enough to be typed again.
fn fresh_seed() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    std::collections::hash_map::RandomState::new().build_hasher().finish() % 1_000_000
}
