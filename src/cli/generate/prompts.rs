//! Prompts of a file or of standard input, one a line.

use std::path::Path;
use std::rc::Rc;

use clap::ValueEnum;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::Defaults;
use crate::cli::input::{Input, is_stdin};
use crate::cli::sampling::Token;
use crate::error::{Error, Result};
use crate::front::Resolved;
use crate::generate::Options as Sampling;
use crate::model::Model;
use crate::text::StopTexts;

/// The formats of prompts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum PromptsFormat {
    /// One prompt a line
    Txt,
    /// One JSON object a line
    Jsonl,
}

/// A prompt with all that it says of its sequences.
#[derive(Clone, Debug)]
pub(super) struct Prompt {
    /// The caller's id, as it was written.
    pub id: Option<Rc<RawValue>>,
    pub prompt: String,
    pub of: Resolved,
    /// The number of its first sequence; without one, its place among all sequences.
    pub sequence: Option<u64>,
}

impl Prompt {
    /// A prompt that says nothing else.
    pub fn plain(prompt: String, defaults: &Defaults) -> Prompt {
        Prompt { id: None, prompt, of: defaults.of.clone(), sequence: None }
    }
}

/// A line of a .jsonl file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    prompt: String,
    id: Option<Box<RawValue>>,
    max_tokens: Option<u32>,
    stop: Option<Texts>,
    seed: Option<u64>,
    sequence: Option<u64>,
    temperature: Option<f32>,
    top_k: Option<usize>,
    top_p: Option<f32>,
    min_p: Option<f32>,
    repetition_penalty: Option<f32>,
    presence_penalty: Option<f32>,
    frequency_penalty: Option<f32>,
    ban_tokens: Option<Vec<Token>>,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "a text or a list of texts")]
enum Texts {
    One(String),
    Several(Vec<String>),
}

impl Line {
    fn into_prompt(self, defaults: &Defaults, model: &Model) -> Result<Prompt> {
        let ids = |tokens: Vec<Token>| tokens.iter().map(|token| token.id(model)).collect::<Result<Vec<u32>>>();
        let banned = self.ban_tokens.map(ids).transpose().map_err(|e| e.within("ban_tokens"))?;
        let of = &defaults.of.sampling;
        let sampling = Sampling {
            temperature: self.temperature.unwrap_or(of.temperature),
            top_k: self.top_k.unwrap_or(of.top_k),
            top_p: self.top_p.unwrap_or(of.top_p),
            min_p: self.min_p.unwrap_or(of.min_p),
            repetition_penalty: self.repetition_penalty.unwrap_or(of.repetition_penalty),
            presence_penalty: self.presence_penalty.unwrap_or(of.presence_penalty),
            frequency_penalty: self.frequency_penalty.unwrap_or(of.frequency_penalty),
            banned: banned.map_or_else(|| of.banned.clone(), Into::into),
        };
        sampling.check(model.config.vocab_size)?;
        let stops = match self.stop {
            None => defaults.of.stops.clone(),
            Some(Texts::One(text)) => StopTexts::new(&[text])?,
            Some(Texts::Several(texts)) => StopTexts::new(&texts)?,
        };
        let of = Resolved {
            sampling,
            max_tokens: self.max_tokens.map_or(defaults.of.max_tokens, |n| n as usize),
            stops,
            eos: defaults.of.eos.clone(),
            seed: self.seed.unwrap_or(defaults.of.seed),
        };
        Ok(Prompt { id: self.id.map(Rc::from), prompt: self.prompt, of, sequence: self.sequence })
    }
}

/// Reads prompts line by line, as they are asked for.
pub(super) struct Prompts<'a> {
    input: Input,
    format: PromptsFormat,
    defaults: &'a Defaults,
    model: &'a Model,
}

impl<'a> Prompts<'a> {
    /// Opens a file, or standard input.
    pub fn open(
        path: &Path,
        format: Option<PromptsFormat>,
        defaults: &'a Defaults,
        model: &'a Model,
    ) -> Result<Prompts<'a>> {
        let format = match (format, path.extension().and_then(|e| e.to_str())) {
            (Some(format), _) => format,
            (None, Some("txt")) => PromptsFormat::Txt,
            (None, Some("jsonl")) => PromptsFormat::Jsonl,
            (None, _) if is_stdin(path) => PromptsFormat::Txt,
            (None, _) => {
                return Err(Error::Usage(format!(
                    "--prompts {}: expected a name in .txt or .jsonl, or --prompts-format",
                    path.display()
                )));
            }
        };
        Ok(Prompts { input: Input::open(path)?, format, defaults, model })
    }

    fn read_line(&mut self) -> Result<Option<String>> {
        let Some(line) = self.input.next_line()? else { return Ok(None) };
        String::from_utf8(line.bytes).map(Some).map_err(|_| self.input.wrong("not UTF-8"))
    }

    fn parse(&self, line: String) -> Result<Prompt> {
        if self.format == PromptsFormat::Txt {
            return Ok(Prompt::plain(line, self.defaults));
        }
        let parsed: Line = serde_json::from_str(&line).map_err(|e| {
            let text = e.to_string();
            // The place in the line; which line it is, we know better.
            let what = text.strip_suffix(&format!(" at line {} column {}", e.line(), e.column())).unwrap_or(&text);
            let not = if e.is_data() { "" } else { "not JSON: " };
            self.input.wrong(&format!("column {}: {not}{what}", e.column()))
        })?;
        parsed.into_prompt(self.defaults, self.model).map_err(|e| self.input.wrong(&e.to_string()))
    }

    /// Where the next prompt's messages come from: the file and the line that was read last.
    pub fn place(&self) -> String {
        self.input.place()
    }

    /// Passes over lines without looking at them.
    pub fn skip_lines(&mut self, count: u64) -> Result<()> {
        for _ in 0..count {
            if !self.input.skip_line()? {
                break;
            }
        }
        Ok(())
    }
}

impl Iterator for Prompts<'_> {
    type Item = Result<Prompt>;

    fn next(&mut self) -> Option<Result<Prompt>> {
        let line = self.read_line().transpose()?;
        Some(line.and_then(|line| self.parse(line)))
    }
}
