//! ONNX: the messages of a model file, and recurrent nodes in PyTorch's form.
//!
//! LSTM has gates i o f c, GRU z r h with the reset before the product or after it (`linear_before_reset`); biases of
//! both products stand in one tensor, peepholes in another.

use std::collections::BTreeMap;
use std::ops::Range;

use super::cell::{CellWeights, Recurrent, reordered};
use super::protobuf::{FieldValue, fields, varints};
use super::tensors::{Element, Tensor};
use crate::model::{Bytes, short};
use crate::network::{Form, Kind};
use crate::ops::activation::Activation;

/// Nodes at most.
const MAX_NODES: usize = 1 << 16;

/// An attribute of a node.
#[derive(Clone, Debug, Default)]
pub struct Attribute {
    /// A whole number.
    pub int: i64,
    /// A number.
    pub float: f32,
    /// A text.
    pub text: String,
    /// Numbers.
    pub floats: Vec<f32>,
    /// Whole numbers.
    pub ints: Vec<i64>,
    /// Texts.
    pub texts: Vec<String>,
    /// A tensor.
    pub tensor: Option<Tensor>,
}

/// An operation.
#[derive(Clone, Debug, Default)]
pub struct Node {
    /// LSTM, MatMul and so on.
    pub op: String,
    /// Its own name.
    pub name: String,
    /// Names of values; an empty one is absent.
    pub inputs: Vec<String>,
    /// Names of values.
    pub outputs: Vec<String>,
    /// By name.
    pub attributes: BTreeMap<String, Attribute>,
}

/// What a model file holds.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    /// In an order in which they can run.
    pub nodes: Vec<Node>,
    /// Tensors by name.
    pub initializers: BTreeMap<String, Tensor>,
    /// Names of the graph's inputs.
    pub inputs: Vec<String>,
    /// Names of its outputs.
    pub outputs: Vec<String>,
}

/// Reads a model file.
pub fn read(bytes: &Bytes) -> Result<Graph, String> {
    let mut graph = None;
    for field in fields(bytes, 0..bytes.len()) {
        let field = field?;
        if field.number == 7 {
            graph = Some(field.value.range()?);
        }
    }
    let range = graph.ok_or("not an ONNX model: it has no graph")?;
    let mut graph = Graph::default();
    for field in fields(bytes, range) {
        let field = field?;
        match field.number {
            1 => {
                if graph.nodes.len() >= MAX_NODES {
                    return Err(format!("more than {MAX_NODES} nodes"));
                }
                graph.nodes.push(node(bytes, field.value.range()?)?);
            }
            5 => {
                let (name, tensor) = tensor(bytes, field.value.range()?)?;
                graph.initializers.insert(name, tensor);
            }
            11 => graph.inputs.push(first_text(bytes, field.value.range()?)?),
            12 => graph.outputs.push(first_text(bytes, field.value.range()?)?),
            15 => return Err("it has sparse weights; save it with dense ones".into()),
            _ => {}
        }
    }
    graph.inputs.retain(|name| !graph.initializers.contains_key(name));
    Ok(graph)
}

fn text(bytes: &[u8], range: Range<usize>) -> Result<String, String> {
    std::str::from_utf8(&bytes[range]).map(str::to_string).map_err(|_| "a name that is no text".into())
}

/// Field 1 of a message as a text: the name of an input or output.
fn first_text(bytes: &[u8], range: Range<usize>) -> Result<String, String> {
    for field in fields(bytes, range) {
        let field = field?;
        if field.number == 1 {
            return text(bytes, field.value.range()?);
        }
    }
    Ok(String::new())
}

fn node(bytes: &Bytes, range: Range<usize>) -> Result<Node, String> {
    let mut node = Node::default();
    for field in fields(bytes, range) {
        let field = field?;
        match field.number {
            1 => node.inputs.push(text(bytes, field.value.range()?)?),
            2 => node.outputs.push(text(bytes, field.value.range()?)?),
            3 => node.name = text(bytes, field.value.range()?)?,
            4 => node.op = text(bytes, field.value.range()?)?,
            5 => {
                let (name, attribute) = attribute(bytes, field.value.range()?)?;
                node.attributes.insert(name, attribute);
            }
            7 => {
                let domain = text(bytes, field.value.range()?)?;
                if !matches!(domain.as_str(), "" | "ai.onnx") {
                    return Err(format!("a node of the domain `{}`; expected ONNX's own", short(&domain)));
                }
            }
            _ => {}
        }
    }
    Ok(node)
}

