//! Many sequences: from arguments to jobs, from completions to lines.

use std::cell::RefCell;
use std::process::ExitCode;
use std::rc::Rc;

use serde_json::{Map, Value, json};

use super::formats::Format;
use super::jobs::{Jobs, Source};
use super::output::{self, Found};
use super::progress::Bar;
use super::prompts::{Prompt, Prompts, PromptsFormat};
use super::unique::Unique;
use super::writer::Writer;
use super::{Defaults, GenerateArgs, clock, fresh_seed};
use crate::cli::input::is_stdin;
use crate::error::{Error, Result};
use crate::generate::{Completions, Generator};
use crate::host::{self, Manifest, Output, Progress};
use crate::model::Model;
use crate::text::Lacking;

/// Sequences side by side, where nothing is said.
const ROWS: u64 = 256;

/// A survey of the prompts before any is used.
struct Survey {
    /// Sequences of all prompts; unknown on standard input.
    total: Option<u64>,
    /// Whether any needs filters.
    filters: bool,
    /// Hash of the file.
    hash: Option<u64>,
}

pub(super) fn run(args: &GenerateArgs) -> Result<ExitCode> {
    let many = &args.many;
    let found = output::look(many.output(), many.resume)?;
    let model = args.model.open()?;
    let before = found.as_ref().and_then(|found| found.manifest.as_ref());
    let of_run = before.and_then(|m| m.run.get("seed")).and_then(Value::as_u64);
    let seed = args.seed.or(of_run).unwrap_or_else(fresh_seed);
    let defaults = Defaults::new(args, &model, seed)?;
    let survey = survey(args, &model, &defaults)?;
    if many.shard.is_some() && survey.total.is_none() {
        return Err(Error::Usage("--shard: how many prompts standard input has is not known; give a file".into()));
    }
    let format = many.format.unwrap_or_else(|| many.output().map_or(Format::Text, Format::of));
    if many.logprobs && format != Format::Jsonl {
        return Err(Error::Usage(format!("--logprobs: {} has no place for them; --format jsonl has", format.name())));
    }
    let all = 0..survey.total.unwrap_or(u64::MAX);
    let part = many.shard.map_or(all.clone(), |shard| shard.range(all.end));

    if many.unique && many.shard.is_some() {
        crate::cli::say(
            "--unique with --shard: each part leaves out what it has itself; two parts may have a text in common",
        );
    }

    let device = args.device.open()?;
    crate::cli::announce(&model, &args.device, &device);
    let rows = many.batch.map_or_else(|| ROWS.min(part.end - part.start).max(1), u64::from) as usize;
    let mut generator = host::generator(&model, &device, rows, survey.filters)?;
    generator.want_log_probs(format.needs_log_probs());

    let run = run_of(args, &model, &defaults, &survey, format, &generator);
    let with = Map::from_iter([("batch".into(), rows.into()), ("kernels".into(), kernels(&generator).into())]);
    let program = concat!("gatefold ", env!("CARGO_PKG_VERSION")).to_string();
    let progress = before.map_or(Ok(Progress::default()), |manifest| {
        let path = many.output().expect("it has a manifest");
        manifest.check_same(&run, path)?;
        let total = survey.total.map(|_| part.end - part.start);
        manifest.progress.check(&Manifest::path(path).display().to_string(), total)?;
        Ok(manifest.progress)
    });
    let progress = progress.map_err(of_resume)?;
    if let (true, Some(path)) = (progress.finished, many.output()) {
        Output::verify(path, &progress).map_err(of_resume)?;
        crate::cli::say("the run is finished already");
        return Ok(ExitCode::SUCCESS);
    }
    let manifest = Manifest { program, run, with, progress };
    let output = match (many.output(), found) {
        (Some(path), Some(Found { lock, .. })) => Output::open(path, manifest, lock).map_err(of_resume)?,
        (Some(path), None) => Output::device(path)?,
        (None, _) => Output::standard(),
    };
    let mut unique = many.unique.then(Unique::default);
    if let (Some(unique), Some(path)) = (&mut unique, many.output().filter(|_| progress.bytes > 0)) {
        output::for_records(path, progress.bytes, format, |line| {
            format.content(line).iter().for_each(|text| _ = unique.insert(text));
        })?;
        unique.dropped = progress.dropped;
    }

    let range = part.start + progress.sequences..part.end;
    let lacking = Rc::new(RefCell::new(Lacking::default()));
    let jobs = Jobs {
        source: source(args, &model, &defaults, range.start / many.samples_per_prompt)?,
        model: &model,
        unknown: defaults.unknown,
        lacking: lacking.clone(),
        samples: many.samples_per_prompt,
        range,
        current: None,
    };
    let total = survey.total.map(|_| part.end - part.start);
    let bar = Bar::new(total, progress.sequences);
    let interrupted = output.file().map(|_| host::interrupt_flag());
    let writer = Writer {
        format,
        log_probs: many.logprobs,
        on_error: many.on_error,
        output,
        unique,
        bar,
        is_first: part.start == 0,
        interrupted,
    };
    let written = writer.run(Completions::new(generator, jobs, clock()), seed);
    crate::cli::say_lacking(&lacking.borrow(), defaults.unknown);
    written
}

