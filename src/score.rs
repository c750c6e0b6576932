//! Scoring: the log-probability of each token of a text of any length, given all that came before it.
//!
//! The text goes through the plan's `score` section in windows; the states stay on the device and are carried from
//! window to window, so memory does not grow with the text.

mod lines;

pub use lines::{LineScorer, line_sizes};

use std::collections::VecDeque;

use crate::error::{Error, Result};
use crate::executor::{Executor, Run, Ticket, Values};
use crate::network::{Capacity, LanguageModel, Shape, language_model};
use crate::plan::{SectionId, Sizes};

/// Windows that are queued at once.
const IN_FLIGHT: usize = 2;
/// Logits of a window are at most this many, so that large vocabularies take short windows.
const WINDOW_LOGITS: usize = 1 << 22;
/// Tokens of a window at most.
const WINDOW: usize = 256;
/// The same of a model that reads from the end too: the whole text.
const WHOLE_TEXT: usize = 4096;

/// The plan that a [`Scorer`] or a [`LineScorer`] runs.
pub fn plan(shape: Shape) -> LanguageModel {
    language_model(shape, Capacity { ring: 1, queue: 1, forced: 1, filters: false })
}

/// The section that they run.
pub fn sections(model: &LanguageModel) -> [SectionId; 1] {
    [model.score]
}

/// The sizes of an executor for one text.
pub fn sizes(shape: Shape) -> Sizes {
    let most = if shape.cell.is_bidirectional() { WHOLE_TEXT } else { WINDOW };
    Sizes::of(1, (WINDOW_LOGITS / shape.vocab).clamp(1, most))
}

/// Scores one text on an executor whose states are zero.
pub struct Scorer {
    model: LanguageModel,
    executor: Box<dyn Executor>,
    /// The tokens that were not submitted yet; the first of them is only read, never scored.
    waiting: Vec<u32>,
    flights: VecDeque<(Ticket, usize)>,
    step: u32,
}

impl Scorer {
    /// A scorer on an executor of [`sizes`] whose plan is `model`'s, and whose weights are there.
    ///
    /// With a `start` token (bos) the first token of the text is scored too; else it is only read.
    ///
    /// # Errors
    /// A start token outside the vocabulary.
    pub fn new(model: LanguageModel, executor: Box<dyn Executor>, start: Option<u32>) -> Result<Scorer> {
        assert_eq!(executor.capacity().rows, 1, "a scorer reads one text");
        let mut scorer = Scorer { model, executor, waiting: Vec::new(), flights: VecDeque::new(), step: 0 };
        check(start.as_slice(), scorer.model.shape.vocab)?;
        scorer.waiting.extend(start);
        Ok(scorer)
    }

    /// Reads on. Log-probabilities in nats, of tokens in their order, are appended to `log_probs` as they arrive.
    ///
    /// # Errors
    /// An id outside the vocabulary; a text too long for a model that reads from its end too; a device that failed.
    pub fn push(&mut self, ids: &[u32], log_probs: &mut Vec<f32>) -> Result<()> {
        check(ids, self.model.shape.vocab)?;
        let window = self.executor.capacity().time;
        for some in ids.chunks(window) {
            self.waiting.extend_from_slice(some);
            if self.model.shape.cell.is_bidirectional() {
                if self.waiting.len() > window + 1 {
                    return Err(too_long(window));
                }
                continue;
            }
            while self.waiting.len() > window {
                self.submit(window, log_probs)?;
            }
        }
        Ok(())
    }

    /// Reads what is left and waits for all that is missing.
    ///
    /// # Errors
    /// A device that failed.
    pub fn finish(mut self, log_probs: &mut Vec<f32>) -> Result<()> {
        if self.waiting.len() > 1 {
            self.submit(self.waiting.len() - 1, log_probs)?;
        }
        while !self.flights.is_empty() {
            self.take(log_probs)?;
        }
        Ok(())
    }

    /// Queues a window that reads `time` tokens and scores those that follow each of them.
    fn submit(&mut self, time: usize, log_probs: &mut Vec<f32>) -> Result<()> {
        if self.flights.len() == IN_FLIGHT {
            self.take(log_probs)?;
        }
        self.executor.write(self.model.input, 0, Values::U32(&self.waiting[..time]))?;
        self.executor.write(self.model.targets, 0, Values::U32(&self.waiting[1..=time]))?;
        let run = Run::new(self.model.score, Sizes::of(1, time), self.step..self.step + 1);
        let ticket = self.executor.submit(&[run], &[self.model.target_log_probs])?;
        self.flights.push_back((ticket, time));
        self.waiting.drain(..time);
        self.step += 1;
        Ok(())
    }

    /// Takes the results of the oldest window.
    fn take(&mut self, log_probs: &mut Vec<f32>) -> Result<()> {
        let (ticket, time) = self.flights.pop_front().expect("a window is in flight");
        let results = self.executor.wait(ticket)?;
        log_probs.extend_from_slice(&results[0].real()[..time]);
        Ok(())
    }
}

/// A text of a model that reads from the end too, which no window holds.
fn too_long(window: usize) -> Error {
    let most = window + 1;
    Error::text("", format!("a text of more than {most} tokens: a bidirectional model reads it as a whole"))
}

/// Whether all ids are of the vocabulary.
fn check(ids: &[u32], vocab: usize) -> Result<()> {
    match ids.iter().find(|id| **id as usize >= vocab) {
        None => Ok(()),
        Some(id) => Err(Error::TokenId { id: *id, vocabulary: vocab }),
    }
}
