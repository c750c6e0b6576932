//! Models: what config.json says, the weights of model.safetensors under PyTorch's names, a tokenizer.
//!
//! All of it is read from bytes; [`crate::host`] knows folders.

mod builtin;
mod config;
mod coupling;
mod fields;
mod generation_config;
mod init;
mod numbers;
mod safetensors;
#[cfg(test)]
mod tests;
mod weights;

use serde::Serialize;

use crate::error::{Error, Result};
use crate::hash;
use crate::network::{EncoderDecoder, Shape};
use crate::text::{Lacking, OnUnknown, Tokenizer};

pub use builtin::BUILTIN;
pub use config::{Config, FORMAT_VERSION};
pub use coupling::PAIRS_FORMAT_VERSION;
pub(crate) use fields::short;
pub use generation_config::GenerationConfig;
pub use init::{initial_weights, initial_weights_of};
pub use numbers::Numbers;
pub use safetensors::{Bytes, Dtype, Precision, Stored, metadata_entry, read_header};
pub use weights::Weights;

/// The prefix in the name of a model inside the program.
pub const BUILTIN_PREFIX: &str = "builtin:";

/// The files of a model.
#[derive(Clone, Debug)]
pub struct Files {
    /// config.json.
    pub config: Bytes,
    /// model.safetensors.
    pub weights: Bytes,
    /// tokenizer.json.
    pub tokenizer: Bytes,
    /// source_tokenizer.json, where an encoder-decoder's sources have another one.
    pub source_tokenizer: Option<Bytes>,
    /// generation_config.json, where there is one.
    pub generation_config: Option<Bytes>,
}

/// A model: sizes, weights and tokenizer.
#[derive(Clone, Debug)]
pub struct Model {
    /// Where it came from, for messages.
    pub name: String,
    /// config.json.
    pub config: Config,
    /// The sizes, as the config has them; of an encoder-decoder those of its decoder.
    pub shape: Shape,
    /// generation_config.json, where there is one.
    pub generation_config: Option<GenerationConfig>,
    /// Weights by name.
    pub weights: Weights,
    /// Text to ids and back; an encoder-decoder's is its targets'.
    pub tokenizer: Tokenizer,
    /// The tokenizer of an encoder-decoder's sources, where it is another one.
    pub source_tokenizer: Option<Tokenizer>,
}

impl Model {
    /// A model from the bytes of its files; `name` stands for the folder in messages.
    ///
    /// # Errors
    /// Any file that cannot be read as what it should be, or that contradicts another: named with the tensor or
    /// field, what was found and what was expected.
    pub fn from_files(name: &str, files: &Files) -> Result<Model> {
        let config = Config::from_json(&format!("{name}/config.json"), &files.config)?;
        let read_generation = |json: &Bytes| {
            GenerationConfig::from_json(&format!("{name}/generation_config.json"), json, config.vocab_size)
        };
        let generation_config = files.generation_config.as_ref().map(read_generation).transpose()?;
        let read_tokenizer = |json: &Bytes, file: &str, vocab: usize, field: &str| {
            let file = format!("{name}/{file}");
            let tokenizer = Tokenizer::from_json(json, &file)?;
            match tokenizer.len() > vocab {
                false => Ok(tokenizer),
                true => {
                    let tokens = tokenizer.len();
                    let what = format!("{tokens} tokens; config.json has {field} {vocab}, expected at least as many");
                    Err(Error::model(&file, what))
                }
            }
        };
        let tokenizer = read_tokenizer(&files.tokenizer, "tokenizer.json", config.vocab_size, "vocab_size")?;
        let source_vocab = config.coupling.map(|coupling| coupling.encoder.shape.vocab);
        let source_tokenizer = match (source_vocab, &files.source_tokenizer) {
            (Some(vocab), Some(json)) => {
                Some(read_tokenizer(json, "source_tokenizer.json", vocab, "encoder.vocab_size")?)
            }
            (Some(vocab), None) => {
                read_tokenizer(&files.tokenizer, "tokenizer.json", vocab, "encoder.vocab_size")?;
                None
            }
            (None, _) => None,
        };
        let weights = Weights::read(&format!("{name}/model.safetensors"), &files.weights, &config)?;
        let shape = config.shape();
        Ok(Model { name: name.into(), config, shape, generation_config, weights, tokenizer, source_tokenizer })
    }

    /// A hash of sizes, weights and tokenizer: models that differ in any of them differ in it.
    pub fn fingerprint(&self) -> u64 {
        let config = self.config.to_json().unwrap_or_default();
        let hash = hash::bytes(hash::START, config.as_bytes());
        let tokenizers = [Some(&self.tokenizer), self.source_tokenizer.as_ref()].into_iter().flatten();
        let hash = tokenizers.fold(hash, |hash, tokenizer| hash::bytes(hash, &tokenizer.to_json()));
        let names = self.config.weight_shapes().into_iter().map(|(name, _)| name);
        names.filter_map(|name| self.weights.get(&name)).fold(hash, |hash, values| {
            values.iter().fold(hash, |hash, value| hash::step(hash, u64::from(value.to_bits())))
        })
    }

