//! Keras's recurrent layers in PyTorch's form: gates i f c o and z r h, inputs before outputs, one bias or two.

use serde_json::Value;

use super::cell::{CellWeights, Recurrent, reordered, transposed};
use crate::model::short;
use crate::network::{GeneralCell, Kind};
use crate::ops::activation::Activation;

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
pub(super) type Owned = (Vec<f32>, Vec<usize>);
/// The same, borrowed.
pub type Sized<'a> = (&'a [f32], &'a [usize]);

impl KerasCell {
    /// Reads a layer's `config`. `sixth` says that hard_sigmoid is Keras 3's.
    pub(super) fn new(class: &str, config: &Value, sixth: bool) -> Result<KerasCell, String> {
        let (kind, gate) = match class {
            "LSTM" | "CuDNNLSTM" => (Kind::Lstm, "sigmoid"),
            "GRU" | "CuDNNGRU" => (Kind::Gru, "sigmoid"),
            _ => (Kind::Rnn, "sigmoid"),
        };
        if config["go_backwards"] == true {
            return Err("go_backwards: a language model reads from its beginning".into());
        }
        if config["time_major"] == true {
            return Err("time_major: its first axis is time; save it without".into());
        }
        let activation = |field: &str, default: &str| match function(&config[field]) {
            Function::Absent => activation(default, sixth),
            Function::Named(name) => activation(name, sixth),
            Function::Other(what) => Err(format!("{field} is {what}; expected a name")),
        };
        Ok(KerasCell {
            kind,
            activation: activation("activation", "tanh")?,
            recurrent_activation: activation("recurrent_activation", gate)?,
            reset_after: config["reset_after"].as_bool().or((class == "CuDNNGRU").then_some(true)),
        })
    }

    /// The layer's form.
    fn form(self, bias_rows: usize) -> GeneralCell {
        let plain = GeneralCell::plain(self.kind);
        let reset_after = self.reset_after.unwrap_or(bias_rows == 2);
        GeneralCell {
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

/// A function as a layer's config has it.
pub(super) enum Function<'a> {
    /// Nothing is said.
    Absent,
    /// A name.
    Named(&'a str),
    /// A layer or something else, in words.
    Other(String),
}

/// Reads a name, or a serialised function of Keras's own.
pub(super) fn function(value: &Value) -> Function<'_> {
    match value {
        Value::Null => Function::Absent,
        Value::String(name) => Function::Named(name),
        Value::Object(object) => match (value["class_name"].as_str(), value["config"].as_str()) {
            (Some("function"), Some(name))
                if value["registered_name"] == "function" || !object.contains_key("module") =>
            {
                Function::Named(name)
            }
            (Some("function"), Some(name)) if value["module"] == "builtins" => Function::Named(name),
            (class, _) => Function::Other(format!("a layer of its own, {}", short(class.unwrap_or("an object")))),
        },
        other => Function::Other(short(&other.to_string())),
    }
}
