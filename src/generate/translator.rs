//! Translations: a source in, the target's tokens out, many side by side.

use std::collections::HashMap;
use std::sync::Arc;

use super::{Event, Finish, Generator, Options, Request, TranslationModel};
use crate::error::Result;
use crate::executor::{Executor, Kernel};

/// What became of a source.
#[derive(Clone, Debug, PartialEq)]
pub struct Translation {
    /// What [`Translator::submit`] called it: 0, 1, ... in the order of the calls.
    pub id: u64,
    /// The target's tokens, without the end token.
    pub tokens: Vec<u32>,
    /// The log-probability of each, and of the end token.
    pub log_probs: Vec<f32>,
    /// Of each, and of the end token, how it attended to the source's tokens; empty unless the plan keeps it.
    pub attention: Vec<f32>,
    /// Why it ended.
    pub finish: Finish,
}

/// Translates on one executor: a [`Generator`] whose sequences have sources, and which gives whole ones, in the order in
/// which they end.
pub struct Translator {
    generator: Generator,
    /// Begins each target, and those that end it.
    bos: u32,
    eos: Vec<u32>,
    /// Those that have not ended, with the tokens of their sources.
    open: HashMap<u64, (Translation, usize)>,
    events: Vec<Event>,
}

impl Translator {
    /// A translator on a fresh executor whose plan is `model`'s, and whose weights are there. Targets begin with `bos` and
    /// end with any of `eos`, of which there are up to four.
    pub fn new(model: &TranslationModel, executor: Box<dyn Executor>, bos: u32, eos: Vec<u32>) -> Translator {
        let generator = Generator::of(model.decoding, executor);
        Translator { generator, bos, eos, open: HashMap::new(), events: Vec::new() }
    }

    /// Takes a source; gives its id. `sequence` and `seed` key the noise where the temperature is not 0.
    ///
    /// # Errors
    /// As [`Request::check`]: a source that is empty or too long, ids outside the vocabulary, options out of their ranges.
    pub fn submit(
        &mut self,
        source: impl Into<Arc<[u32]>>,
        max_tokens: usize,
        (seed, sequence): (u64, u64),
        options: Options,
    ) -> Result<u64> {
        let (source, prompt, stop) = (source.into(), [self.bos].into(), self.eos.clone());
        let tokens = source.len();
        let id = self.generator.submit(Request { prompt, sequence, seed, options, max_tokens, stop, source })?;
        let (log_probs, attention) = (Vec::new(), Vec::new());
        let begun = Translation { id, tokens: Vec::new(), log_probs, attention, finish: Finish::Length };
        self.open.insert(id, (begun, tokens));
        Ok(id)
    }

    /// Ends a translation that nobody wants any more; `false` where it has ended already.
    pub fn cancel(&mut self, id: u64) -> bool {
        self.open.remove(&id);
        self.generator.cancel(id)
    }

    /// Translations that have not ended.
    pub fn live(&self) -> usize {
        self.generator.live()
    }

    /// Sources that wait for a row.
    pub fn backlog(&self) -> usize {
        self.generator.backlog()
    }

    /// The executor, for questions about the device.
    pub fn executor(&self) -> &dyn Executor {
        self.generator.executor()
    }

    /// The kernels that translations depend on, and the orders of their sums.
    pub fn kernels(&self) -> Vec<Kernel> {
        self.generator.kernels()
    }

    /// Adds translations that have ended to `ended`: submits, never blocks. `now_us` is any steady clock.
    ///
    /// # Errors
    /// A device that failed.
    pub fn poll(&mut self, now_us: u64, ended: &mut Vec<Translation>) -> Result<()> {
        self.generator.poll(now_us, &mut self.events)?;
        self.collect(ended);
        Ok(())
    }

    /// Adds translations that end with the next submission to `ended`; blocks until it has run.
    ///
    /// # Errors
    /// A device that failed.
    pub fn wait(&mut self, clock: &dyn Fn() -> u64, ended: &mut Vec<Translation>) -> Result<()> {
        self.generator.wait(clock, &mut self.events)?;
        self.collect(ended);
        Ok(())
    }

    /// Calls `then` once [`Translator::poll`] has something to take; `false` where nothing is in flight.
    pub fn on_ready(&mut self, then: Box<dyn FnOnce() + Send>) -> bool {
        self.generator.on_ready(then)
    }

    fn collect(&mut self, ended: &mut Vec<Translation>) {
        let mut attention = std::mem::take(&mut self.generator.attention).into_iter();
        for Event { id, token, log_prob, finish } in self.events.drain(..) {
            let (translation, source) = self.open.get_mut(&id).expect("what ended has no events");
            translation.log_probs.push(log_prob);
            translation.attention.extend(attention.by_ref().take(*source));
            if finish != Some(Finish::Stop) {
                translation.tokens.push(token);
            }
            if let Some(finish) = finish {
                translation.finish = finish;
                ended.push(self.open.remove(&id).expect("it is there").0);
            }
        }
    }
}
