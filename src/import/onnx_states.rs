//! Sequence lengths and initial states of ONNX's recurrent nodes, which models here do not have.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap, HashSet};

use super::onnx::Node;
use super::onnx_fold::Constants;
use crate::model::short;

/// Nodes one after another at most.
const MAX_DEPTH: usize = 32;
/// Nodes that move numbers and leave them as they are, or take some of them.
const MOVES: [&str; 10] =
    ["Transpose", "Squeeze", "Unsqueeze", "Reshape", "Identity", "Cast", "Expand", "Slice", "Gather", "Split"];

/// The facts known of states.
pub struct States<'a> {
    constants: &'a Constants<'a>,
    inputs: HashSet<&'a str>,
    zero: RefCell<HashMap<String, bool>>,
}

impl<'a> States<'a> {
    /// Nothing is known yet.
    pub fn new(constants: &'a Constants<'a>, inputs: impl Iterator<Item = &'a str>) -> States<'a> {
        States { constants, inputs: inputs.collect(), zero: RefCell::default() }
    }

    /// Checks a node's sequence lengths and initial states: inputs of the graph, full lengths `time`, or zeros.
    pub fn check(&self, node: &Node, time: Option<usize>, notes: &mut BTreeSet<String>) -> Result<(), String> {
        let given = |i: usize| node.inputs.get(i).filter(|name| !name.is_empty());
        if let Some(lengths) = given(4) {
            let constant = self.constants.get(lengths)?;
            if let Some(constant) = constant {
                let lengths = constant.ints();
                let full = time.map(|n| n as i64).or(lengths.first().copied());
                if lengths.iter().any(|n| Some(*n) != full) {
                    return Err("its sequence lengths are constants other than the time that the graph is given".into());
                }
                notes.insert(format!("its sequence lengths, all {}, are taken as whole windows", full.unwrap_or(0)));
            } else if !self.inputs.contains(lengths.as_str()) {
                return Err("its sequence lengths are not an input of the graph".into());
            } else {
                notes.insert(format!("the input `{}` (sequence lengths) is left out", short(lengths)));
            }
        }
        for state in [5, 6].into_iter().filter_map(given) {
            if self.inputs.contains(state.as_str()) {
                notes.insert(format!("the input `{}` is left out: texts begin with states of zeros", short(state)));
            } else if !self.is_zero(state, 0)? {
                return Err(format!("its initial state `{}` is not zero, as models here begin", short(state)));
            }
        }
        Ok(())
    }

    fn is_zero(&self, name: &str, depth: usize) -> Result<bool, String> {
        if let Some(known) = self.zero.borrow().get(name) {
            return Ok(*known);
        }
        self.zero.borrow_mut().insert(name.to_string(), false);
        let zero = depth < MAX_DEPTH && self.looks_zero(name, depth)?;
        self.zero.borrow_mut().insert(name.to_string(), zero);
        Ok(zero)
    }

    fn looks_zero(&self, name: &str, depth: usize) -> Result<bool, String> {
        if let Some(constant) = self.constants.get(name)? {
            return Ok(constant.values.iter().all(|x| *x == 0.0));
        }
        if self.inputs.contains(name) {
            return Ok(true);
        }
        let Some(node) = self.constants.producer(name) else { return Ok(false) };
        match node.op.as_str() {
            "LSTM" | "GRU" | "RNN" => Err(format!(
                "its initial state is that of {} `{}`, so this is an encoder-decoder; a model here is one stack of layers \
                 over one text",
                short(&node.op),
                short(&node.name)
            )),
            "ConstantOfShape" => match node.attributes.get("value").and_then(|a| a.tensor.as_ref()) {
                Some(value) => Ok(value.values()?.iter().all(|x| *x == 0.0)),
                None => Ok(true),
            },
            "Concat" => {
                for input in &node.inputs {
                    if !self.is_zero(input, depth + 1)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            op if MOVES.contains(&op) => node.inputs.first().map_or(Ok(false), |input| self.is_zero(input, depth + 1)),
            _ => Ok(false),
        }
    }
}
