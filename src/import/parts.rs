//! The parts of a language model, whoever saved it, and the model that they make.

use std::collections::BTreeMap;

use super::cell::Recurrent;
use super::sizes::equal_sizes;
use crate::error::{Error, Result};
use crate::model::{Config, Weights};
use crate::network::Shape;

/// A matrix in PyTorch's layout: outputs (or tokens) are rows.
#[derive(Clone, Debug, PartialEq)]
pub struct Matrix {
    /// Row major.
    pub values: Vec<f32>,
    /// Number of rows.
    pub rows: usize,
    /// Their length.
    pub columns: usize,
    /// Its name in the file.
    pub from: String,
}

/// A vector, and its name in the file.
pub type Vector = (Vec<f32>, String);

/// The parts of a language model.
#[derive(Clone, Debug, PartialEq)]
pub struct ImportedParts {
    /// `[V, E]`.
    pub embedding: Matrix,
    /// In the order in which data goes through them.
    pub layers: Vec<Recurrent>,
    /// `[V, outputs]`; `None` where it is the embedding.
    pub head: Option<Matrix>,
    /// `[V]`; zero where there is none.
    pub head_bias: Option<Vector>,
    /// Notes on everything that was assumed or rewritten.
    pub notes: Vec<String>,
}

/// A model without a tokenizer.
#[derive(Clone, Debug)]
pub struct Imported {
    /// The sizes and the cell.
    pub config: Config,
    /// Under gatefold's names.
    pub weights: Weights,
    /// (their name, our name, our shape), for people to check.
    pub names: Vec<(String, String, Vec<usize>)>,
    /// Notes on everything that was assumed or rewritten.
    pub notes: Vec<String>,
    /// The tokens that the file keeps beside its weights, and what it calls them.
    pub vocabulary: Option<(String, Vec<String>)>,
}

impl ImportedParts {
    /// The model; `file` is the source's name in messages.
    ///
    /// # Errors
    /// Layers that do not fit one after another or differ from each other, an output that does not fit.
    pub fn into_model(self, file: &str) -> Result<Imported> {
        let wrong = |what: String| Error::model(file, what);
        let equal = equal_sizes(self).map_err(wrong)?;
        equal.into_equal(file)
    }

    fn into_equal(self, file: &str) -> Result<Imported> {
        let wrong = |what: String| Error::model(file, what);
        let first = self.layers.first().ok_or_else(|| wrong("no recurrent layer".into()))?;
        let (form, hidden) = (first.form, first.hidden);
        let outputs = form.outputs(hidden);
        let mut inputs = self.embedding.columns;
        for layer in &self.layers {
            if layer.form != form {
                return Err(wrong(format!(
                    "layers `{}` and `{}` have different cells; a model here has one cell for all layers",
                    first.from, layer.from
                )));
            }
            if layer.hidden != hidden {
                return Err(wrong(format!(
                    "layers `{}` and `{}` have {hidden} and {} units; a model here has one hidden_size for all layers",
                    first.from, layer.from, layer.hidden
                )));
            }
            if layer.inputs != inputs {
                return Err(wrong(format!(
                    "layer `{}` takes {} numbers, but what comes before it puts out {inputs}",
                    layer.from, layer.inputs
                )));
            }
            inputs = outputs;
        }
        let head = self.head.as_ref().unwrap_or(&self.embedding);
        if head.columns != outputs {
            return Err(wrong(format!(
                "the output layer `{}` takes {} numbers, but the last recurrent layer puts out {outputs}",
                head.from, head.columns
            )));
        }
        if head.rows != self.embedding.rows {
            return Err(wrong(format!(
                "the output layer `{}` has {} rows, but the embedding `{}` has {}: a tagger or classifier, or a model of two \
                 vocabularies; a model here is a language model of one",
                head.from, head.rows, self.embedding.from, self.embedding.rows
            )));
        }
        let shape = Shape {
            cell: form.into_cell(),
            vocab: self.embedding.rows,
            embedding: self.embedding.columns,
            hidden,
            layers: self.layers.len(),
        };
        let config = Config { tie_word_embeddings: self.head.is_none(), ..Config::new(shape) };
        // Sizes beyond what a config may say.
        config.to_json().map_err(|e| e.within(file))?;
        self.named(config, file)
    }

    /// Weights under their names, checked against the config.
    fn named(self, config: Config, file: &str) -> Result<Imported> {
        let wrong = |what: String| Error::model(file, what);
        let mut tensors = BTreeMap::new();
        let mut origin = BTreeMap::new();
        let mut put = |name: String, values: Vec<f32>, from: &str| {
            origin.insert(name.clone(), from.to_string());
            tensors.insert(name, values);
        };
        let vocab = config.vocab_size;
        put("embedding.weight".into(), self.embedding.values, &self.embedding.from);
        for (i, layer) in self.layers.into_iter().enumerate() {
            let from = layer.from.clone();
            layer.named(i).into_iter().for_each(|(name, values)| put(format!("rnn.{name}"), values, &from));
        }
        if let Some(head) = self.head {
            put("output.weight".into(), head.values, &head.from);
        }
        let (bias, from) = self.head_bias.unwrap_or_else(|| (vec![0.0; vocab], "(none: zeros)".into()));
        put("output.bias".into(), bias, &from);
        let mut names = Vec::new();
        for (name, shape) in config.weight_shapes() {
            let Some(values) = tensors.get(&name) else { continue };
            let from = origin[&name].clone();
            if values.len() != shape.iter().product::<usize>() {
                return Err(wrong(format!(
                    "`{from}` gives {} numbers for `{name}`; expected shape {shape:?}",
                    values.len()
                )));
            }
            if let Some(at) = values.iter().position(|x| !x.is_finite()) {
                return Err(wrong(format!("`{from}` is NaN or infinite at element {at} of `{name}`")));
            }
            names.push((from, name, shape));
        }
        let weights = Weights::of(tensors, &config);
        Ok(Imported { config, weights, names, notes: self.notes, vocabulary: None })
    }
}

/// Tokens at most of a network over one-hot vectors: the identity has their square.
const MAX_ONE_HOT: usize = 2048;

/// The embedding of a network over one-hot vectors.
///
/// # Errors
/// More tokens than such networks have.
pub fn identity(tokens: usize, notes: &mut Vec<String>) -> std::result::Result<Matrix, String> {
    if tokens > MAX_ONE_HOT {
        return Err(format!("one-hot vectors of {tokens} tokens; expected at most {MAX_ONE_HOT}"));
    }
    notes.push("no embedding in the file: its layers take one-hot vectors, so the embedding is the identity".into());
    let mut values = vec![0.0; tokens * tokens];
    values.iter_mut().step_by(tokens + 1).for_each(|x| *x = 1.0);
    Ok(Matrix { values, rows: tokens, columns: tokens, from: "(none: one-hot)".into() })
}
