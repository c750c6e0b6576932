//! One text, written as it comes.

use std::process::ExitCode;
use std::time::Instant;

use serde::Serialize;

use super::{Defaults, GenerateArgs, clock, fresh_seed};
use crate::cli::numbers::{count, grouped};
use crate::error::Result;
use crate::generate::{Completions, Job, Sequence};
use crate::host;
use crate::text::Lacking;

/// The report that `--json` prints.
#[derive(Serialize)]
struct Report<'a> {
    prompt: &'a str,
    text: &'a str,
    tokens: &'a [u32],
    finish_reason: &'static str,
    /// Under the model without filters, at temperature 1, of all tokens together.
    log_probability: f64,
    seed: u64,
}

pub(super) fn run(args: &GenerateArgs) -> Result<ExitCode> {
    let model = args.model.open()?;
    let seed = args.seed.unwrap_or_else(fresh_seed);
    let Defaults { of, unknown } = Defaults::new(args, &model, seed)?;
    let mut lacking = Lacking::default();
    let prompt = model.prompt_ids_and_note(args.prompt(), unknown, &mut lacking)?;
    let device = args.device.open()?;
    crate::cli::announce(&model, &args.device, &device);
    crate::cli::say_lacking(&lacking, unknown);
    let generator = host::generator(&model, &device, 1, of.sampling.need_filters())?;
    let (request, sequence) = (of.request(prompt, 0), of.begin(&model));
    stream(args, Completions::new(generator, std::iter::once(((), Ok(Job { request, sequence }))), clock()), seed)
}

/// Takes tokens as they arrive and prints them, then says how fast they came.
fn stream<J>(args: &GenerateArgs, mut texts: Completions<(), J>, seed: u64) -> Result<ExitCode>
where
    J: Iterator<Item = ((), Result<Job>)>,
{
    let print = crate::cli::print;
    let started = Instant::now();
    if !args.json && !print(args.prompt())? {
        return Ok(ExitCode::SUCCESS);
    }
    let mut shown = 0;
    while !texts.is_ready() {
        texts.advance()?;
        let text = texts.front().map_or("", |sequence| &sequence.text);
        if !args.json && !print(&text[shown..])? {
            return Ok(ExitCode::SUCCESS);
        }
        shown = text.len();
    }
    let sequence = texts.next().expect("one job")?.1?;
    let seconds = started.elapsed().as_secs_f64();
    print(&if args.json { json(args.prompt(), seed, &sequence) } else { "\n".into() })?;
    let tokens = sequence.tokens.len();
    let speed = grouped(tokens as f64 / seconds.max(1e-9));
    crate::cli::say(&format!("{}, {speed} tokens/s, seed {seed}", count(tokens as u64, "token")));
    Ok(ExitCode::SUCCESS)
}

fn json(prompt: &str, seed: u64, sequence: &Sequence) -> String {
    let report = Report {
        prompt,
        text: &sequence.text,
        tokens: &sequence.tokens,
        finish_reason: sequence.finish.map_or("length", |reason| reason.word()),
        log_probability: sequence.log_probability(),
        seed,
    };
    serde_json::to_string(&report).expect("a report is JSON") + "\n"
}