    /// Ids that a sequence begins with: bos, where the model has one, then the prompt. Without a prompt and without
    /// bos, the `start_text`.
    ///
    /// # Errors
    /// Text that the vocabulary lacks; nothing to begin with.
    pub fn prompt_ids(&self, prompt: &str, unknown: OnUnknown) -> Result<Vec<u32>> {
        self.prompt_ids_and_note(prompt, unknown, &mut Lacking::default())
    }

    /// As [`Model::prompt_ids`]; adds what the vocabulary lacks to `lacking`.
    ///
    /// # Errors
    /// As [`Model::prompt_ids`].
    pub fn prompt_ids_and_note(&self, prompt: &str, unknown: OnUnknown, lacking: &mut Lacking) -> Result<Vec<u32>> {
        let bos = self.config.bos_token_id;
        let start = self.config.start_text.as_deref().filter(|_| prompt.is_empty() && bos.is_none());
        let mut ids = Vec::from_iter(bos);
        ids.extend(match start {
            Some(text) => {
                let place = format!("{}/config.json: start_text", self.name);
                self.tokenizer.encode_and_note(text, unknown, lacking).map_err(|e| e.within(&place))?
            }
            None => self.tokenizer.encode_and_note(prompt, unknown, lacking)?,
        });
        if ids.is_empty() && !prompt.is_empty() {
            return Err(Error::text("", "the vocabulary has nothing of the prompt, so there is nothing to begin with"));
        }
        if ids.is_empty() {
            return Err(Error::NoPrompt { model: self.name.clone() });
        }
        Ok(ids)
    }

    /// The tokenizer of what an encoder-decoder reads.
    pub fn source_tokenizer(&self) -> &Tokenizer {
        self.source_tokenizer.as_ref().unwrap_or(&self.tokenizer)
    }

    /// Ids of a source as the encoder reads them: the text's, then the token that ends sources, where there is one.
    ///
    /// # Errors
    /// Text that the vocabulary lacks.
    pub fn source_ids(&self, text: &str, unknown: OnUnknown, lacking: &mut Lacking) -> Result<Vec<u32>> {
        let mut ids = self.source_tokenizer().encode_and_note(text, unknown, lacking)?;
        ids.extend(self.config.source_eos_token_id);
        Ok(ids)
    }

    /// Whether it is one that writes on from a prompt and can score a text.
    ///
    /// # Errors
    /// An encoder-decoder.
    pub fn expect_language_model(&self) -> Result<()> {
        match self.config.coupling {
            None => Ok(()),
            Some(_) => Err(Error::Architecture { model: self.name.clone(), expected: "a language model" }),
        }
    }

    /// The encoder-decoder that it is.
    ///
    /// # Errors
    /// A language model.
    pub fn encoder_decoder(&self) -> Result<EncoderDecoder> {
        let wrong = || Error::Architecture { model: self.name.clone(), expected: "an encoder-decoder" };
        self.config.encoder_decoder().ok_or_else(wrong)
    }

    /// Ids that end a sequence: those of generation_config.json where it names any, else config.json's.
    pub fn eos_ids(&self) -> Vec<u32> {
        let of_generation = self.generation_config.as_ref().map(|g| g.eos_token_id.clone());
        of_generation.filter(|ids| !ids.is_empty()).unwrap_or_else(|| self.config.eos_token_id.clone())
    }
}

/// A value as the text of a JSON file, if `reads_back` finds the same value in it.
fn checked_json(value: &impl Serialize, reads_back: impl FnOnce(&[u8]) -> Result<bool>) -> Result<String> {
    let json = serde_json::to_string_pretty(value).map_err(|e| Error::model("", e.to_string()))? + "\n";
    if reads_back(json.as_bytes())? {
        Ok(json)
    } else {
        // JSON writes a number that is not finite as null.
        Err(Error::model("", format!("JSON cannot hold what is to be written: {json}")))
    }
}

/// Names and shapes of a model's weights, as on disk.
pub fn weight_shapes(shape: &Shape) -> Vec<(String, Vec<usize>)> {
    let form = shape.cell.form();
    let outputs = form.outputs(shape.hidden);
    let mut shapes = vec![("embedding.weight".to_string(), vec![shape.vocab, shape.embedding])];
    for layer in 0..shape.layers {
        let inputs = if layer == 0 { shape.embedding } else { outputs };
        let weights = form.weight_shapes(layer, inputs, shape.hidden);
        shapes.extend(weights.into_iter().map(|(name, dims)| (format!("rnn.{name}"), dims)));
    }
    shapes.push(("output.weight".into(), vec![shape.vocab, outputs]));
    shapes.push(("output.bias".into(), vec![shape.vocab]));
    shapes
}
