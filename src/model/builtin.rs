//! The models in the program, where it was built with them (feature `models`).

#[cfg(feature = "models")]
use super::Bytes;
use super::{Files, Model};
use crate::error::{Error, Result};

/// The models in the program, under the names that stand for their folders.
pub const BUILTIN: &[&str] = if cfg!(feature = "models") { &[SHAKESPEARE, MOLECULES] } else { &[] };

const SHAKESPEARE: &str = "builtin:shakespeare";
const MOLECULES: &str = "builtin:molecules";

impl Model {
    /// The default model: characters of Shakespeare's plays.
    ///
    /// # Errors
    /// A program without models.
    pub fn shakespeare() -> Result<Model> {
        Model::builtin(SHAKESPEARE)
    }

    /// The model in the program that is called `name`, one of [`BUILTIN`].
    ///
    /// # Errors
    /// No such model: with the names that there are.
    pub fn builtin(name: &str) -> Result<Model> {
        match files(name) {
            Some(files) => Model::from_files(name, &files),
            None if BUILTIN.is_empty() => {
                Err(Error::model(name, "this program was built without models (feature `models`)"))
            }
            None => Err(Error::model(
                "",
                format!("no model in the program is called {name:?}; there are {}", BUILTIN.join(", ")),
            )),
        }
    }
}

#[cfg(feature = "models")]
fn files(name: &str) -> Option<Files> {
    /// A file of a model's folder in assets.
    macro_rules! asset {
        ($path:literal) => {
            Bytes::new(include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/assets/", $path)))
        };
    }
    match name {
        SHAKESPEARE => Some(Files {
            config: asset!("shakespeare/config.json"),
            weights: asset!("shakespeare/model.safetensors"),
            tokenizer: asset!("shakespeare/tokenizer.json"),
            source_tokenizer: None,
            generation_config: None,
        }),
        MOLECULES => Some(Files {
            config: asset!("molecules/config.json"),
            weights: asset!("molecules/model.safetensors"),
            tokenizer: asset!("molecules/tokenizer.json"),
            source_tokenizer: None,
            generation_config: Some(asset!("molecules/generation_config.json")),
        }),
        _ => None,
    }
}

#[cfg(not(feature = "models"))]
fn files(_: &str) -> Option<Files> {
    None
}
