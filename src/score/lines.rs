//! Scoring of many texts side by side, each from states of zero.

use std::collections::VecDeque;

use super::{IN_FLIGHT, WINDOW_LOGITS, check, too_long};
use crate::error::Result;
use crate::executor::{Executor, Run, Ticket, Values};
use crate::network::{LanguageModel, Shape};
use crate::plan::Sizes;

/// Texts side by side at most.
const ROWS: usize = 64;
/// Tokens of a window at most: many texts are short.
const WINDOW: usize = 64;

/// The sizes of an executor for many texts. A model that reads from the end too takes one at a time, as a whole.
pub fn line_sizes(shape: Shape) -> Sizes {
    if shape.cell.is_bidirectional() {
        return super::sizes(shape);
    }
    let rows = (WINDOW_LOGITS / shape.vocab).clamp(1, ROWS);
    Sizes::of(rows, (WINDOW_LOGITS / shape.vocab / rows).clamp(1, WINDOW))
}

/// Scores texts by the dozen. A text's figures do not depend on its neighbours.
pub struct LineScorer {
    model: LanguageModel,
    executor: Box<dyn Executor>,
    step: u32,
}

/// A submitted window: its first token, and how many there are of each text.
struct Flight {
    ticket: Ticket,
    first: usize,
    time: usize,
}

impl LineScorer {
    /// A scorer on an executor of [`line_sizes`] whose plan is `model`'s, and whose weights are there.
    pub fn new(model: LanguageModel, executor: Box<dyn Executor>) -> LineScorer {
        LineScorer { model, executor, step: 0 }
    }

    /// The log-probabilities in nats of each text's tokens from its second on, given those before. A text of fewer than
    /// two tokens has none.
    ///
    /// # Errors
    /// An id outside the vocabulary; a text too long for a model that reads from its end too; a device that failed.
    pub fn score(&mut self, texts: &[&[u32]]) -> Result<Vec<Vec<f32>>> {
        texts.iter().try_for_each(|text| check(text, self.model.shape.vocab))?;
        let mut log_probs = vec![Vec::new(); texts.len()];
        // Texts of nearly one length side by side: little is read past the end of the shorter ones.
        let mut order: Vec<usize> = (0..texts.len()).filter(|i| texts[*i].len() > 1).collect();
        order.sort_by_key(|i| std::cmp::Reverse(texts[*i].len()));
        for group in order.chunks(self.executor.capacity().rows) {
            self.group(texts, group, &mut log_probs)?;
        }
        Ok(log_probs)
    }

    /// Scores some of the texts side by side, the longest first.
    fn group(&mut self, texts: &[&[u32]], group: &[usize], log_probs: &mut [Vec<f32>]) -> Result<()> {
        self.forget()?;
        let window = self.executor.capacity().time;
        let longest = texts[group[0]].len() - 1;
        if self.model.shape.cell.is_bidirectional() && longest > window {
            return Err(too_long(window));
        }
        let mut flights = VecDeque::new();
        for first in (0..longest).step_by(window) {
            if flights.len() == IN_FLIGHT {
                self.take(&mut flights, texts, group, log_probs)?;
            }
            let time = window.min(longest - first);
            flights.push_back(self.submit(texts, group, first, time)?);
        }
        while !flights.is_empty() {
            self.take(&mut flights, texts, group, log_probs)?;
        }
        Ok(())
    }

    /// Puts all states to zero.
    fn forget(&mut self) -> Result<()> {
        let capacity = self.executor.capacity();
        for state in self.model.layers.iter().flat_map(|layer| [Some(layer.h), layer.c]).flatten() {
            let zeros = vec![0.0; self.model.plan.tensor(state).len(capacity)];
            self.executor.write(state, 0, Values::F32(&zeros))?;
        }
        Ok(())
    }

    /// Queues a window of tokens `first..first + time`. What a row reads past its text's end does not matter.
    fn submit(&mut self, texts: &[&[u32]], group: &[usize], first: usize, time: usize) -> Result<Flight> {
        let tokens = |range: std::ops::Range<usize>| -> Vec<u32> {
            let of = |t: usize| group.iter().map(move |i| texts[*i].get(t).copied().unwrap_or(0));
            range.flat_map(of).collect()
        };
        self.executor.write(self.model.input, 0, Values::U32(&tokens(first..first + time)))?;
        self.executor.write(self.model.targets, 0, Values::U32(&tokens(first + 1..first + time + 1)))?;
        let sizes = Sizes::of(group.len(), time);
        let run = Run::new(self.model.score, sizes, self.step..self.step + 1);
        let ticket = self.executor.submit(&[run], &[self.model.target_log_probs])?;
        self.step += 1;
        Ok(Flight { ticket, first, time })
    }

    /// Takes the results of the oldest window.
    fn take(
        &mut self,
        flights: &mut VecDeque<Flight>,
        texts: &[&[u32]],
        group: &[usize],
        log_probs: &mut [Vec<f32>],
    ) -> Result<()> {
        let Flight { ticket, first, time } = flights.pop_front().expect("a window is in flight");
        let results = self.executor.wait(ticket)?;
        for (t, row) in results[0].real().chunks(group.len()).take(time).enumerate() {
            for (text, log_prob) in group.iter().zip(row) {
                if first + t + 1 < texts[*text].len() {
                    log_probs[*text].push(*log_prob);
                }
            }
        }
        Ok(())
    }
}
