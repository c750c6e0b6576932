//! `gatefold translate`: a source in, a target out, line by line and in order.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use clap::Args;

use super::input::Input;
use super::numbers::{count, grouped};
use super::{DeviceArgs, say, say_lacking};
use crate::error::Result;
use crate::generate::{Options, Translation, Translator};
use crate::host::{self, open_model};
use crate::model::Model;
use crate::ops::rows::Finish;
use crate::text::{Lacking, OnUnknown};

/// Arguments of `translate`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct TranslateArgs {
    /// Texts to translate; without any, each line of --input
    #[arg(value_name = "TEXT", conflicts_with = "input")]
    texts: Vec<String>,

    /// The folder of a model that `gatefold train --pairs` made
    #[arg(long, short, value_name = "DIR")]
    model: String,

    /// A file with a source in each line; - for standard input
    #[arg(long, short, value_name = "FILE", default_value = "-")]
    input: PathBuf,

    /// Sources side by side
    #[arg(long, value_name = "N", default_value_t = 64, allow_negative_numbers = true, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    batch: u32,

    /// Tokens of a target at most
    #[arg(long, short = 'n', value_name = "N", default_value_t = 256, allow_negative_numbers = true, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    max_tokens: u32,

    /// Tokens of a source at most; of longer ones the first are read, and it is said
    #[arg(long, value_name = "N", default_value_t = 256, allow_negative_numbers = true, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    max_source: u32,

    /// 0 takes the most likely token; else tokens are drawn
    #[arg(long, short, value_name = "T", default_value_t = 0.0, allow_negative_numbers = true)]
    temperature: f32,

    /// Keys the noise of what is drawn: line i gets the same target in any batch
    #[arg(long, value_name = "SEED", default_value_t = 1)]
    seed: u64,

    /// Print the mean log-probability of a target's tokens and a tab before it
    #[arg(long)]
    scores: bool,

    #[command(flatten, next_help_heading = "Device")]
    device: DeviceArgs,
}

const EXAMPLES: &str = "\
Examples:
  gatefold train --pairs pairs.tsv --output my-model
  gatefold translate --model my-model \"a source\"
  gatefold translate --model my-model < sources.txt > targets.txt";

/// How a run went.
#[derive(Default)]
struct Tally {
    lacking: Lacking,
    lines: u64,
    tokens: u64,
    /// Sources of which only the first tokens were read.
    cut: u64,
    /// Targets that came to no end.
    endless: u64,
}

pub(super) fn run(args: &TranslateArgs) -> Result<ExitCode> {
    let model = open_model(&args.model)?;
    model.encoder_decoder()?;
    let device = args.device.open()?;
    super::announce(&model, &args.device, &device);
    let rows = if args.texts.is_empty() { args.batch } else { args.batch.min(args.texts.len() as u32) };
    let translator = host::translator(&model, &device, rows as usize, args.max_source as usize, false)?;
    let unknown = model.source_tokenizer().unknown_id().map_or(OnUnknown::Skip, OnUnknown::Unk);
    let (mut tally, started) = (Tally::default(), Instant::now());
    let mut lines = Lines {
        args,
        model: &model,
        translator,
        unknown,
        ready: BTreeMap::new(),
        numbers: HashMap::new(),
        begun: 0,
        written: 0,
    };
    let mut sources = Sources::new(args)?;
    lines.run(&mut || sources.next(), &mut tally)?;
    say_lacking(&tally.lacking, unknown);
    if tally.cut > 0 {
        let most = count(args.max_source.into(), "token");
        say(&format!("{} had more than {most}; the rest of each was not read", count(tally.cut, "source")));
    }
    if tally.endless > 0 {
        let most = count(args.max_tokens.into(), "token");
        say(&format!("{} had no end after {most}", count(tally.endless, "target")));
    }
    let speed = grouped(tally.tokens as f64 / started.elapsed().as_secs_f64().max(1e-9));
    say(&format!("{}; {}, {speed} tokens/s", count(tally.lines, "line"), count(tally.tokens, "token")));
    Ok(ExitCode::SUCCESS)
}

/// Where sources come from.
enum Sources<'a> {
    Typed(std::slice::Iter<'a, String>),
    Read(Input),
}

