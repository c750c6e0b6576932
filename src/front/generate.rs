//! Texts as they come from a generator.

use std::collections::VecDeque;
use std::sync::Arc;

use super::options::Resolved;
use crate::error::{Error, Result};
use crate::generate::{FinishReason, Request, Sequence};
use crate::host::{Service, Tokens};
use crate::model::Model;
use crate::text::OnUnknown;

/// A text that was written, without its prompt.
#[derive(Clone, Debug, PartialEq)]
pub struct Completion {
    /// The text; neither an end token nor a stop text is part of it.
    pub text: String,
    /// All tokens, those of an end token or a stop text included.
    pub tokens: Vec<u32>,
    /// The log-probability of each, in nats, under the model without filters at temperature 1.
    pub log_probs: Vec<f32>,
    /// Why it ended.
    pub finish: FinishReason,
}

impl Completion {
    /// The sum of the tokens' log-probabilities, in nats.
    pub fn log_probability(&self) -> f64 {
        self.log_probs.iter().map(|p| f64::from(*p)).sum()
    }
}

/// Pieces of a text as it is drawn: an iterator that ends with the text. Dropped earlier, it cancels the rest.
pub struct Stream {
    tokens: Tokens,
    /// Lives as long as its texts: the model may have begun another one meanwhile.
    _service: Arc<Service>,
    sequence: Sequence,
    given: usize,
    ended: bool,
}

impl Stream {
    pub(super) fn new(service: &Arc<Service>, request: Request, sequence: Sequence) -> Stream {
        Stream { tokens: service.submit(request), _service: service.clone(), sequence, given: 0, ended: false }
    }

    /// Reads to the end of the text.
    ///
    /// # Errors
    /// A device that failed.
    pub fn finish(mut self) -> Result<Completion> {
        for piece in self.by_ref() {
            piece?;
        }
        let Sequence { text, tokens, log_probs, finish, .. } = self.sequence;
        Ok(Completion { text, tokens, log_probs, finish: finish.unwrap_or(FinishReason::Length) })
    }

    /// Takes one token in; `false` after the last.
    fn take(&mut self) -> Result<bool> {
        let Some(event) = self.tokens.next() else {
            return Err(Error::Ended { reason: "the generator has ended before the text".into() });
        };
        let event = event?;
        self.sequence.push(event.token, event.log_prob, event.finish)?;
        Ok(self.sequence.finish.is_none())
    }
}

impl Iterator for Stream {
    type Item = Result<String>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.ended {
            match self.take() {
                Ok(more) => self.ended = !more,
                Err(error) => {
                    self.ended = true;
                    return Some(Err(error));
                }
            }
            let piece = self.sequence.text[self.given..].to_string();
            if !piece.is_empty() {
                self.given += piece.len();
                return Some(Ok(piece));
            }
        }
        None
    }
}

/// Texts that wait for an earlier one to end, for each row: memory stays flat when one takes long.
const WINDOW: usize = 4;

/// Texts in the order of their prompts.
pub struct Completions<P> {
    model: Arc<Model>,
    service: Arc<Service>,
    prompts: P,
    resolved: Resolved,
    /// The number of the next prompt.
    sequence: u64,
    window: VecDeque<Result<Stream>>,
    most: usize,
}

impl<P: Iterator<Item: AsRef<str>>> Completions<P> {
    pub(super) fn new(
        model: Arc<Model>,
        service: Arc<Service>,
        rows: usize,
        prompts: P,
        resolved: Resolved,
        sequence: u64,
    ) -> Completions<P> {
        Completions { model, service, prompts, resolved, sequence, window: VecDeque::new(), most: WINDOW * rows }
    }

    fn submit(&mut self, prompt: &str) -> Result<Stream> {
        let ids = self.model.prompt_ids(prompt, OnUnknown::Error)?;
        let request = self.resolved.request(ids, self.sequence);
        Ok(Stream::new(&self.service, request, self.resolved.begin(&self.model)))
    }
}

impl<P: Iterator<Item: AsRef<str>>> Iterator for Completions<P> {
    type Item = Result<Completion>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.window.len() < self.most {
            let Some(prompt) = self.prompts.next() else { break };
            let stream = self.submit(prompt.as_ref());
            self.sequence = self.sequence.wrapping_add(1);
            self.window.push_back(stream);
        }
        self.window.pop_front().map(|stream| stream.and_then(Stream::finish))
    }
}
