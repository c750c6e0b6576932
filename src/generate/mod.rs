//! Generation: sequences wait in a queue on the device, rows take them, and all rows step together.
//!
//! The host only schedules. States, drawn tokens, the loop and the filling of rows stay on the device; ids (and
//! log-probabilities, where they are wanted) come back a submission at a time, while the next ones already run.
//! [`Generator`] takes requests and gives tokens; [`Completions`] makes texts of them, in order.

mod completions;
mod generator;
mod options;
mod pacer;
mod prefill;
mod queue;
mod sequence;
mod slots;
mod translator;

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::network::{
    Capacity, Decoding, EncoderDecoder, LanguageModel, Shape, Translation as TranslationModel, language_model,
    translation,
};
use crate::ops::rows::{Finish, NO_TOKEN};
use crate::plan::{SectionId, Sizes};

pub use completions::{Completions, Job};
pub use generator::Generator;
pub use options::Options;
pub use sequence::{FinishReason, Sequence};
pub use translator::{Translation, Translator};

/// Tokens of a prompt that are read at once.
pub const PREFILL_WINDOW: usize = 64;
/// Tokens of a prompt that are forced at most, one a step; those before them are read on the side.
const FORCED: usize = 64;
/// Tokens of all prompts that are read at once.
const PREFILL_TOKENS: usize = 4096;
/// Steps whose results are kept on the device: the most that one submission takes.
const RING: usize = 256;
/// Results that are kept on the device at most.
const RING_TOKENS: usize = 1 << 18;

/// A sequence to be generated.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// Ids of the prompt: at least one. Requests with the same prompt may share them.
    pub prompt: Arc<[u32]>,
    /// The number that the noise is keyed by, with the seed; its place in a batch does not matter.
    pub sequence: u64,
    /// The seed.
    pub seed: u64,
    /// How its tokens are chosen.
    pub options: Options,
    /// Tokens after the prompt at most: at least one.
    pub max_tokens: usize,
    /// Up to four ids that end the sequence.
    pub stop: Vec<u32>,
    /// What an encoder reads first; none for a language model.
    pub source: Arc<[u32]>,
}

/// A token of a sequence, after its prompt.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Event {
    /// The number that [`Generator::submit`] gave the request: 0, 1, ... in the order of the calls.
    pub id: u64,
    /// The token.
    pub token: u32,
    /// Its log-probability in nats, under the model at temperature 1. Not a number where nobody wants them.
    pub log_prob: f32,
    /// Set with the sequence's last token.
    pub finish: Option<Finish>,
}

/// The plan that a [`Generator`] of this many rows runs, with a temperature for each sequence and no filters.
pub fn plan(shape: Shape, rows: usize) -> LanguageModel {
    language_model(shape, room(rows, false))
}

/// The plan of generators whose sequences may have all of [`Options`]: rows keep a word for each token.
pub fn plan_with_filters(shape: Shape, rows: usize) -> LanguageModel {
    language_model(shape, room(rows, true))
}

fn room(rows: usize, filters: bool) -> Capacity {
    let ring = (RING_TOKENS / rows.max(1)).clamp(16, RING);
    // A power of two, so that the steps of a ring go on when their counter begins again.
    let ring = 1 << ring.ilog2();
    Capacity { ring, queue: (8 * rows).next_power_of_two().clamp(64, 1 << 15), forced: FORCED, filters }
}

/// The sizes of an executor for a [`Generator`] of this many rows.
pub fn sizes(rows: usize) -> Sizes {
    Sizes::of(rows, PREFILL_TOKENS.div_ceil(rows).clamp(1, PREFILL_WINDOW))
}

/// The plan that a [`Translator`] of this many rows runs: sources have `source` tokens at most, and with `attention` it
/// comes back for each token. Sequences may have all of [`Options`].
pub fn translation_plan(model: EncoderDecoder, rows: usize, source: usize, attention: bool) -> TranslationModel {
    translation(model, room(rows, true), rows, (source, attention))
}

/// The sections that a [`Generator`] runs.
pub fn sections(model: &LanguageModel) -> Vec<SectionId> {
    model.decoding.sections()
}

impl Request {
    /// Whether a generator can run it.
    ///
    /// # Errors
    /// An empty prompt, an id outside the vocabulary, options out of their ranges, no token to generate; a source that
    /// the model does not read, lacks, or has no room for.
    pub fn check(&self, model: &Decoding) -> Result<()> {
        let vocab = model.vocab;
        self.check_source(model)?;
        self.options.check(vocab)?;
        if self.prompt.is_empty() {
            return Err(Error::text("", "the prompt has no token"));
        }
        if self.max_tokens == 0 {
            return Err(Error::Limit("a sequence of 0 tokens".into()));
        }
        if self.stop.len() > 4 {
            return Err(Error::Limit(format!("{} stop ids; a row has 4", self.stop.len())));
        }
        if let Some(id) = self.prompt.iter().find(|id| **id as usize >= vocab) {
            return Err(Error::TokenId { id: *id, vocabulary: vocab });
        }
        if self.prompt.len().saturating_add(self.max_tokens) >= NO_TOKEN as usize {
            return Err(Error::Limit(format!("a sequence has fewer than {NO_TOKEN} tokens")));
        }
        Ok(())
    }

    fn check_source(&self, model: &Decoding) -> Result<()> {
        let Some(sources) = &model.sources else {
            let has_none = self.source.is_empty();
            return if has_none { Ok(()) } else { Err(Error::text("", "a language model reads no source")) };
        };
        if self.source.is_empty() {
            return Err(Error::text("", "the source has no token"));
        }
        if self.source.len() > sources.longest {
            return Err(Error::SourceTooLong { tokens: self.source.len(), most: sources.longest });
        }
        if self.prompt.len() > FORCED + 1 {
            return Err(Error::Limit(format!("a forced beginning of more than {FORCED} tokens")));
        }
        match self.source.iter().find(|id| **id as usize >= sources.vocab) {
            Some(id) => Err(Error::TokenId { id: *id, vocabulary: sources.vocab }),
            None => Ok(()),
        }
    }
}
