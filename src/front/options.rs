//! How a text is written.

use std::sync::Arc;

use crate::error::Result;
use crate::generate::{Options as Sampling, Request, Sequence};
use crate::model::{GenerationConfig, Model};
use crate::text::StopTexts;

/// How a text is written. What is `None` is the model's own choice (generation_config.json), else the usual one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Options {
    /// Tokens at most. Usual: 500.
    pub max_tokens: Option<usize>,
    /// With the number of the sequence it keys the noise: equal seeds give equal texts on a device.
    pub seed: u64,
    /// The number of the first sequence; the next ones count on.
    pub sequence: u64,
    /// Texts that end a sequence without being part of it. None: the model's own.
    pub stop: Vec<String>,
    /// Divides the logits; 0 takes the most likely token. Usual: 0.8.
    pub temperature: Option<f32>,
    /// Keeps this many of the likeliest tokens; 0 keeps all.
    pub top_k: Option<usize>,
    /// Keeps the likeliest tokens that together have this probability; 1 keeps all.
    pub top_p: Option<f32>,
    /// Keeps tokens with this share of the likeliest token's probability; 0 keeps all.
    pub min_p: Option<f32>,
    /// Divides positive logits of tokens that occurred, multiplies negative ones; 1 changes nothing.
    pub repetition_penalty: Option<f32>,
    /// Subtracted from the logits of tokens that occurred.
    pub presence_penalty: Option<f32>,
    /// Subtracted from a logit for each time that its token occurred.
    pub frequency_penalty: Option<f32>,
    /// Ids that are never drawn.
    pub banned: Vec<u32>,
}

/// Where neither the caller nor the model says anything.
const TEMPERATURE: f32 = 0.8;
/// The same of tokens at most.
const MAX_TOKENS: usize = 500;

/// Options of a model, with nothing left open.
#[derive(Clone, Debug)]
pub(crate) struct Resolved {
    pub sampling: Sampling,
    pub max_tokens: usize,
    pub stops: StopTexts,
    pub eos: Vec<u32>,
    pub seed: u64,
}

impl Resolved {
    /// The request of a sequence, whose prompt is `prompt` in ids.
    pub fn request(&self, prompt: impl Into<Arc<[u32]>>, sequence: u64) -> Request {
        // A row of the device's table has four stop ids; a sequence of more ends where its text is put together.
        let stop = self.eos.iter().copied().take(4).collect();
        let (options, max_tokens) = (self.sampling.clone(), self.max_tokens);
        Request { prompt: prompt.into(), sequence, seed: self.seed, options, max_tokens, stop, source: [].into() }
    }

    /// The sequence that a request's tokens become.
    pub fn begin(&self, model: &Model) -> Sequence {
        Sequence::new(&model.tokenizer, self.stops.clone(), self.eos.clone())
    }
}

impl Options {
    /// The options, resolved for a model.
    ///
    /// # Errors
    /// A number out of its range; a stop text that is empty or too long.
    pub(crate) fn resolve(&self, model: &Model) -> Result<Resolved> {
        let generation = model.generation_config.clone().unwrap_or_default();
        let of_model = generation.stop_strings.as_deref().unwrap_or_default();
        let usual = generation.max_new_tokens.map_or(MAX_TOKENS, |most| most as usize);
        Ok(Resolved {
            sampling: self.sampling(&generation, model.config.vocab_size)?,
            max_tokens: self.max_tokens.unwrap_or(usual),
            stops: StopTexts::new(if self.stop.is_empty() { of_model } else { &self.stop })
                .map_err(|e| e.within("stop"))?,
            eos: model.eos_ids(),
            seed: self.seed,
        })
    }

    /// How tokens are chosen: what is set here, else what the model says, else the usual.
    ///
    /// # Errors
    /// As [`Sampling::check`].
    fn sampling(&self, model: &GenerationConfig, vocab: usize) -> Result<Sampling> {
        let plain = Sampling::default();
        let greedy = (model.do_sample == Some(false)).then_some(0.0);
        let or = |mine: Option<f32>, of_model: Option<f32>, plain: f32| mine.or(of_model).unwrap_or(plain);
        let sampling = Sampling {
            temperature: or(self.temperature.or(greedy), model.temperature, TEMPERATURE),
            top_k: self.top_k.or(model.top_k.map(|k| k as usize)).unwrap_or(plain.top_k),
            top_p: or(self.top_p, model.top_p, plain.top_p),
            min_p: or(self.min_p, model.min_p, plain.min_p),
            repetition_penalty: or(self.repetition_penalty, model.repetition_penalty, plain.repetition_penalty),
            presence_penalty: or(self.presence_penalty, model.presence_penalty, plain.presence_penalty),
            frequency_penalty: or(self.frequency_penalty, model.frequency_penalty, plain.frequency_penalty),
            banned: self.banned.as_slice().into(),
        };
        sampling.check(vocab)?;
        Ok(sampling)
    }
}
