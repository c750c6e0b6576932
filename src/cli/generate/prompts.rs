//! Prompts of a file or of standard input, one a line.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use clap::ValueEnum;
use serde::Deserialize;
use serde_json::Value;

use super::Defaults;
use crate::error::{Error, Result};
use crate::generate::Options;
use crate::text::StopTexts;

/// What prompts are written in.
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
    /// What the caller calls it.
    pub id: Option<Value>,
    pub prompt: String,
    pub options: Options,
    pub max_tokens: usize,
    pub stops: StopTexts,
    pub seed: u64,
    /// The number of its first sequence; without one, its place among all sequences.
    pub sequence: Option<u64>,
}

impl Prompt {
    /// A prompt that says nothing else.
    pub fn plain(prompt: String, defaults: &Defaults) -> Prompt {
        Prompt {
            id: None,
            prompt,
            options: defaults.options.clone(),
            max_tokens: defaults.max_tokens,
            stops: defaults.stops.clone(),
            seed: defaults.seed,
            sequence: None,
        }
    }
}

/// A line of a .jsonl file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    prompt: String,
    id: Option<Value>,
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
    ban_tokens: Option<Vec<u32>>,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "a text or a list of texts")]
enum Texts {
    One(String),
    Several(Vec<String>),
}

impl Line {
    fn into_prompt(self, defaults: &Defaults, vocab: usize) -> Result<Prompt> {
        let of = &defaults.options;
        let options = Options {
            temperature: self.temperature.unwrap_or(of.temperature),
            top_k: self.top_k.unwrap_or(of.top_k),
            top_p: self.top_p.unwrap_or(of.top_p),
            min_p: self.min_p.unwrap_or(of.min_p),
            repetition_penalty: self.repetition_penalty.unwrap_or(of.repetition_penalty),
            presence_penalty: self.presence_penalty.unwrap_or(of.presence_penalty),
            frequency_penalty: self.frequency_penalty.unwrap_or(of.frequency_penalty),
            banned: self.ban_tokens.unwrap_or_else(|| of.banned.clone()),
        };
        options.check(vocab)?;
        let stops = match self.stop {
            None => defaults.stops.clone(),
            Some(Texts::One(text)) => StopTexts::new(&[text])?,
            Some(Texts::Several(texts)) => StopTexts::new(&texts)?,
        };
        Ok(Prompt {
            id: self.id,
            prompt: self.prompt,
            options,
            max_tokens: self.max_tokens.map_or(defaults.max_tokens, |n| n as usize),
            stops,
            seed: self.seed.unwrap_or(defaults.seed),
            sequence: self.sequence,
        })
    }
}

/// Reads prompts line by line, as they are asked for.
pub(super) struct Prompts<'a> {
    name: String,
    input: Box<dyn BufRead>,
    format: PromptsFormat,
    defaults: &'a Defaults,
    vocab: usize,
    line: u64,
}

/// Bytes of a line at most.
const LONGEST_LINE: usize = 64 << 20;

impl<'a> Prompts<'a> {
    /// Opens a file, or standard input.
    pub fn open(
        path: &Path,
        format: Option<PromptsFormat>,
        defaults: &'a Defaults,
        vocab: usize,
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
        let (name, input): (String, Box<dyn BufRead>) = if is_stdin(path) {
            ("standard input".into(), Box::new(BufReader::new(std::io::stdin())))
        } else {
            let name = path.display().to_string();
            let file = File::open(path).map_err(|source| Error::Io { context: name.clone(), source })?;
            (name, Box::new(BufReader::with_capacity(1 << 16, file)))
        };
        Ok(Prompts { name, input, format, defaults, vocab, line: 0 })
    }

    /// The next line without its end.
    fn read_line(&mut self) -> Option<Result<String>> {
        use std::io::Read;
        let mut bytes = Vec::new();
        match self.input.by_ref().take(LONGEST_LINE as u64).read_until(b'\n', &mut bytes) {
            Ok(0) => return None,
            Ok(_) => {}
            Err(source) => return Some(Err(Error::Io { context: self.name.clone(), source })),
        }
        self.line += 1;
        if bytes.len() == LONGEST_LINE && bytes.last() != Some(&b'\n') {
            let error = Err(self.wrong(&format!("a line of more than {LONGEST_LINE} bytes")));
            // What is left of it is no prompt.
            let _ = self.input.skip_until(b'\n');
            return Some(error);
        }
        if bytes.last() == Some(&b'\n') {
            bytes.pop();
            bytes.pop_if(|byte| *byte == b'\r');
        }
        Some(String::from_utf8(bytes).map_err(|_| self.wrong("not UTF-8")))
    }

    fn wrong(&self, what: &str) -> Error {
        Error::Text(format!("{}, line {}: {what}", self.name, self.line))
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
            self.wrong(&format!("column {}: {not}{what}", e.column()))
        })?;
        parsed.into_prompt(self.defaults, self.vocab).map_err(|e| self.wrong(&e.to_string()))
    }

    /// Where the next prompt's messages come from: the file and the line that was read last.
    pub fn place(&self) -> String {
        format!("{}, line {}", self.name, self.line)
    }

    /// Passes over lines without looking at them.
    pub fn skip_lines(&mut self, count: u64) -> Result<()> {
        for _ in 0..count {
            match self.input.skip_until(b'\n') {
                Ok(0) => break,
                Ok(_) => self.line += 1,
                Err(source) => return Err(Error::Io { context: self.name.clone(), source }),
            }
        }
        Ok(())
    }
}

impl Iterator for Prompts<'_> {
    type Item = Result<Prompt>;

    fn next(&mut self) -> Option<Result<Prompt>> {
        let line = self.read_line()?;
        Some(line.and_then(|line| self.parse(line)))
    }
}

/// Whether a path means standard input.
pub(super) fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == "-"
}
