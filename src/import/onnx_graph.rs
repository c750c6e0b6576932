//! An ONNX graph as a language model: walked back from its output to its token ids.

use std::collections::{BTreeSet, HashMap};

use super::cell::{Recurrent, transposed};
use super::onnx::{Graph, Node, recurrent};
use super::parts::{Matrix, Parts, Vector};
use super::tensors::Tensor;
use crate::model::short;

/// Nodes that move numbers and leave them as they are.
const MOVES: [&str; 8] = ["Transpose", "Squeeze", "Unsqueeze", "Reshape", "Identity", "Cast", "Dropout", "Flatten"];
/// Steps of a walk at most.
const MAX_STEPS: usize = 1 << 12;

/// Numbers that layers may have in all, besides those that the file has bytes: nodes may share their weights.
const ROOM: usize = 4 << 20;

/// The parts of a model; `size` is the file's.
pub fn parts(graph: &Graph, size: usize) -> Result<Parts, String> {
    let mut producers = HashMap::new();
    for node in &graph.nodes {
        for output in node.outputs.iter().filter(|name| !name.is_empty()) {
            producers.insert(output.as_str(), node);
        }
    }
    let walk = Walk { graph, producers, room: ROOM + size / 2 };
    let mut first_error = None;
    for output in &graph.outputs {
        match walk.back_from(output) {
            Ok(parts) => return Ok(parts),
            Err(e) => drop(first_error.get_or_insert(format!("output `{}`: {e}", short(output)))),
        }
    }
    Err(first_error.unwrap_or_else(|| "the graph has no output".into()))
}

struct Walk<'a> {
    graph: &'a Graph,
    producers: HashMap<&'a str, &'a Node>,
    /// Numbers of all layers at most.
    room: usize,
}

fn shown(node: &Node) -> String {
    if node.name.is_empty() { node.op.clone() } else { format!("{} `{}`", node.op, short(&node.name)) }
}

impl<'a> Walk<'a> {
    fn back_from(&self, output: &str) -> Result<Parts, String> {
        let mut notes = BTreeSet::new();
        let (mut head, mut bias): (Option<Matrix>, Option<Vector>) = (None, None);
        let mut layers: Vec<Recurrent> = Vec::new();
        let (mut at, mut room) = (output.to_string(), self.room);
        for _ in 0..MAX_STEPS {
            let node = self.producers.get(at.as_str()).ok_or_else(|| {
                format!("walked back to `{}`, which no node computes, before an embedding (Gather) was met", short(&at))
            })?;
            let within = |e: String| format!("{}: {e}", shown(node));
            let input = |i: usize| node.inputs.get(i).cloned().ok_or_else(|| within(format!("it has no input {i}")));
            match node.op.as_str() {
                "Softmax" | "LogSoftmax" if head.is_none() && bias.is_none() => at = input(0)?,
                op if MOVES.contains(&op) => at = input(0)?,
                "Add" if head.is_none() && bias.is_none() => {
                    let (a, b) = (input(0)?, input(1)?);
                    let (data, constant) = if self.constant(&b)?.is_some() { (a, b) } else { (b, a) };
                    let tensor = self.constant(&constant)?.ok_or_else(|| within("it adds no constant".into()))?;
                    bias = Some((tensor.values().map_err(within)?, constant));
                    at = data;
                }
                "MatMul" | "Gemm" if head.is_none() => {
                    let (matrix, own_bias) = self.product(node).map_err(within)?;
                    head = Some(matrix);
                    bias = bias.or(own_bias);
                    at = input(0)?;
                }
                "LSTM" | "GRU" | "RNN" if head.is_some() => {
                    if node.attributes.get("direction").is_some_and(|a| a.text == "reverse") {
                        return Err(within("it reads from the end alone, which a language model does not".into()));
                    }
                    if !node.outputs.iter().take(2).any(|name| *name == at) {
                        return Err(within("its cell state is used, not its outputs".into()));
                    }
                    let constant = |i: usize| match node.inputs.get(i).filter(|name| !name.is_empty()) {
                        None => Ok(None),
                        Some(name) => {
                            let found = self.constant(name)?;
                            found.map(Some).ok_or_else(|| format!("`{}` is no constant", short(name)))
                        }
                    };
                    self.check_rest(node, &mut notes).map_err(within)?;
                    for i in [1, 2] {
                        let numbers = constant(i).map_err(within)?.map_or(0, |t| t.elements());
                        let rest = room.checked_sub(numbers);
                        room = rest.ok_or_else(|| within("more weights than the file can hold".into()))?;
                    }
                    layers.insert(0, recurrent(node, &constant).map_err(within)?);
                    at = input(0)?;
                }
                "Gather" if !layers.is_empty() => {
                    let table = self.constant(&input(0)?)?.ok_or_else(|| within("its table is no constant".into()))?;
                    let axis = node.attributes.get("axis").map_or(0, |a| a.int);
                    let (&[rows, columns], 0) = (&table.shape[..], axis) else {
                        return Err(within(format!("no embedding: axis {axis} of shape {:?}", table.shape)));
                    };
                    let values = table.values().map_err(within)?;
                    let embedding = Matrix { values, rows, columns, from: input(0)? };
                    if bias.is_none() {
                        notes.insert("the output layer has no bias in the file: zeros".to_string());
                    }
                    return Ok(Parts { embedding, layers, head, head_bias: bias, notes: notes.into_iter().collect() });
                }
                _ => {
                    return Err(within(
                        "not a part of the models here: Gather, then LSTM, GRU or RNN, then MatMul or Gemm, then Softmax"
                            .into(),
                    ));
                }
            }
        }
        Err("its nodes stand in a ring".into())
    }

