//! Keras's layers: gates i f c o and z r h, inputs before outputs, one bias or two.
//!
//! A file is what `assets/keras_export.py` writes: tensors `LAYER/kernel` and so on, and Keras's own description of the
//! layers in the header.

use std::collections::BTreeSet;

use serde_json::Value;

use super::cell::{CellWeights, Recurrent, reordered, transposed};
use super::parts::{Matrix, Parts, Vector};
use super::tensors::Tensors;
use crate::model::short;
use crate::network::{Form, Kind};
use crate::ops::activation::Activation;

/// Bytes of the description of layers at most.
const MAX_DESCRIPTION: usize = 1 << 20;

/// A recurrent layer, as Keras describes it.
#[derive(Clone, Copy, Debug)]
pub struct KerasCell {
    /// LSTM, GRU or SimpleRNN.
    pub kind: Kind,
    /// `activation`.
    pub activation: Activation,
    /// `recurrent_activation`.
    pub recurrent_activation: Activation,
    /// `reset_after`; where it is absent, a bias of two rows says so.
    pub reset_after: Option<bool>,
}

/// Numbers and their sizes.
type Owned = (Vec<f32>, Vec<usize>);
/// The same, borrowed.
pub type Sized<'a> = (&'a [f32], &'a [usize]);

impl KerasCell {
    /// Reads a layer's `config`. `sixth` says that hard_sigmoid is Keras 3's.
    fn new(class: &str, config: &Value, sixth: bool) -> Result<KerasCell, String> {
        let (kind, gate) = match class {
            "LSTM" | "CuDNNLSTM" => (Kind::Lstm, "sigmoid"),
            "GRU" | "CuDNNGRU" => (Kind::Gru, "sigmoid"),
            _ => (Kind::Rnn, "sigmoid"),
        };
        if config["go_backwards"] == true {
            return Err("go_backwards: a language model reads from its beginning".into());
        }
        let activation = |field: &str, default: &str| match &config[field] {
            Value::Null => activation(default, sixth),
            Value::String(name) => activation(name, sixth),
            other => Err(format!("{field} is {}; expected a name", short(&other.to_string()))),
        };
        Ok(KerasCell {
            kind,
            activation: activation("activation", "tanh")?,
            recurrent_activation: activation("recurrent_activation", gate)?,
            reset_after: config["reset_after"].as_bool().or((class == "CuDNNGRU").then_some(true)),
        })
    }

    /// The layer's form.
    fn form(self, bias_rows: usize) -> Form {
        let plain = Form::plain(self.kind);
        let reset_after = self.reset_after.unwrap_or(bias_rows == 2);
        Form {
            gate: if self.kind == Kind::Rnn { plain.gate } else { self.recurrent_activation },
            cell: self.activation,
            output: if self.kind == Kind::Lstm { self.activation } else { plain.output },
            reset_before: self.kind == Kind::Gru && !reset_after,
            ..plain
        }
    }

    /// One direction of a layer in PyTorch's form, from `kernel` [K, G H], `recurrent_kernel` [H, G H] and `bias` [G H]
    /// or [2, G H].
    pub fn layer(self, from: &str, kernel: Sized, recurrent: Sized, bias: Option<Sized>) -> Result<Recurrent, String> {
        let gates = self.kind.gates();
        let wrong = |what: &str, shape: &[usize]| Err(format!("`{}`: its {what} has shape {shape:?}", short(from)));
        let (&[inputs, columns], &[hidden, of_state]) = (kernel.1, recurrent.1) else {
            return wrong("kernel", kernel.1);
        };
        if hidden == 0 || inputs == 0 || columns != gates * hidden || of_state != columns {
            return wrong("kernel", kernel.1);
        }
        let order: &[usize] = match self.kind {
            // i f c o is PyTorch's order under other letters.
            Kind::Lstm => &[0, 1, 2, 3],
            Kind::Gru => &[1, 0, 2],
            Kind::Rnn => &[0],
        };
        let rows = match bias.map(|(_, shape)| shape) {
            None => 1,
            Some([n]) if *n == columns => 1,
            Some([2, n]) if *n == columns => 2,
            Some(shape) => return wrong("bias", shape),
        };
        let zeros = || vec![0.0; columns];
        let (b_ih, b_hh) = match bias {
            None => (zeros(), zeros()),
            Some((bias, _)) if rows == 1 => (reordered(bias, order), zeros()),
            Some((bias, _)) => (reordered(&bias[..columns], order), reordered(&bias[columns..], order)),
        };
        let weights = CellWeights {
            w_ih: reordered(&transposed(kernel.0, inputs, columns), order),
            w_hh: reordered(&transposed(recurrent.0, hidden, columns), order),
            b_ih,
            b_hh,
            w_hr: None,
            peephole: None,
        };
        let form = self.form(rows);
        Ok(Recurrent { form, inputs, hidden, directions: vec![weights], from: from.into() })
    }
}

