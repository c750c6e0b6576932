//! The sequences to make: prompts and their samples, numbered one after the other.

use std::cell::RefCell;
use std::ops::Range;
use std::rc::Rc;
use std::str::FromStr;
use std::sync::Arc;

use serde_json::value::RawValue;

use super::prompts::{Prompt, Prompts};
use crate::cli::explain;
use crate::error::{Error, Result};
use crate::generate::Job;
use crate::model::Model;
use crate::text::{Lacking, OnUnknown};

/// One of several equal parts, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shard {
    part: u64,
    of: u64,
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Shard, String> {
        let numbers = text.split_once('/').and_then(|(i, n)| Some((i.parse().ok()?, n.parse().ok()?)));
        match numbers {
            Some((part, of)) if (1..=of).contains(&part) => Ok(Shard { part, of }),
            _ => Err("expected I/N with I from 1 to N, such as 3/16".into()),
        }
    }
}

impl Shard {
    /// Its part of `total` sequences.
    pub fn range(self, total: u64) -> Range<u64> {
        let bound = |part: u64| (u128::from(total) * u128::from(part) / u128::from(self.of)) as u64;
        bound(self.part - 1)..bound(self.part)
    }
}

impl std::fmt::Display for Shard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.part, self.of)
    }
}

/// Where prompts come from.
pub(super) enum Source<'a> {
    /// The same for every sequence.
    One(Box<Prompt>),
    /// One a line.
    Lines(Box<Prompts<'a>>),
}

/// The data that a sequence is written with.
#[derive(Clone, Debug)]
pub(super) struct Tag {
    /// Its number among all sequences.
    pub index: u64,
    /// The number of the sample of its prompt.
    pub sample: u64,
    /// The caller's id of the prompt.
    pub id: Option<Rc<RawValue>>,
    pub prompt: Rc<str>,
    pub seed: u64,
}

/// The jobs of a range of sequences. An error of a prompt comes once for each of its samples.
pub(super) struct Jobs<'a> {
    pub model: &'a Model,
    pub unknown: OnUnknown,
    /// Text in the prompts that the vocabulary lacks.
    pub lacking: Rc<RefCell<Lacking>>,
    pub source: Source<'a>,
    pub samples: u64,
    pub range: Range<u64>,
    /// The prompt whose samples come next.
    pub current: Option<Current>,
}

/// A prompt that was read. All its samples share its text and ids.
pub(super) struct Current {
    text: Rc<str>,
    read: std::result::Result<(Prompt, Arc<[u32]>), String>,
}

impl Jobs<'_> {
    /// The next prompt, encoded; `None` after the last.
    fn read(&mut self) -> Option<Current> {
        let (prompt, place) = match &mut self.source {
            Source::One(prompt) => (Ok((**prompt).clone()), None),
            Source::Lines(prompts) => (prompts.next()?, Some(prompts.place())),
        };
        let encoded = prompt.and_then(|prompt| {
            let mut lacking = self.lacking.borrow_mut();
            let ids = self.model.prompt_ids_and_note(&prompt.prompt, self.unknown, &mut lacking);
            let ids = ids.map_err(|e| place.iter().fold(e, |e, place| e.within(place)))?;
            Ok((prompt, ids.into()))
        });
        let text = encoded.as_ref().map_or("", |(prompt, _)| &prompt.prompt).into();
        Some(Current { text, read: encoded.map_err(|e| explain(&e)) })
    }

    fn job(&self, prompt: &Prompt, ids: &Arc<[u32]>, index: u64, sample: u64) -> Job {
        let sequence = prompt.sequence.map_or(index, |first| first.wrapping_add(sample));
        Job { request: prompt.of.request(ids.clone(), sequence), sequence: prompt.of.begin(self.model) }
    }
}

impl Iterator for Jobs<'_> {
    type Item = (Tag, Result<Job>);

    fn next(&mut self) -> Option<(Tag, Result<Job>)> {
        let index = self.range.next()?;
        let sample = index % self.samples;
        let one_for_all = matches!(self.source, Source::One(_));
        if self.current.is_none() || sample == 0 && !one_for_all {
            self.current = self.read();
        }
        let current = self.current.as_ref()?;
        let (id, seed, job) = match &current.read {
            Ok((prompt, ids)) => (prompt.id.clone(), prompt.of.seed, Ok(self.job(prompt, ids, index, sample))),
            Err(message) => (None, 0, Err(Error::text("", message.clone()))),
        };
        Some((Tag { index, sample, id, prompt: current.text.clone(), seed }, job))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_are_contiguous_and_complete() {
        for total in [0, 1, 7, 16, 1_000_003, u64::MAX] {
            let parts: Vec<Range<u64>> = (1..=16).map(|part| Shard { part, of: 16 }.range(total)).collect();
            assert_eq!((parts[0].start, parts[15].end), (0, total));
            assert!(parts.windows(2).all(|pair| pair[0].end == pair[1].start));
            assert!(parts.iter().all(|part| part.end - part.start <= total / 16 + 1));
        }
    }

    #[test]
    fn shards_are_typed_as_part_and_number() {
        assert_eq!("3/16".parse(), Ok(Shard { part: 3, of: 16 }));
        for wrong in ["", "3", "0/4", "5/4", "1/0", "a/b", "-1/2"] {
            assert!(wrong.parse::<Shard>().is_err(), "{wrong}");
        }
    }
}
