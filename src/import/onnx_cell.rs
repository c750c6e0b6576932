//! Recurrent nodes of ONNX in PyTorch's form.

use super::cell::{CellWeights, Recurrent, reordered};
use super::onnx::{Attribute, Node};
use super::tensors::Tensor;
use crate::model::short;
use crate::network::{GeneralCell, Kind};
use crate::ops::activation::Activation;

/// A recurrent node's layer. `weight` gives the tensor of an input: 1 is W, 2 is R, 3 is B, 7 is P. A layer of the
/// direction `reverse` comes back as one direction; whoever runs it turns time round.
pub fn recurrent(node: &Node, weight: &dyn Fn(usize) -> Result<Option<Tensor>, String>) -> Result<Recurrent, String> {
    let kind = match node.op.as_str() {
        "LSTM" => Kind::Lstm,
        "GRU" => Kind::Gru,
        "RNN" => Kind::Rnn,
        other => return Err(format!("`{}` is no recurrent node", short(other))),
    };
    let int = |name: &str| node.attributes.get(name).map_or(0, |a| a.int);
    if node.attributes.get("clip").is_some_and(|a| a.float != 0.0) {
        return Err("it clips its sums (`clip`), which cells here do not".into());
    }
    if int("input_forget") != 0 {
        return Err("its input and forget gates are coupled (`input_forget`), which cells here do not have".into());
    }
    let bidirectional = match node.attributes.get("direction").map(|a| a.text.as_str()) {
        None | Some("" | "forward" | "reverse") => false,
        Some("bidirectional") => true,
        Some(other) => return Err(format!("direction is `{}`", short(other))),
    };
    let directions = 1 + usize::from(bidirectional);
    let (w, r) = (weight(1)?.ok_or("no weights W")?, weight(2)?.ok_or("no weights R")?);
    let (&[d, rows, inputs], &[dr, of_state, hidden]) = (&w.shape[..], &r.shape[..]) else {
        return Err(format!("W has shape {:?} and R {:?}; expected three axes each", w.shape, r.shape));
    };
    let gates = kind.gates();
    if d != directions || dr != d || rows == 0 || inputs == 0 || gates * hidden != rows || of_state != rows {
        return Err(format!("W has shape {:?} and R {:?}, which do not fit each other", w.shape, r.shape));
    }
    let optional = |input: usize, name: &str, len: usize| -> Result<Option<Vec<f32>>, String> {
        let Some(tensor) = weight(input)? else { return Ok(None) };
        if tensor.shape != [directions, len] {
            return Err(format!("{name} has shape {:?}; expected [{directions}, {len}]", tensor.shape));
        }
        tensor.values().map(Some)
    };
    let (b, p) = (optional(3, "B", 2 * rows)?, if kind == Kind::Lstm { optional(7, "P", 3 * hidden)? } else { None });
    let form = GeneralCell {
        bidirectional,
        peepholes: p.is_some(),
        reset_before: kind == Kind::Gru && int("linear_before_reset") == 0,
        ..functions(node, kind, directions)?
    };
    let order: &[usize] = match kind {
        Kind::Lstm => &[0, 2, 3, 1],
        Kind::Gru => &[1, 0, 2],
        Kind::Rnn => &[0],
    };
    let (w, r) = (w.values()?, r.values()?);
    let part = |values: &[f32], d: usize, len: usize| values[d * len..(d + 1) * len].to_vec();
    let weights = (0..directions).map(|d| {
        let (b_ih, b_hh) = match &b {
            Some(b) => {
                let b = part(b, d, 2 * rows);
                (reordered(&b[..rows], order), reordered(&b[rows..], order))
            }
            None => (vec![0.0; rows], vec![0.0; rows]),
        };
        CellWeights {
            w_ih: reordered(&part(&w, d, rows * inputs), order),
            w_hh: reordered(&part(&r, d, rows * hidden), order),
            b_ih,
            b_hh,
            w_hr: None,
            // i o f.
            peephole: p.as_ref().map(|p| reordered(&part(p, d, 3 * hidden), &[0, 2, 1])),
        }
    });
    let from = if node.name.is_empty() { node.op.clone() } else { node.name.clone() };
    Ok(Recurrent { form, inputs, hidden, directions: weights.collect(), from })
}

/// The plain form with the node's activations.
fn functions(node: &Node, kind: Kind, directions: usize) -> Result<GeneralCell, String> {
    let plain = GeneralCell::plain(kind);
    let empty = Attribute::default();
    let of = |name: &str| node.attributes.get(name).unwrap_or(&empty);
    let names = &of("activations").texts;
    if names.is_empty() {
        return Ok(plain);
    }
    let each = match kind {
        Kind::Lstm => 3,
        Kind::Gru => 2,
        Kind::Rnn => 1,
    };
    if names.len() != each * directions {
        return Err(format!("{} activations; expected {}", names.len(), each * directions));
    }
    let (mut alphas, mut betas) = (of("activation_alpha").floats.iter(), of("activation_beta").floats.iter());
    let mut found = Vec::new();
    for name in names {
        found.push(match name.to_lowercase().as_str() {
            "sigmoid" => Activation::Sigmoid,
            "tanh" => Activation::Tanh,
            "relu" => Activation::Relu,
            "hardsigmoid" => {
                let (alpha, beta) = (alphas.next().copied().unwrap_or(0.2), betas.next().copied().unwrap_or(0.5));
                match (alpha, beta) {
                    (a, 0.5) if (a - 0.2).abs() < 1e-6 => Activation::HardSigmoid,
                    (a, 0.5) if (a - 1.0 / 6.0).abs() < 1e-6 => Activation::HardSigmoid6,
                    _ => return Err(format!("HardSigmoid of {alpha} x + {beta}; expected 1/5 or 1/6 and 1/2")),
                }
            }
            _ => return Err(format!("activation `{}`; expected Sigmoid, Tanh, Relu or HardSigmoid", short(name))),
        });
    }
    if directions == 2 && found[..each] != found[each..] {
        return Err("its two directions have different activations".into());
    }
    Ok(match (kind, &found[..each]) {
        (Kind::Lstm, &[gate, cell, output]) => GeneralCell { gate, cell, output, ..plain },
        (Kind::Gru, &[gate, cell]) => GeneralCell { gate, cell, ..plain },
        (_, found) => GeneralCell { cell: found[0], ..plain },
    })
}
