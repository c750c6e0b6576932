//! The options of a run of training: all that it needs to go on later.

use serde::{Deserialize, Serialize};

use super::schedule::{Rate, Schedule};
use super::{Optimizer, Pairs, Recipe};
use crate::error::{Error, Result};
use crate::model::Config;
use crate::text::OnUnknown;

/// Rows and steps of a window at most.
const LARGEST: usize = 1 << 16;
/// Steps of a run at most.
pub(super) const MOST_STEPS: u32 = 0x7fff_ffff;
/// Times to read a corpus at most.
const MOST_EPOCHS: u64 = 1_000_000;

/// How gradients become steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// Adam; weight decay is a part of the gradient.
    Adam,
    /// Adam; weight decay shrinks the weights directly.
    Adamw,
    /// Gradient descent with momentum.
    Sgd,
}

/// When a run ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum End {
    /// After this many steps.
    Steps(u32),
    /// When the corpus was read this often.
    Epochs(u64),
}

/// When checkpoints are written, apart from the end.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Cadence {
    /// After each multiple of this many steps.
    Steps(u32),
    /// When this many minutes have passed since the last one.
    Minutes(f64),
}

/// The treatment of text that the vocabulary lacks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unknown {
    /// An error.
    #[default]
    Error,
    /// It is left out.
    Skip,
    /// This id stands for it.
    Unk(u32),
}

impl From<Unknown> for OnUnknown {
    fn from(unknown: Unknown) -> OnUnknown {
        match unknown {
            Unknown::Error => OnUnknown::Error,
            Unknown::Skip => OnUnknown::Skip,
            Unknown::Unk(id) => OnUnknown::Unk(id),
        }
    }
}

/// Where the corpus comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CorpusOptions {
    /// The file that is learnt from.
    pub data: String,
    /// The file that validation reads; without one a twentieth of `data` is held out: the last one, of lines a random
    /// one.
    pub valid: Option<String>,
    /// Whether each line is a sequence of its own.
    pub lines: bool,
    /// Whether each line is a source, a tab and a target.
    #[serde(default)]
    pub pairs: bool,
    /// The treatment of text that the vocabulary lacks.
    pub unknown: Unknown,
    /// Validation reads about this many tokens at most, the first ones of what it has.
    pub valid_tokens: Option<usize>,
}

/// The options of a run, except the sizes of its model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// The corpus.
    pub corpus: CorpusOptions,
    /// B: rows of a batch.
    pub batch_size: usize,
    /// T: steps of a window at most.
    pub sequence_length: usize,
    /// Of the first weights, dropout and the order of sequences.
    pub seed: u64,
    /// How gradients become steps.
    pub optimizer: Method,
    /// Pulls weights towards zero.
    pub weight_decay: f64,
    /// Of [`Method::Sgd`].
    pub momentum: f64,
    /// The norm that gradients are scaled down to.
    pub clip: Option<f32>,
    /// The learning rate of each step.
    pub rate: Rate,
    /// When the run ends.
    pub end: End,
    /// Validations without a better one after which it ends before.
    pub patience: Option<u32>,
    /// Steps from one validation to the next; without it they come whenever another twentieth of the run is done.
    pub valid_every: Option<u32>,
    /// Steps from one line of the log to the next.
    pub log_every: u32,
    /// When checkpoints are written.
    pub checkpoint_every: Cadence,
    /// Whether the model's weights are written as 16-bit floats; checkpoints have all bits.
    pub f16: bool,
    /// S: tokens of the longest source, of pairs.
    #[serde(default = "one")]
    pub source_length: usize,
    /// The share of a target's probability that is given to all tokens alike, of pairs.
    #[serde(default)]
    pub label_smoothing: f32,
}

fn one() -> usize {
    1
}

impl Options {
    /// Whether a run can be asked for this; `file` is where it stands, for messages.
    ///
    /// # Errors
    /// The first option out of its range.
    pub fn check(&self, file: &str) -> Result<()> {
        let range = |field: &str, found: String, fits: bool, expected: &str| match fits {
            true => Ok(()),
            false => {
                let (field, expected) = (format!("options.{field}"), expected.into());
                Err(Error::Record { file: file.into(), field, found, expected })
            }
        };
        let size = |field, n: usize| range(field, n.to_string(), (1..=LARGEST).contains(&n), "1 to 65,536");
        let count = |field, n: Option<u32>| range(field, format!("{n:?}"), n != Some(0), "at least 1");
        let number = |field, x: f64, fits: bool, expected| range(field, x.to_string(), x.is_finite() && fits, expected);
        let (above, not_below) = ("a number above 0", "a number, 0 or more");
        size("batch_size", self.batch_size)?;
        size("sequence_length", self.sequence_length)?;
        size("source_length", self.source_length)?;
        let smoothing = f64::from(self.label_smoothing);
        number("label_smoothing", smoothing, (0.0..1.0).contains(&smoothing), "a number from 0 to less than 1")?;
        number("weight_decay", self.weight_decay, self.weight_decay >= 0.0, not_below)?;
        let share = "a number from 0 to less than 1";
        number("momentum", self.momentum, (0.0..1.0).contains(&self.momentum), share)?;
        let clip = self.clip.map_or(1.0, f64::from);
        number("clip", clip, clip > 0.0, above)?;
        let Rate { peak, schedule, .. } = self.rate;
        number("rate.peak", peak.into(), peak > 0.0, above)?;
        match schedule {
            Schedule::Constant => {}
            Schedule::Cosine { floor } => number("rate.schedule.floor", floor.into(), floor >= 0.0, not_below)?,
            Schedule::Step { every, divisor } => {
                count("rate.schedule.every", Some(every))?;
                number("rate.schedule.divisor", divisor.into(), divisor > 0.0, above)?;
            }
            Schedule::Plateau { divisor, .. } => {
                number("rate.schedule.divisor", divisor.into(), divisor > 0.0, above)?;
            }
        }
        match self.end {
            End::Steps(n) => range("end", n.to_string(), (1..=MOST_STEPS).contains(&n), "1 to 2,147,483,647 steps")?,
            End::Epochs(n) => range("end", n.to_string(), (1..=MOST_EPOCHS).contains(&n), "1 to 1,000,000 epochs")?,
        }
        count("patience", self.patience)?;
        count("valid_every", self.valid_every)?;
        count("log_every", Some(self.log_every))?;
        match self.checkpoint_every {
            Cadence::Steps(n) => count("checkpoint_every", Some(n))?,
            Cadence::Minutes(m) => number("checkpoint_every", m, m >= 0.0, not_below)?,
        }
        let tokens = self.corpus.valid_tokens;
        range("corpus.valid_tokens", format!("{tokens:?}"), tokens != Some(0), "at least 1")
    }

    /// The recipe that the engine is made from.
    pub fn recipe(&self, config: &Config) -> Recipe {
        let adam = |decoupled| Optimizer::Adam {
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            weight_decay: self.weight_decay,
            decoupled,
        };
        Recipe {
            shape: config.shape(),
            tied: config.tie_word_embeddings,
            rows: self.batch_size,
            time: self.sequence_length,
            dropout: config.dropout,
            seed: self.seed,
            optimizer: match self.optimizer {
                Method::Adam => adam(false),
                Method::Adamw => adam(true),
                Method::Sgd => Optimizer::Sgd { momentum: self.momentum, weight_decay: self.weight_decay },
            },
            clip: self.clip,
            pairs: config.coupling.map(|coupling| Pairs {
                coupling,
                source: self.source_length,
                label_smoothing: self.label_smoothing,
            }),
        }
    }
}