/// An activation by Keras's name. hard_sigmoid has the slope 1/5 up to Keras 2 and 1/6 from Keras 3 on.
pub fn activation(name: &str, sixth: bool) -> Result<Activation, String> {
    match name {
        "hard_sigmoid" if sixth => Ok(Activation::HardSigmoid6),
        name => Activation::named(name).ok_or_else(|| {
            format!("activation `{}`; expected tanh, sigmoid, relu, hard_sigmoid or linear", short(name))
        }),
    }
}

/// The parts of a model.
pub fn parts(mut file: Tensors) -> Result<Parts, String> {
    let description = file.keras.take().ok_or(
        "its names are Keras's, but the header does not describe the layers; write the file with keras_export.py",
    )?;
    if description.len() > MAX_DESCRIPTION {
        return Err(format!("{} bytes describe the layers; expected at most {MAX_DESCRIPTION}", description.len()));
    }
    let description: Value =
        serde_json::from_str(&description).map_err(|e| format!("the description of the layers: {e}"))?;
    let sixth = description["keras_version"].as_str().is_some_and(|v| !v.starts_with(['1', '2']));
    let mut reader = Reader { file, sixth, embedding: None, layers: Vec::new(), head: None, bias: None };
    let layers = description["layers"].as_array().ok_or("the description has no list `layers`")?;
    let mut names = BTreeSet::new();
    for layer in layers {
        let name = layer["config"]["name"].as_str().unwrap_or_default();
        if !names.insert(name) {
            return Err(format!("two layers are called `{}`", short(name)));
        }
        reader.layer(layer)?;
    }
    let missing = |what: &str| format!("no {what} among the layers");
    let mut notes = Vec::new();
    if reader.bias.is_none() {
        notes.push("the output layer has no bias in the file: zeros".into());
    }
    Ok(Parts {
        embedding: reader.embedding.ok_or_else(|| missing("Embedding"))?,
        layers: reader.layers,
        head: Some(reader.head.ok_or_else(|| missing("Dense"))?),
        head_bias: reader.bias,
        notes,
    })
}

struct Reader {
    file: Tensors,
    sixth: bool,
    embedding: Option<Matrix>,
    layers: Vec<Recurrent>,
    head: Option<Matrix>,
    bias: Option<Vector>,
}

