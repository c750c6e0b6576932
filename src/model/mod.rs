//! Models: what config.json says, and the weights of model.safetensors under PyTorch's names.

mod weights;

use serde::Deserialize;

use crate::error::{Error, Result};
use crate::plan::network::{Cell, Shape};
use crate::text::{OnUnknown, Tokenizer};

pub use weights::Weights;

/// config.json.
#[derive(Clone, Debug, Deserialize)]
struct ConfigFile {
    format_version: u32,
    cell: String,
    vocab_size: usize,
    embedding_size: usize,
    hidden_size: usize,
    num_layers: usize,
    #[serde(default)]
    tie_word_embeddings: bool,
    #[serde(default)]
    start_text: Option<String>,
}

/// A language model: sizes, weights and tokenizer.
#[derive(Clone, Debug)]
pub struct Model {
    /// Where it came from, for messages.
    pub name: String,
    /// The sizes.
    pub shape: Shape,
    /// What a sequence without a prompt begins with.
    pub start_text: Option<String>,
    /// Weights by name, as f32.
    pub weights: Weights,
    /// Text to ids and back.
    pub tokenizer: Tokenizer,
}

impl Model {
    /// The default model: characters of Shakespeare's plays, embedded in the program.
    pub fn shakespeare() -> Result<Model> {
        Model::from_bytes(
            "builtin:shakespeare",
            include_bytes!("../../assets/shakespeare/config.json"),
            include_bytes!("../../assets/shakespeare/model.safetensors"),
            include_bytes!("../../assets/shakespeare/tokenizer.json"),
        )
    }

    /// A model from the bytes of its three files; `name` stands for the folder in messages.
    ///
    /// # Errors
    /// Any file that cannot be read as what it should be, or that contradicts another: named with the tensor or
    /// field, what was found and what was expected.
    pub fn from_bytes(name: &str, config: &[u8], safetensors: &[u8], tokenizer: &[u8]) -> Result<Model> {
        let file = format!("{name}/config.json");
        let wrong = |what: String| Error::Model(format!("{file}: {what}"));
        let config: ConfigFile = serde_json::from_slice(config).map_err(|e| wrong(e.to_string()))?;
        if config.format_version != 1 {
            return Err(wrong(format!("format_version {}; this version reads 1", config.format_version)));
        }
        let cell = match config.cell.as_str() {
            "lstm" => Cell::Lstm,
            "gru" => Cell::Gru,
            other => return Err(wrong(format!("cell {other:?}; expected \"lstm\" or \"gru\""))),
        };
        let shape = Shape {
            cell,
            vocab: config.vocab_size,
            embedding: config.embedding_size,
            hidden: config.hidden_size,
            layers: config.num_layers,
        };
        for (field, size) in [
            ("vocab_size", shape.vocab),
            ("embedding_size", shape.embedding),
            ("hidden_size", shape.hidden),
            ("num_layers", shape.layers),
        ] {
            if size == 0 || size > 1 << 24 {
                return Err(wrong(format!("{field} is {size}; expected 1 to {}", 1 << 24)));
            }
        }
        let tokenizer = Tokenizer::from_json(tokenizer, &format!("{name}/tokenizer.json"))?;
        if tokenizer.len() != shape.vocab {
            let (found, expected) = (tokenizer.len(), shape.vocab);
            return Err(wrong(format!("vocab_size is {expected}, but tokenizer.json has {found} entries")));
        }
        let file = format!("{name}/model.safetensors");
        let weights = Weights::read(&file, safetensors, &weight_shapes(&shape), config.tie_word_embeddings)?;
        Ok(Model { name: name.into(), shape, start_text: config.start_text, weights, tokenizer })
    }

    /// Ids of a prompt; without one, of `start_text`.
    ///
    /// # Errors
    /// An unknown character; no prompt and no start text.
    pub fn prompt_ids(&self, prompt: &str) -> Result<Vec<u32>> {
        let text = if prompt.is_empty() { self.start_text.as_deref().unwrap_or("") } else { prompt };
        if text.is_empty() {
            return Err(Error::Usage(format!(
                "{}: the model has no start_text, so a sequence needs a prompt (--prompt)",
                self.name
            )));
        }
        self.tokenizer.encode(text, OnUnknown::Error)
    }
}

/// Names and shapes of a model's weights, as on disk.
pub fn weight_shapes(shape: &Shape) -> Vec<(String, Vec<usize>)> {
    let gates = shape.cell.gates() * shape.hidden;
    let mut shapes = vec![("embedding.weight".to_string(), vec![shape.vocab, shape.embedding])];
    for layer in 0..shape.layers {
        let inputs = if layer == 0 { shape.embedding } else { shape.hidden };
        for (name, dims) in [
            ("weight_ih", vec![gates, inputs]),
            ("weight_hh", vec![gates, shape.hidden]),
            ("bias_ih", vec![gates]),
            ("bias_hh", vec![gates]),
        ] {
            shapes.push((format!("rnn.{name}_l{layer}"), dims));
        }
    }
    shapes.push(("output.weight".into(), vec![shape.vocab, shape.hidden]));
    shapes.push(("output.bias".into(), vec![shape.vocab]));
    shapes
}