impl Sources<'_> {
    fn new(args: &TranslateArgs) -> Result<Sources<'_>> {
        match args.texts.is_empty() {
            false => Ok(Sources::Typed(args.texts.iter())),
            true => Input::open(Path::new(&args.input)).map(Sources::Read),
        }
    }

    fn next(&mut self) -> Result<Option<String>> {
        match self {
            Sources::Typed(texts) => Ok(texts.next().cloned()),
            Sources::Read(input) => match input.next_line()? {
                None => Ok(None),
                Some(line) => match String::from_utf8(line.bytes) {
                    Ok(text) => Ok(Some(text)),
                    Err(e) => Err(input.wrong(&format!("byte {} is not UTF-8", 1 + e.utf8_error().valid_up_to()))),
                },
            },
        }
    }
}

/// Lines on their way.
struct Lines<'a> {
    args: &'a TranslateArgs,
    model: &'a Model,
    translator: Translator,
    unknown: OnUnknown,
    /// Lines that are done and wait for earlier ones, by their numbers.
    ready: BTreeMap<u64, String>,
    /// The lines of translations that have not ended.
    numbers: HashMap<u64, u64>,
    /// Lines that were read, and lines that were written.
    begun: u64,
    written: u64,
}

impl Lines<'_> {
    fn run(&mut self, next: &mut dyn FnMut() -> Result<Option<String>>, tally: &mut Tally) -> Result<()> {
        let started = Instant::now();
        let clock = move || started.elapsed().as_micros() as u64;
        let ahead = 4 * u64::from(self.args.batch);
        let (mut more, mut ended, mut failed) = (true, Vec::new(), None);
        while more || self.translator.live() > 0 {
            while more && self.begun - self.written < ahead {
                match next().and_then(|text| text.map(|text| self.submit(&text, tally)).transpose()) {
                    Ok(submitted) => more = submitted.is_some(),
                    // What was begun is finished and written first.
                    Err(error) => (more, failed) = (false, Some(error)),
                }
            }
            if self.translator.live() > 0 {
                self.translator.wait(&clock, &mut ended)?;
            }
            for translation in ended.drain(..) {
                let number = self.numbers.remove(&translation.id).expect("it was submitted");
                self.ready.insert(number, self.line(&translation, tally)?);
            }
            if !self.write()? {
                return Ok(());
            }
        }
        tally.lines = self.written;
        failed.map_or(Ok(()), Err)
    }

    /// Begins with a line. The target of one that has nothing to translate is empty.
    fn submit(&mut self, text: &str, tally: &mut Tally) -> Result<()> {
        let number = self.begun;
        self.begun += 1;
        let TranslateArgs { max_source, max_tokens, temperature, seed, .. } = *self.args;
        let eos = self.model.config.source_eos_token_id;
        let mut ids = self.model.source_ids(text, self.unknown, &mut tally.lacking)?;
        if text.trim().is_empty() || ids.len() <= usize::from(eos.is_some()) {
            self.ready.insert(number, String::new());
            return Ok(());
        }
        let most = max_source as usize;
        if ids.len() > most {
            tally.cut += 1;
            // What ends a source still does.
            ids.truncate(most - usize::from(eos.is_some()));
            ids.extend(eos);
        }
        let options = Options { temperature, ..Options::default() };
        let id = self.translator.submit(ids, max_tokens as usize, (seed, number), options)?;
        self.numbers.insert(id, number);
        Ok(())
    }

    /// A target as a line.
    fn line(&self, translation: &Translation, tally: &mut Tally) -> Result<String> {
        let Translation { tokens, log_probs, finish, .. } = translation;
        tally.tokens += log_probs.len() as u64;
        tally.endless += u64::from(*finish == Finish::Length);
        let text = self.model.tokenizer.decode(tokens)?.replace(['\n', '\r'], " ");
        Ok(match self.args.scores {
            false => text,
            true => {
                let sum: f64 = log_probs.iter().map(|p| f64::from(*p)).sum();
                format!("{:.4}\t{text}", sum / log_probs.len().max(1) as f64)
            }
        })
    }

    /// Writes what is next; `false` where nobody reads it any more.
    fn write(&mut self) -> Result<bool> {
        let mut text = String::new();
        while let Some(line) = self.ready.remove(&self.written) {
            text += &line;
            text.push('\n');
            self.written += 1;
        }
        if text.is_empty() { Ok(true) } else { super::print(&text) }
    }
}