impl Reader {
    fn layer(&mut self, layer: &Value) -> Result<(), String> {
        let class = layer["class_name"].as_str().ok_or("a layer without a class_name")?;
        let config = &layer["config"];
        let name = config["name"].as_str().ok_or_else(|| format!("a {} without a name", short(class)))?;
        let within = |e: String| format!("layer `{}` ({}): {e}", short(name), short(class));
        if self.head.is_some() && !matches!(class, "Activation" | "Softmax" | "Dropout") {
            return Err(within("it stands behind the output layer".into()));
        }
        match class {
            "InputLayer" | "Dropout" | "SpatialDropout1D" | "Softmax" => Ok(()),
            "Activation" if config["activation"] == "softmax" => Ok(()),
            "Embedding" if self.embedding.is_none() && self.layers.is_empty() => {
                let found = self.tensor(name, "embeddings").map_err(within)?;
                let (values, shape) = found.ok_or_else(|| within("no embeddings".into()))?;
                let &[rows, columns] = &shape[..] else { return Err(within(format!("shape {shape:?}"))) };
                self.embedding = Some(Matrix { values, rows, columns, from: name.into() });
                Ok(())
            }
            "LSTM" | "GRU" | "SimpleRNN" | "CuDNNLSTM" | "CuDNNGRU" => {
                let layer = self.recurrent(name, name, class, config).map_err(within)?;
                self.layers.push(layer);
                Ok(())
            }
            "Bidirectional" => {
                let layer = self.bidirectional(name, config).map_err(within)?;
                self.layers.push(layer);
                Ok(())
            }
            "TimeDistributed" if config["layer"]["class_name"] == "Dense" => {
                self.dense(name, &config["layer"]["config"]).map_err(within)
            }
            "Dense" => self.dense(name, config).map_err(within),
            _ => Err(within("models here are an Embedding, recurrent layers and a Dense".into())),
        }
    }

    /// A tensor `LAYER/WEIGHT` with its shape, if it is there.
    fn tensor(&self, layer: &str, weight: &str) -> Result<Option<Owned>, String> {
        let Some(tensor) = self.file.tensors.get(&format!("{layer}/{weight}")) else { return Ok(None) };
        Ok(Some((tensor.values().map_err(|e| format!("{weight}: {e}"))?, tensor.shape.clone())))
    }

    fn recurrent(&self, name: &str, at: &str, class: &str, config: &Value) -> Result<Recurrent, String> {
        let cell = KerasCell::new(class, config, self.sixth)?;
        let needed = |weight: &str| self.tensor(at, weight)?.ok_or_else(|| format!("no tensor `{at}/{weight}`"));
        let (kernel, recurrent, bias) = (needed("kernel")?, needed("recurrent_kernel")?, self.tensor(at, "bias")?);
        if class.starts_with("CuDNN") {
            return Err("a CuDNN layer of Keras 2; load it as LSTM or GRU and save it again".into());
        }
        let bias = bias.as_ref().map(|b| (&b.0[..], &b.1[..]));
        cell.layer(name, (&kernel.0, &kernel.1), (&recurrent.0, &recurrent.1), bias)
    }

    fn bidirectional(&self, name: &str, config: &Value) -> Result<Recurrent, String> {
        let merge = config["merge_mode"].as_str().unwrap_or("concat");
        if merge != "concat" {
            return Err(format!("merge_mode is {}; expected concat", short(merge)));
        }
        let class = config["layer"]["class_name"].as_str().ok_or("no layer inside")?;
        let inner = &config["layer"]["config"];
        let mut forward = self.recurrent(name, &format!("{name}/forward"), class, inner)?;
        let backward = self.recurrent(name, &format!("{name}/backward"), class, inner)?;
        if (backward.inputs, backward.hidden) != (forward.inputs, forward.hidden) {
            return Err("its two directions have different sizes".into());
        }
        forward.directions.extend(backward.directions);
        forward.form.bidirectional = true;
        Ok(forward)
    }

    fn dense(&mut self, name: &str, config: &Value) -> Result<(), String> {
        match config["activation"].as_str() {
            None | Some("softmax" | "linear") => {}
            Some(other) => return Err(format!("activation {}; expected softmax or linear", short(other))),
        }
        let (values, shape) = self.tensor(name, "kernel")?.ok_or("no kernel")?;
        let &[inputs, outputs] = &shape[..] else { return Err(format!("its kernel has shape {shape:?}")) };
        let values = transposed(&values, inputs, outputs);
        self.head = Some(Matrix { values, rows: outputs, columns: inputs, from: name.into() });
        self.bias = self.tensor(name, "bias")?.map(|(bias, _)| (bias, format!("{name}/bias")));
        Ok(())
    }
}
