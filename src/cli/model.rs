//! The model, and how it reads text, as typed.

use clap::{Args, ValueEnum};

use crate::error::{Error, Result};
use crate::host::open_model;
use crate::model::Model;
use crate::text::OnUnknown;

/// The model.
#[derive(Args, Clone, Debug)]
pub(super) struct ModelArgs {
    /// A model's folder, or `builtin:molecules`
    #[arg(long, short, value_name = "DIR", default_value = "builtin:shakespeare")]
    model: String,

    /// Treatment of text that the vocabulary lacks
    ///
    /// An error that says where it is, leave it out, or put the model's unknown token there. How much was left out is
    /// said at the end.
    #[arg(long, value_name = "WHAT", value_enum, default_value_t = Unknown::Error, hide_short_help = true)]
    on_unknown: Unknown,
}

/// The treatment of text that the vocabulary lacks, as it is typed.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Unknown {
    Error,
    Skip,
    Unk,
}

impl ModelArgs {
    /// The model, a language model.
    pub fn open(&self) -> Result<Model> {
        let model = open_model(&self.model)?;
        model.expect_language_model()?;
        Ok(model)
    }

    /// The treatment of unknown text for this model.
    pub fn on_unknown(&self, model: &Model) -> Result<OnUnknown> {
        match self.on_unknown {
            Unknown::Error => Ok(OnUnknown::Error),
            Unknown::Skip => Ok(OnUnknown::Skip),
            Unknown::Unk => match model.config.unk_token_id.or(model.tokenizer.unknown_id()) {
                Some(id) => Ok(OnUnknown::Unk(id)),
                None => Err(Error::Usage(format!(
                    "--on-unknown unk: {} has no unk_token_id in config.json and no unknown token in tokenizer.json",
                    model.name
                ))),
            },
        }
    }
}
