//! The way through an ONNX graph: the nodes between an input and an output, walked back.

use std::collections::HashMap;

use super::onnx::{Input, Node};
use super::onnx_fold::Constants;
use crate::model::short;

/// Nodes on the way at most.
const MAX_STEPS: usize = 1 << 12;

/// A node for messages.
pub fn shown(node: &Node) -> String {
    if node.name.is_empty() { short(&node.op) } else { format!("{} `{}`", short(&node.op), short(&node.name)) }
}

/// A node on the way, the input that data comes in by, and the output that it leaves by.
pub struct Step<'a> {
    /// The node.
    pub node: &'a Node,
    /// The how-manieth input data comes in by.
    pub data: usize,
    /// The how-manieth output it leaves by.
    pub output: usize,
}

/// The nodes from an input of the graph to an output.
pub fn way<'a>(
    constants: &Constants<'a>,
    inputs: &HashMap<&'a str, &'a Input>,
    output: &'a str,
) -> Result<(&'a Input, Vec<Step<'a>>), String> {
    let (mut at, mut way) = (output, Vec::new());
    while way.len() < MAX_STEPS {
        if let Some(input) = inputs.get(at) {
            way.reverse();
            return Ok((input, way));
        }
        let node = constants
            .producer(at)
            .ok_or_else(|| format!("walked back to `{}`, which no node computes and no input gives", short(at)))?;
        let varies = |i: usize| match node.inputs.get(i).filter(|name| !name.is_empty()) {
            Some(name) => Ok::<bool, String>(constants.get(name)?.is_none()),
            None => Ok(false),
        };
        // A sum with a constant, and a Gather from a constant table, have data on the other side.
        let data = match node.op.as_str() {
            "Add" | "Mul" | "Equal" if !varies(0)? => 1,
            "Gather" if !varies(0)? => 1,
            _ => 0,
        };
        let output = node.outputs.iter().position(|name| name == at).unwrap_or(0);
        let (node, data) = last_of_concat(constants, node, data)?;
        at = node
            .0
            .inputs
            .get(data)
            .filter(|name| !name.is_empty())
            .ok_or_else(|| format!("{}: no input", shown(node.0)))?;
        if let Some(inner) = node.1 {
            at = inner;
        }
        way.push(Step { node: node.0, data, output });
    }
    Err(format!("its nodes stand in a ring, or more than {MAX_STEPS} one after another"))
}

/// PyTorch puts the last states of all layers side by side and takes the last: the value of that layer.
#[allow(clippy::type_complexity)]
fn last_of_concat<'a>(
    constants: &Constants<'a>,
    node: &'a Node,
    data: usize,
) -> Result<((&'a Node, Option<&'a str>), usize), String> {
    let plain = Ok(((node, None), data));
    let axis = node.attributes.get("axis").map_or(0, |a| a.int);
    if data != 0 || node.op != "Gather" || axis != 0 {
        return plain;
    }
    let (Some(from), Some(index)) = (node.inputs.first(), node.inputs.get(1)) else { return plain };
    let Some(concat) = constants.producer(from).filter(|n| n.op == "Concat") else { return plain };
    let index = constants.get(index)?.and_then(|index| index.scalar());
    let same_axis = concat.attributes.get("axis").is_some_and(|a| a.int == 0);
    let last = concat.inputs.len().wrapping_sub(1);
    match index {
        Some(i) if same_axis && (i == -1.0 || i as usize == last) => {
            Ok(((node, concat.inputs.last().map(String::as_str)), 0))
        }
        _ => plain,
    }
}