/// An error of what `--resume` found.
fn of_resume(error: Error) -> Error {
    match error {
        Error::Output { .. } | Error::OtherRun { .. } | Error::Record { .. } => {
            Error::Usage(format!("--resume: {error}"))
        }
        other => other,
    }
}

/// Counts prompts and looks for filters, where they come from a file.
fn survey(args: &GenerateArgs, model: &Model, defaults: &Defaults) -> Result<Survey> {
    let many = &args.many;
    let filters = defaults.of.sampling.need_filters();
    let Some(path) = &many.prompts else {
        let total = many.count.unwrap_or(many.samples_per_prompt);
        return Ok(Survey { total: Some(total), filters, hash: None });
    };
    // Asked before it is opened: opening a pipe would wait for a writer.
    if !is_stdin(path) && path.metadata().is_ok_and(|found| !found.is_file()) {
        let what = "expected a file, which is read twice, or - for standard input";
        return Err(Error::Usage(format!("--prompts {}: {what}", path.display())));
    }
    let prompts = Prompts::open(path, many.prompts_format, defaults, model)?;
    if is_stdin(path) {
        let filters = filters || many.prompts_format == Some(PromptsFormat::Jsonl);
        return Ok(Survey { total: None, filters, hash: None });
    }
    let (mut lines, mut filters) = (0u64, filters);
    for prompt in prompts {
        lines += 1;
        filters |= prompt.is_ok_and(|prompt| prompt.of.sampling.need_filters());
    }
    let bytes = crate::host::map(path)?;
    let hash = crate::hash::bytes(crate::hash::START, &bytes);
    let total = u64::checked_mul(lines, many.samples_per_prompt).ok_or_else(|| {
        let (each, most) = (many.samples_per_prompt, u64::MAX / lines);
        Error::Usage(format!("--samples-per-prompt {each}: of {lines} prompts; expected at most {most}"))
    })?;
    Ok(Survey { total: Some(total), filters, hash: Some(hash) })
}

/// Where prompts come from, from prompt number `first` on.
fn source<'a>(args: &GenerateArgs, model: &'a Model, defaults: &'a Defaults, first: u64) -> Result<Source<'a>> {
    match &args.many.prompts {
        None => Ok(Source::One(Box::new(Prompt::plain(args.prompt().to_string(), defaults)))),
        Some(path) => {
            let mut prompts = Prompts::open(path, args.many.prompts_format, defaults, model)?;
            prompts.skip_lines(first)?;
            Ok(Source::Lines(Box::new(prompts)))
        }
    }
}

/// All that the lines depend on.
fn run_of(
    args: &GenerateArgs,
    model: &Model,
    defaults: &Defaults,
    survey: &Survey,
    format: Format,
    generator: &Generator,
) -> Map<String, Value> {
    let many = &args.many;
    let run = json!({
        "model_hash": format!("{:016x}", model.fingerprint()),
        "device": adapter(generator),
        "order": order(generator),
        "seed": defaults.of.seed,
        "prompt": args.prompt(),
        "prompts_hash": survey.hash.map(|hash| format!("{hash:016x}")),
        "sequences": survey.total,
        "samples_per_prompt": many.samples_per_prompt,
        "shard": many.shard.map(|shard| shard.to_string()),
        "options": defaults.of.sampling,
        "max_tokens": defaults.of.max_tokens,
        "stop": defaults.of.stops.texts(),
        "eos": defaults.of.eos,
        "on_unknown": format!("{:?}", defaults.unknown),
        "format": format.name(),
        "logprobs": many.logprobs,
        "unique": many.unique,
    });
    match run {
        Value::Object(run) => run,
        _ => unreachable!("an object was written"),
    }
}

/// The adapter and its driver, or the CPU with any number of threads: what equal bits are promised for.
fn adapter(generator: &Generator) -> String {
    let device = generator.executor().device();
    if device.starts_with("CPU (") { "CPU".into() } else { device }
}

/// The orders of sums that the kernels have.
fn order(generator: &Generator) -> String {
    let mut classes: Vec<String> = generator.kernels().iter().map(|kernel| kernel.class.to_string()).collect();
    classes.sort();
    classes.dedup();
    classes.retain(|class| class != "none");
    classes.join(", ")
}

fn kernels(generator: &Generator) -> Vec<String> {
    let mut names: Vec<String> =
        generator.kernels().iter().map(|kernel| format!("{} {}", kernel.op, kernel.name)).collect();
    names.sort();
    names.dedup();
    names
}
