//! The options of a new run.

use std::path::{Path, PathBuf};

use super::super::files::map;
use crate::error::{Error, Result};
use crate::model::Config;
use crate::network::{
    Activation, Attention, Bridge, Cell, CellState, Coupling, Encoder, Feed, Pool, Query, Readout, ReadoutInput, Score,
    Shape,
};
use crate::text::{Tokenizer, unmarked};
use crate::train::{Cadence, CorpusOptions, Defaults, End, Extent, Method, Options, Rate, Schedule, Unknown};

/// The kinds of tokens.
#[derive(Clone, Debug, Default)]
pub enum Vocabulary {
    /// The characters of the texts.
    #[default]
    Characters,
    /// Bytes.
    Bytes,
    /// The most frequent words, as many as this: what stands between blanks.
    Words(usize),
    /// Tokens of this tokenizer.
    Tokenizer(Box<Tokenizer>),
}

/// The options of an encoder-decoder.
#[derive(Clone, Debug, Default)]
pub struct PairOptions {
    /// The tokens of sources; `None` for those of targets.
    pub source_vocabulary: Option<Vocabulary>,
    /// Its attention.
    pub attention: AttentionKind,
    /// The share of a target's probability that is given to all tokens alike.
    pub label_smoothing: f32,
}

/// The usual sets of an encoder-decoder's options.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AttentionKind {
    /// None: all that the decoder knows of a source is its first state.
    None,
    /// Luong's: the decoder's state is compared with weights times each place; state and context make a readout.
    #[default]
    Luong,
    /// Bahdanau's: additive, by the state before, and its context is read by the decoder's first layer.
    Bahdanau,
}

impl PairOptions {
    /// The parts around a decoder, for so many tokens of sources. The encoder reads both ways, each with half as many
    /// units as the decoder, so that its memory is as wide as the decoder's state.
    fn coupling(&self, decoder: Shape, source_vocab: usize) -> Coupling {
        use ReadoutInput::{Context, State};
        let hidden = decoder.hidden;
        let readout = Readout::of(&[State, Context], Some((hidden, Activation::Tanh)));
        let attend = |score, query| Some(Attention { score, query, size: hidden });
        let (attention, feed, readout) = match self.attention {
            AttentionKind::None => (None, Feed::None, Readout::of(&[State], None)),
            AttentionKind::Luong => (attend(Score::General, Query::State), Feed::None, readout),
            AttentionKind::Bahdanau => (attend(Score::Additive, Query::PreviousState), Feed::Context, readout),
        };
        let cell_state = if decoder.cell == Cell::Lstm { CellState::Same } else { CellState::Zero };
        Coupling {
            encoder: Encoder {
                shape: Shape { vocab: source_vocab, hidden: hidden.div_ceil(2), ..decoder },
                bidirectional: true,
                reverse: false,
            },
            bridge: Bridge { from: Pool::Last, activation: Some(Activation::Tanh), cell_state },
            attention,
            embedding_activation: Activation::Linear,
            feed,
            readout,
            share_embeddings: self.source_vocabulary.is_none(),
        }
    }
}