    /// Sequence lengths and initial states, which a model here does not have: inputs of the graph or zeros.
    fn check_rest(&self, node: &Node, notes: &mut BTreeSet<String>) -> Result<(), String> {
        let given = |i: usize| node.inputs.get(i).filter(|name| !name.is_empty());
        if let Some(lengths) = given(4) {
            if !self.graph.inputs.contains(lengths) {
                return Err("its sequence lengths are not an input of the graph".into());
            }
            notes.insert(format!("the input `{}` (sequence lengths) is left out", short(lengths)));
        }
        for state in [5, 6].into_iter().filter_map(given) {
            if self.graph.inputs.contains(state) {
                notes.insert(format!("the input `{}` is left out: texts begin with states of zeros", short(state)));
            } else if !self.is_zero(state, 0)? {
                return Err(format!("its initial state `{}` is not zero, as models here begin", short(state)));
            }
        }
        Ok(())
    }

    fn is_zero(&self, name: &str, depth: usize) -> Result<bool, String> {
        if depth > 32 {
            return Ok(false);
        }
        if let Some(tensor) = self.constant(name)? {
            return Ok(tensor.element.is_float() && tensor.values()?.iter().all(|x| *x == 0.0));
        }
        if self.graph.inputs.iter().any(|input| input == name) {
            return Ok(true);
        }
        let Some(node) = self.producers.get(name) else { return Ok(false) };
        match node.op.as_str() {
            "ConstantOfShape" => match node.attributes.get("value").and_then(|a| a.tensor.as_ref()) {
                Some(value) => Ok(value.values()?.iter().all(|x| *x == 0.0)),
                None => Ok(true),
            },
            "Concat" => {
                for input in &node.inputs {
                    if !self.is_zero(input, depth + 32)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            "Expand" | "Slice" | "Gather" | "Split" => match node.inputs.first() {
                Some(input) => self.is_zero(input, depth + 1),
                None => Ok(false),
            },
            op if MOVES.contains(&op) => match node.inputs.first() {
                Some(input) => self.is_zero(input, depth + 1),
                None => Ok(false),
            },
            _ => Ok(false),
        }
    }

    /// A tensor that no input changes: an initializer, a Constant, or one of them moved.
    fn constant(&self, name: &str) -> Result<Option<Tensor>, String> {
        let mut name = name.to_string();
        for _ in 0..32 {
            if let Some(tensor) = self.graph.initializers.get(&name) {
                return Ok(Some(tensor.clone()));
            }
            let Some(node) = self.producers.get(name.as_str()) else { return Ok(None) };
            match (node.op.as_str(), node.inputs.first()) {
                ("Constant", _) => return Ok(node.attributes.get("value").and_then(|a| a.tensor.clone())),
                ("Identity", Some(input)) => name = input.clone(),
                _ => return Ok(None),
            }
        }
        Ok(None)
    }

    /// A product with a constant matrix, outputs as rows; Gemm's own bias.
    fn product(&self, node: &Node) -> Result<(Matrix, Option<Vector>), String> {
        let flag = |name: &str, default: f32| node.attributes.get(name).map_or(default, |a| a.float);
        let int = |name: &str| node.attributes.get(name).map_or(0, |a| a.int);
        let name = node.inputs.get(1).ok_or("it has one input")?.clone();
        // A weight that is turned before it is used, as PyTorch writes some.
        let turned = self.producers.get(name.as_str()).filter(|n| n.op == "Transpose").and_then(|n| n.inputs.first());
        let (source, turned) = (turned.unwrap_or(&name), turned.is_some());
        let tensor = self.constant(source)?.ok_or_else(|| format!("its weight `{}` is no constant", short(source)))?;
        let &[a, b] = &tensor.shape[..] else { return Err(format!("its weight has shape {:?}", tensor.shape)) };
        let values = tensor.values()?;
        let gemm = node.op == "Gemm";
        if gemm && (flag("alpha", 1.0) != 1.0 || flag("beta", 1.0) != 1.0 || int("transA") != 0) {
            return Err("alpha, beta or transA is other than plain".into());
        }
        let outputs_first = (gemm && int("transB") != 0) != turned;
        let matrix = match outputs_first {
            true => Matrix { values, rows: a, columns: b, from: source.clone() },
            false => Matrix { values: transposed(&values, a, b), rows: b, columns: a, from: source.clone() },
        };
        let bias = match node.inputs.get(2).filter(|name| gemm && !name.is_empty()) {
            None => None,
            Some(name) => {
                let tensor =
                    self.constant(name)?.ok_or_else(|| format!("its bias `{}` is no constant", short(name)))?;
                Some((tensor.values()?, name.clone()))
            }
        };
        Ok((matrix, bias))
    }
}