fn attribute(bytes: &Bytes, range: Range<usize>) -> Result<(String, Attribute), String> {
    let (mut name, mut attribute) = (String::new(), Attribute::default());
    for field in fields(bytes, range) {
        let field = field?;
        match (field.number, &field.value) {
            (1, value) => name = text(bytes, value.range()?)?,
            (2, FieldValue::Fixed32(bits)) => attribute.float = f32::from_bits(*bits),
            (3, value) => attribute.int = value.int()?,
            (4, value) => attribute.text = text(bytes, value.range()?).unwrap_or_default(),
            (5, value) => attribute.tensor = Some(tensor(bytes, value.range()?)?.1),
            (7, FieldValue::Fixed32(bits)) => attribute.floats.push(f32::from_bits(*bits)),
            (7, FieldValue::Bytes(range)) => {
                let words = bytes[range.clone()].chunks_exact(4);
                attribute.floats.extend(words.map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])));
            }
            (8, FieldValue::Varint(n)) => attribute.ints.push(*n as i64),
            (8, FieldValue::Bytes(range)) => attribute.ints.extend(varints(bytes, range.clone())?),
            (9, value) => attribute.texts.push(text(bytes, value.range()?)?),
            _ => {}
        }
    }
    Ok((name, attribute))
}

/// A tensor that is a file of its own: inputs and outputs of ONNX's tests.
pub fn tensor_file(bytes: &Bytes) -> Result<Tensor, String> {
    Ok(tensor(bytes, 0..bytes.len())?.1)
}

fn tensor(bytes: &Bytes, range: Range<usize>) -> Result<(String, Tensor), String> {
    let (mut name, mut shape, mut kind) = (String::new(), Vec::new(), 0);
    let mut stored: Option<(Bytes, Range<usize>)> = None;
    // Numbers that stand each in a field of its own, or packed with a varying length.
    let (mut loose, mut loose_wide) = (Vec::<u8>::new(), Vec::<u8>::new());
    for field in fields(bytes, range) {
        let field = field?;
        match (field.number, &field.value) {
            (1, FieldValue::Varint(n)) => shape.push(*n as i64),
            (1, value) => shape.extend(varints(bytes, value.range()?)?),
            (2, value) => kind = value.int()?,
            (8, value) => name = text(bytes, value.range()?)?,
            (4, FieldValue::Fixed32(bits)) => loose.extend(bits.to_le_bytes()),
            (10, FieldValue::Fixed64(bits)) => loose_wide.extend(bits.to_le_bytes()),
            (4 | 9 | 10, value) => stored = Some((bytes.clone(), value.range()?)),
            (5, FieldValue::Varint(n)) => loose.extend((*n as i32).to_le_bytes()),
            (5, value) => varints(bytes, value.range()?)?.iter().for_each(|n| loose.extend((*n as i32).to_le_bytes())),
            (7, FieldValue::Varint(n)) => loose_wide.extend(n.to_le_bytes()),
            (7, value) => varints(bytes, value.range()?)?.iter().for_each(|n| loose_wide.extend(n.to_le_bytes())),
            (13, _) => return Err(format!("tensor `{}` is in another file; save the model in one", short(&name))),
            (14, value) if value.int()? == 1 => {
                return Err(format!("tensor `{}` is in another file; save the model in one", short(&name)));
            }
            _ => {}
        }
        if shape.len() > 8 {
            return Err(format!("tensor `{}` has more than 8 axes", short(&name)));
        }
    }
    let element = match kind {
        1 => Element::F32,
        6 => Element::I32,
        7 => Element::I64,
        10 => Element::F16,
        11 => Element::F64,
        16 => Element::Bf16,
        2 | 3 | 9 => Element::Other(1),
        4 | 5 => Element::Other(2),
        12 => Element::Other(4),
        13 => Element::Other(8),
        _ => return Err(format!("tensor `{}` has the type {kind}; expected floats", short(&name))),
    };
    let shape: Vec<usize> = shape
        .iter()
        .map(|n| usize::try_from(*n))
        .collect::<Result<_, _>>()
        .map_err(|_| format!("tensor `{}` has a negative size", short(&name)))?;
    let (bytes, range) = stored.unwrap_or_else(|| {
        let data = if element.bytes() == 8 { loose_wide } else { loose };
        let range = 0..data.len();
        (Bytes::new(data), range)
    });
    let tensor = Tensor::new(shape, element, bytes, range).map_err(|e| format!("tensor `{}`: {e}", short(&name)))?;
    Ok((name, tensor))
}

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
    let form = Form {
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
fn functions(node: &Node, kind: Kind, directions: usize) -> Result<Form, String> {
    let plain = Form::plain(kind);
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
        (Kind::Lstm, &[gate, cell, output]) => Form { gate, cell, output, ..plain },
        (Kind::Gru, &[gate, cell]) => Form { gate, cell, ..plain },
        (_, found) => Form { cell: found[0], ..plain },
    })
}