/// The options of a new run of training. Those that are `None` are chosen by the size of the data.
#[derive(Clone, Debug)]
pub struct TrainingOptions {
    /// The text to validate on; without it a twentieth of the data is held out: the last one, of lines a random one.
    pub valid: Option<PathBuf>,
    /// Whether each line is a sequence of its own; else the data is one continuous text.
    pub lines: bool,
    /// Each line is a source, a tab and a target, and an encoder-decoder is trained.
    pub pairs: Option<PairOptions>,
    /// The kind of tokens.
    pub vocabulary: Vocabulary,
    /// The token that begins a line; `None` for the usual ones.
    pub bos: Option<String>,
    /// The token that ends a line.
    pub eos: Option<String>,
    /// The treatment of text that the vocabulary lacks.
    pub unknown: Unknown,
    /// The recurrent cell.
    pub cell: Cell,
    /// Length of each layer's state.
    pub hidden: Option<usize>,
    /// Recurrent layers.
    pub layers: Option<usize>,
    /// Length of a token's embedding; `None` for 64 with up to 512 tokens, else as `hidden`.
    pub embedding: Option<usize>,
    /// Whether embedding and output share one weight; the embedding then is as long as the state.
    pub tied: bool,
    /// Share of values that are zeroed between layers while training.
    pub dropout: Option<f32>,
    /// Bias of an LSTM's forget gates at the beginning; `None` for random ones.
    pub forget_bias: Option<f32>,
    /// Rows that are trained at once.
    pub batch_size: Option<usize>,
    /// Tokens of a row in one step; gradients reach back no further.
    pub sequence_length: Option<usize>,
    /// Of the first weights, dropout and the order of lines: equal seeds give equal models on a device.
    pub seed: u64,
    /// How gradients become steps.
    pub optimizer: Method,
    /// The learning rate at its highest; for [`Method::Sgd`] 0.5 is usual.
    pub learning_rate: Option<f32>,
    /// Pulls weights towards zero.
    pub weight_decay: f64,
    /// Of [`Method::Sgd`].
    pub momentum: f64,
    /// The norm that gradients are scaled down to.
    pub clip: Option<f32>,
    /// The learning rate over the run.
    pub schedule: Schedule,
    /// Steps in which the learning rate rises from zero.
    pub warmup: Option<u32>,
    /// When the run ends.
    pub end: Option<End>,
    /// Validations without a better one after which it ends before.
    pub patience: Option<u32>,
    /// Steps between validations; `None` for a twentieth of the run.
    pub valid_every: Option<u32>,
    /// Tokens that a validation reads at most, 0 for all; `None` for what takes a twentieth of the run.
    pub valid_tokens: Option<usize>,
    /// Steps between lines of the log.
    pub log_every: u32,
    /// When checkpoints are written.
    pub checkpoint_every: Cadence,
    /// Whether the model's weights are written as 16-bit floats.
    pub f16: bool,
}

impl Default for TrainingOptions {
    fn default() -> TrainingOptions {
        TrainingOptions {
            valid: None,
            lines: false,
            pairs: None,
            vocabulary: Vocabulary::Characters,
            bos: None,
            eos: None,
            unknown: Unknown::Error,
            cell: Cell::Lstm,
            hidden: None,
            layers: None,
            embedding: None,
            tied: false,
            dropout: None,
            forget_bias: None,
            batch_size: None,
            sequence_length: None,
            seed: 1,
            optimizer: Method::Adam,
            learning_rate: None,
            weight_decay: 0.0,
            momentum: 0.0,
            clip: Some(1.0),
            schedule: Schedule::Cosine { floor: 0.0 },
            warmup: None,
            end: None,
            patience: None,
            valid_every: None,
            valid_tokens: None,
            log_every: 20,
            checkpoint_every: Cadence::Minutes(5.0),
            f16: false,
        }
    }
}

impl TrainingOptions {
    /// Whether a run can be asked for this.
    ///
    /// # Errors
    /// The first option that is out of its range or does not fit another, by its name.
    pub fn check(&self) -> Result<()> {
        let choice = Defaults::of(Extent { tokens: 0, lines: None, vocab: 1 });
        let config = self.config(1, 1, &choice)?;
        self.options(CorpusOptions::default(), &choice).check("").map_err(|e| match e {
            Error::Record { field, found, expected, .. } => {
                let name = field.strip_prefix("options.").unwrap_or(&field).into();
                Error::Option { name, value: found, expected }
            }
            other => other,
        })?;
        if let Some(bias) = self.forget_bias.filter(|bias| !bias.is_finite()) {
            return Err(wrong("forget_bias", bias.to_string(), "a number".into()));
        }
        config.to_json().map(drop)
    }

