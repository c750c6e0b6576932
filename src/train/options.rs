//! What a run of training was asked for: all that it needs to go on later.

use serde::{Deserialize, Serialize};

use super::schedule::Rate;
use super::{Optimizer, Recipe};
use crate::model::Config;
use crate::text::OnUnknown;

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

/// What becomes of text that the vocabulary lacks.
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CorpusOptions {
    /// The file that is learnt from.
    pub data: String,
    /// The file that validation reads; without one the last twentieth of `data` is held out.
    pub valid: Option<String>,
    /// Whether each line is a sequence of its own.
    pub lines: bool,
    /// What becomes of text that the vocabulary lacks.
    pub unknown: Unknown,
    /// Validation reads about this many tokens at most, from the beginning of what it has.
    pub valid_tokens: Option<usize>,
}

/// What a run was asked for, but for the sizes of its model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Options {
    /// What is read.
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
    /// Steps from one validation to the next.
    pub valid_every: u32,
    /// Steps from one line of the log to the next.
    pub log_every: u32,
    /// When checkpoints are written.
    pub checkpoint_every: Cadence,
}

impl Options {
    /// What the engine is made from.
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
        }
    }
}
