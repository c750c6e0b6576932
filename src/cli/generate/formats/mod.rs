//! How sequences are written: one line each, but for line ends in a text of csv.

mod csv;
mod jsonl;
mod text;

use std::path::Path;

use clap::ValueEnum;

use super::jobs::Tag;
use crate::generate::Sequence;

/// How sequences are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// The prompt and the text; line ends inside are written as \n
    Text,
    /// An object with id, prompt, text, tokens, finish_reason, log_probability
    Jsonl,
    /// prompt, text, and nll, the text's negative log-probability in nats
    Csv,
}

impl Format {
    /// The format that a file's name stands for.
    pub fn of(path: &Path) -> Format {
        match path.extension().and_then(|e| e.to_str()) {
            Some("jsonl") => Format::Jsonl,
            Some("csv") => Format::Csv,
            _ => Format::Text,
        }
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Format::Text => "text",
            Format::Jsonl => "jsonl",
            Format::Csv => "csv",
        }
    }

    /// Whether it shows log-probabilities.
    pub fn needs_log_probs(self) -> bool {
        self != Format::Text
    }

    /// The line that stands before the first sequence.
    pub fn header(self) -> &'static str {
        match self {
            Format::Csv => "prompt,text,nll\n",
            _ => "",
        }
    }

    /// Adds the line of a sequence.
    pub fn write(self, tag: &Tag, sequence: &Sequence, log_probs: bool, line: &mut String) {
        match self {
            Format::Text => text::write(tag, sequence, line),
            Format::Jsonl => jsonl::write(tag, sequence, log_probs, line),
            Format::Csv => csv::write(tag, sequence, line),
        }
    }

    /// Whether a line of an output begins or ends a field that goes over lines.
    pub fn turns(self, line: &str) -> bool {
        self == Format::Csv && csv::turns(line)
    }

    /// The part of a written line that makes a sequence unique: prompt and text, as this format writes them.
    pub fn content(self, line: &str) -> Option<std::borrow::Cow<'_, str>> {
        match self {
            Format::Text => Some(line.into()),
            Format::Jsonl => jsonl::content(line).map(Into::into),
            Format::Csv => csv::content(line).map(Into::into),
        }
    }
}
