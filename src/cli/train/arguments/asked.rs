//! From typed options to the options of a run.

use std::path::Path;

use super::{
    AttentionName, CellName, DataArgs, MethodName, NonlinearityName, ScheduleArgs, ScheduleName, ShapeArgs, TrainArgs,
    UnknownArg,
};
use crate::error::{Error, Result};
use crate::host::{AttentionKind, PairOptions, TrainingOptions, Vocabulary, read_tokenizer};
use crate::network::{Cell, Nonlinearity};
use crate::train::{Defaults, Method, Schedule, Unknown};

impl ShapeArgs {
    fn cell(&self) -> Result<Cell> {
        let cell = match self.cell {
            CellName::Lstm => Cell::Lstm,
            CellName::Gru => Cell::Gru,
            CellName::Rnn => Cell::Rnn(match self.nonlinearity {
                Some(NonlinearityName::Relu) => Nonlinearity::Relu,
                _ => Nonlinearity::Tanh,
            }),
        };
        if self.nonlinearity.is_some() && self.cell != CellName::Rnn {
            return Err(Error::Usage(format!("--nonlinearity: a cell `{}` has functions of its own", cell.name())));
        }
        Ok(cell)
    }
}

impl DataArgs {
    fn vocabulary(tokenizer: &str, option: &str) -> Result<Vocabulary> {
        if let Some(most) = tokenizer.strip_prefix("word:") {
            let wrong = || Error::Usage(format!("{option} word:{most}: expected word:N, the number of words"));
            return most.parse().ok().filter(|n| *n > 0).map(Vocabulary::Words).ok_or_else(wrong);
        }
        Ok(match tokenizer {
            "char" => Vocabulary::Characters,
            "byte" => Vocabulary::Bytes,
            path => Vocabulary::Tokenizer(Box::new(read_tokenizer(Path::new(path)).map_err(|e| match e {
                Error::Io { context, source } => Error::Io { context: format!("{option} {context}"), source },
                other => other,
            })?)),
        })
    }

    /// The treatment of text that the vocabulary lacks. Characters and bytes have no token for it.
    fn unknown(&self, vocabulary: &Vocabulary) -> Result<Unknown> {
        let id = match vocabulary {
            Vocabulary::Tokenizer(tokenizer) => tokenizer.unknown_id(),
            Vocabulary::Characters | Vocabulary::Bytes | Vocabulary::Words(_) => None,
        };
        match (self.on_unknown, id) {
            (UnknownArg::Error, _) => Ok(Unknown::Error),
            (UnknownArg::Skip, _) => Ok(Unknown::Skip),
            (UnknownArg::Unk, Some(id)) => Ok(Unknown::Unk(id)),
            (UnknownArg::Unk, None) => Err(Error::Usage("--on-unknown unk: the tokenizer has no unknown token".into())),
        }
    }
}

impl ScheduleArgs {
    fn schedule(&self) -> Schedule {
        let divisor = self.divide_by;
        match self.schedule {
            ScheduleName::Constant => Schedule::Constant,
            ScheduleName::Cosine => Schedule::Cosine { floor: self.min_learning_rate },
            ScheduleName::Step => Schedule::Step { every: self.divide_after, divisor },
            ScheduleName::Plateau => Schedule::Plateau { patience: self.plateau, divisor },
        }
    }
}

impl TrainArgs {
    /// The options of a new run, as they were typed.
    pub fn asked(&self) -> Result<TrainingOptions> {
        let TrainArgs { data, model, steps, valid, schedule, end, .. } = self;
        let vocabulary = DataArgs::vocabulary(&data.tokenizer, "--tokenizer")?;
        let of_sources = data.source_tokenizer.as_deref();
        let source_vocabulary = of_sources.map(|what| DataArgs::vocabulary(what, "--source-tokenizer")).transpose()?;
        let pairs = data.pairs.is_some().then(|| PairOptions {
            source_vocabulary,
            attention: match model.attention {
                AttentionName::None => AttentionKind::None,
                AttentionName::Luong => AttentionKind::Luong,
                AttentionName::Bahdanau => AttentionKind::Bahdanau,
            },
            label_smoothing: model.label_smoothing,
        });
        let size = |typed: Option<u32>| typed.map(|n| n as usize);
        let asked = TrainingOptions {
            valid: data.valid.clone(),
            lines: data.lines,
            pairs,
            bos: data.bos.clone(),
            eos: data.eos.clone(),
            unknown: data.unknown(&vocabulary)?,
            vocabulary,
            cell: model.cell()?,
            hidden: size(model.hidden),
            layers: size(model.layers),
            embedding: size(model.embedding),
            tied: model.tied,
            dropout: model.dropout,
            forget_bias: model.forget_bias,
            batch_size: size(steps.batch_size),
            sequence_length: size(steps.sequence_length),
            seed: steps.seed,
            optimizer: match steps.optimizer {
                MethodName::Adam => Method::Adam,
                MethodName::Adamw => Method::Adamw,
                MethodName::Sgd => Method::Sgd,
            },
            learning_rate: steps.learning_rate,
            weight_decay: steps.weight_decay,
            momentum: steps.momentum,
            clip: Some(steps.clip).filter(|clip| *clip > 0.0),
            schedule: schedule.schedule(),
            warmup: schedule.warmup,
            end: end.end(),
            patience: end.patience,
            valid_every: valid.valid_every,
            valid_tokens: valid.valid_tokens,
            log_every: valid.log_every,
            checkpoint_every: valid.checkpoint_every,
            f16: valid.f16,
        };
        asked.check()?;
        Ok(asked)
    }

    /// The defaults that were chosen, as they would be typed.
    pub fn chosen(&self, choice: &Defaults) -> String {
        let adam = self.steps.optimizer != MethodName::Sgd;
        let options = [
            (self.model.hidden.is_none(), "hidden", choice.hidden.to_string()),
            (self.model.layers.is_none(), "layers", choice.layers.to_string()),
            (self.model.dropout.is_none(), "dropout", choice.dropout.to_string()),
            (self.steps.batch_size.is_none(), "batch-size", choice.batch_size.to_string()),
            (self.steps.sequence_length.is_none(), "sequence-length", choice.sequence_length.to_string()),
            (self.steps.learning_rate.is_none() && adam, "learning-rate", choice.learning_rate.to_string()),
            (self.schedule.warmup.is_none(), "warmup", choice.warmup.to_string()),
            (self.end.end().is_none(), "epochs", choice.epochs.to_string()),
        ];
        let chosen = options.into_iter().filter(|(chosen, ..)| *chosen);
        chosen.map(|(_, name, value)| format!("--{name} {value}")).collect::<Vec<_>>().join(" ")
    }
}