    /// The model for a vocabulary of this many tokens: what was asked for, else what was chosen.
    ///
    /// # Errors
    /// A tied embedding of another length than the state; a forget gate of a cell that has none.
    pub(super) fn config(&self, vocab: usize, source_vocab: usize, choice: &Defaults) -> Result<Config> {
        let hidden = self.hidden.unwrap_or(choice.hidden as usize);
        let embedding = match self.embedding {
            Some(embedding) => embedding,
            None if self.tied || vocab > 512 => hidden,
            None => 64,
        };
        if self.tied && embedding != hidden {
            let value = format!("of an embedding of length {embedding} and a state of length {hidden}");
            return Err(wrong("tied", value, "equal lengths".into()));
        }
        let cell = self.cell;
        if self.forget_bias.is_some() && cell != Cell::Lstm {
            let expected = format!("none, as a cell `{}` has no forget gate", cell.name());
            return Err(wrong("forget_bias", self.forget_bias.unwrap_or_default().to_string(), expected));
        }
        let layers = self.layers.unwrap_or(choice.layers as usize);
        let shape = Shape { cell, vocab, embedding, hidden, layers };
        let dropout = self.dropout.unwrap_or(choice.dropout);
        let coupling = self.pairs.as_ref().map(|pairs| pairs.coupling(shape, source_vocab));
        let config = Config { tie_word_embeddings: self.tied, dropout, coupling, ..Config::new(shape) };
        match config.encoder_decoder().map(|shape| shape.check()) {
            Some(Err(misfit)) => Err(wrong(misfit.field, misfit.found, misfit.expected)),
            _ => Ok(config),
        }
    }

    /// All of the run: what was asked for, else what was chosen.
    pub(super) fn options(&self, corpus: CorpusOptions, choice: &Defaults) -> Options {
        let usual = if self.optimizer == Method::Sgd { 0.5 } else { choice.learning_rate };
        let (peak, warmup) = (self.learning_rate.unwrap_or(usual), self.warmup.unwrap_or(choice.warmup));
        Options {
            corpus,
            batch_size: self.batch_size.unwrap_or(choice.batch_size as usize),
            sequence_length: self.sequence_length.unwrap_or(choice.sequence_length as usize),
            seed: self.seed,
            optimizer: self.optimizer,
            weight_decay: self.weight_decay,
            momentum: self.momentum,
            clip: self.clip,
            rate: Rate { peak, warmup, schedule: self.schedule },
            end: self.end.unwrap_or(End::Epochs(choice.epochs)),
            patience: self.patience,
            valid_every: self.valid_every,
            log_every: self.log_every,
            checkpoint_every: self.checkpoint_every,
            f16: self.f16,
            source_length: 1,
            label_smoothing: self.pairs.as_ref().map_or(0.0, |pairs| pairs.label_smoothing),
        }
    }

    /// The corpus of these options.
    pub(super) fn corpus(&self, data: &Path) -> CorpusOptions {
        let name = |path: &Path| path.display().to_string();
        CorpusOptions {
            data: name(data),
            valid: self.valid.as_deref().map(name),
            lines: self.lines || self.pairs.is_some(),
            pairs: self.pairs.is_some(),
            unknown: self.unknown,
            valid_tokens: self.valid_tokens.filter(|tokens| *tokens > 0),
        }
    }
}

/// The tokenizer of a tokenizer.json, of a list of tokens, or of a model's folder.
///
/// # Errors
/// An error of the file system; a file that is neither.
pub fn read_tokenizer(path: &Path) -> Result<Tokenizer> {
    let file = if path.is_dir() { path.join("tokenizer.json") } else { path.to_path_buf() };
    let name = file.display().to_string();
    let bytes = map(&file)?;
    let begins = unmarked(&bytes).map_err(|what| Error::model(&name, what))?;
    match begins.iter().find(|byte| !byte.is_ascii_whitespace()) {
        Some(b'{') => Tokenizer::from_json(&bytes, &name),
        _ => Tokenizer::from_vocabulary(&bytes, &name),
    }
}

fn wrong(name: &str, value: String, expected: String) -> Error {
    Error::Option { name: name.into(), value, expected }
}
