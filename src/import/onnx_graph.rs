//! An ONNX graph as a language model: from its token ids to its logits, each axis followed on the way.

use std::collections::{BTreeSet, HashMap};

use super::cell::{Recurrent, transposed};
use super::onnx::{Graph, Input, Node, recurrent};
use super::onnx_axes::{Atom, Axes, Axis};
use super::onnx_fold::{Constant, Constants, axis_of};
use super::onnx_states::States;
use super::onnx_way::{Step, shown, way};
use super::parts::{ImportedParts, Matrix, Vector, identity};
use crate::model::short;

/// Outputs at most that are tried.
const MAX_OUTPUTS: usize = 32;
/// The nodes that models are made of, for messages.
const EXPECTED: &str = "not a part of the models here: Gather, then LSTM, GRU or RNN, then MatMul or Gemm, then Softmax, and what only moves \
     numbers between them";

/// The parts of a model.
pub fn parts(graph: &Graph) -> Result<ImportedParts, String> {
    let constants = Constants::new(graph);
    let inputs: HashMap<&str, &Input> = graph.inputs.iter().map(|input| (input.name.as_str(), input)).collect();
    let mut first_error = None;
    for (i, output) in graph.outputs.iter().take(MAX_OUTPUTS).enumerate() {
        match way(&constants, &inputs, output).and_then(|(input, way)| {
            let mut walk = Walk::new(graph, &constants, &inputs, input)?;
            way.iter().try_for_each(|step| walk.step(step).map_err(|e| format!("{}: {e}", shown(step.node))))?;
            walk.parts()
        }) {
            Ok(mut parts) => {
                if i > 0 {
                    parts.notes.push(format!("the logits are the output `{}`", short(output)));
                }
                return Ok(parts);
            }
            Err(e) => drop(first_error.get_or_insert(format!("output `{}`: {e}", short(output)))),
        }
    }
    Err(first_error.unwrap_or_else(|| "the graph has no output".into()))
}

/// The findings of a walk so far.
struct Walk<'a> {
    constants: &'a Constants<'a>,
    states: States<'a>,
    version: i64,
    input: &'a Input,
    axes: Axes<'a>,
    /// The axes of the value at hand.
    at: Vec<Axis>,
    /// The value is a vector a token.
    vectors: bool,
    embedding: Option<Matrix>,
    layers: Vec<Recurrent>,
    head: Option<Matrix>,
    bias: Option<Vector>,
    normalised: bool,
    last_step: bool,
    /// The axis of ids that layers walk along.
    time: Option<usize>,
    notes: BTreeSet<String>,
}

impl<'a> Walk<'a> {
    fn new(
        graph: &'a Graph,
        constants: &'a Constants<'a>,
        inputs: &HashMap<&'a str, &'a Input>,
        input: &'a Input,
    ) -> Result<Walk<'a>, String> {
        let mut sizes: Vec<Option<usize>> = match &input.dims {
            Some(dims) => dims.iter().map(|(_, size)| *size).collect(),
            None => vec![None, None],
        };
        // One-hot vectors that the caller makes.
        let numbers = if input.float && sizes.len() == 3 { sizes.pop().flatten() } else { None };
        if sizes.is_empty() || sizes.len() > 2 {
            return Err(format!(
                "the input `{}` has {} axes; expected ids [rows, time]",
                short(&input.name),
                sizes.len()
            ));
        }
        let axes = Axes::new(constants, sizes);
        let mut at = axes.of_ids();
        at.extend(numbers.map(|n| vec![Atom::Numbers(n)]));
        let mut walk = Walk {
            constants,
            states: States::new(constants, inputs.keys().copied()),
            version: graph.version,
            input,
            axes,
            at,
            vectors: numbers.is_some(),
            embedding: None,
            layers: Vec::new(),
            head: None,
            bias: None,
            normalised: false,
            last_step: false,
            time: None,
            notes: BTreeSet::new(),
        };
        walk.axes.note(&input.name, &walk.at);
        Ok(walk)
    }

    fn constant(&self, node: &Node, i: usize) -> Result<Option<std::rc::Rc<Constant>>, String> {
        let Some(name) = node.inputs.get(i).filter(|name| !name.is_empty()) else { return Ok(None) };
        let found = self.constants.get(name)?;
        found.map(Some).ok_or_else(|| format!("its input `{}` is no constant", short(name)))
    }

    /// A list of whole numbers, an input or, in older versions, an attribute.
    fn list(&self, node: &Node, i: usize, name: &str) -> Result<Option<Vec<i64>>, String> {
        let given = self.constant(node, i)?.map(|constant| constant.ints());
        Ok(given.or_else(|| node.attributes.get(name).map(|a| a.ints.clone())))
    }

    fn step(&mut self, step: &Step) -> Result<(), String> {
        let node = step.node;
        let int = |name: &str, default: i64| node.attributes.get(name).map_or(default, |a| a.int);
        match node.op.as_str() {
            "Identity" | "Cast" | "Dropout" => {}
            "Transpose" => {
                let perm = node.attributes.get("perm").map(|a| &a.ints[..]);
                self.at = self.axes.transposed(&self.at, perm)?;
            }
            "Squeeze" => self.at = self.axes.squeezed(&self.at, self.list(node, 1, "axes")?)?,
            "Unsqueeze" => {
                let axes = self.list(node, 1, "axes")?.ok_or("no axes")?;
                self.at = self.axes.unsqueezed(&self.at, &axes)?;
            }
            "Flatten" => self.at = self.axes.flattened(&self.at, int("axis", 1))?,
            "Reshape" => {
                let shape = node.inputs.get(1).ok_or("no shape")?;
                self.at = self.axes.reshaped(&self.at, shape, int("allowzero", 0) == 0)?;
            }
            "Gather" if step.data == 1 => self.embed(node)?,
            "Gather" => {
                let index = self.constant(node, 1)?.ok_or("no index")?;
                let one = index.scalar().ok_or("it takes several steps")?;
                let axis = axis_of(int("axis", 0), self.at.len())?;
                self.take(axis, one as i64, index.shape.is_empty())?;
            }
            "Slice" => self.slice(node)?,
            "OneHot" if !self.vectors => self.one_hot(node)?,
            // ids == 0, 1, 2, ...: PyTorch's one_hot.
            "Equal" if !self.vectors && self.at.last().is_some_and(Vec::is_empty) => self.equal(node, step.data)?,
            "LSTM" | "GRU" | "RNN" if self.vectors && self.head.is_none() && !self.last_step => {
                self.layer(node, step.output)?;
            }
            "MatMul" | "Gemm" if self.vectors && self.head.is_none() => self.product(node)?,
            "Add" if self.head.is_some() && !self.normalised => {
                let constant = self.constant(node, 1 - step.data)?.ok_or("it adds no constant")?;
                self.add(&constant, &node.inputs[1 - step.data])?;
            }
            "Mul" | "Div" if self.vectors && !self.normalised => {
                let constant = self.constant(node, 1 - step.data)?.and_then(|c| c.scalar());
                let factor = constant.ok_or("its factor is not one number")?;
                self.scale(if node.op == "Div" { 1.0 / factor } else { factor })?;
            }
            "Softmax" | "LogSoftmax" if self.head.is_some() && !self.normalised => {
                let axis = axis_of(int("axis", if self.version >= 13 { -1 } else { 1 }), self.at.len())?;
                if axis + 1 != self.at.len() {
                    return Err("it goes over another axis than that of the tokens".into());
                }
                self.normalised = true;
            }
            "Log" if self.normalised => {}
            _ if !self.vectors => return Err("it changes ids before they reach the embedding".into()),
            _ => return Err(EXPECTED.into()),
        }
        if let Some(name) = node.outputs.get(step.output) {
            self.axes.note(name, &self.at);
        }
        Ok(())
    }

    fn one_hot(&mut self, node: &Node) -> Result<(), String> {
        let depth = self.constant(node, 1)?.and_then(|depth| depth.scalar()).ok_or("no depth")?;
        let values = self.constant(node, 2)?.ok_or("no values")?;
        if values.values != [0.0, 1.0] || !matches!(node.attributes.get("axis").map_or(-1, |a| a.int), -1) {
            return Err("expected zeros and a one along a last axis".into());
        }
        self.at.push(vec![Atom::Numbers(depth as usize)]);
        self.vectors = true;
        Ok(())
    }

    fn equal(&mut self, node: &Node, data: usize) -> Result<(), String> {
        let tokens = self.constant(node, 1 - data)?.ok_or("it compares with no constant")?;
        let counts = tokens.values.iter().enumerate().all(|(i, x)| *x == i as f32);
        if !counts || tokens.shape.last() != Some(&tokens.values.len()) {
            return Err("it compares ids with other numbers than 0, 1, 2 and so on".into());
        }
        self.at.pop();
        self.at.push(vec![Atom::Numbers(tokens.values.len())]);
        self.vectors = true;
        Ok(())
    }

    fn embed(&mut self, node: &Node) -> Result<(), String> {
        let table = self.constant(node, 0)?.ok_or("its table is no constant")?;
        let axis = node.attributes.get("axis").map_or(0, |a| a.int);
        let (&[rows, columns], 0, false) = (&table.shape[..], axis, self.vectors) else {
            return Err(format!("no embedding: axis {axis} of a table of shape {:?}", table.shape));
        };
        self.at.push(vec![Atom::Numbers(columns)]);
        self.vectors = true;
        self.embedding = Some(Matrix { values: table.values.clone(), rows, columns, from: node.inputs[0].clone() });
        Ok(())
    }

    /// One step of an axis: the last one of time, or the only one.
    fn take(&mut self, axis: usize, index: i64, drops: bool) -> Result<(), String> {
        let atoms = self.at[axis].clone();
        let only = atoms.is_empty() && (index == 0 || index == -1);
        let of_time = matches!(atoms[..], [Atom::Id(i)] if Some(i) == self.time);
        let last = index == -1 || self.axes.size(&atoms).is_some_and(|size| size as i64 - 1 == index);
        if !(only || of_time && last) {
            return Err("it takes a part of its input that is not the last step".into());
        }
        if !only {
            self.last()?;
        }
        match drops {
            true => drop(self.at.remove(axis)),
            false => self.at[axis] = Vec::new(),
        }
        Ok(())
    }

    /// Only the last step goes on.
    fn last(&mut self) -> Result<(), String> {
        if self.layers.last().is_some_and(|layer| layer.form.bidirectional) {
            return Err("the last step of two directions, of which one has read one token".into());
        }
        self.last_step = true;
        Ok(())
    }

    fn slice(&mut self, node: &Node) -> Result<(), String> {
        let (starts, ends) = (self.list(node, 1, "starts")?, self.list(node, 2, "ends")?);
        let (starts, ends) = (starts.ok_or("no starts")?, ends.ok_or("no ends")?);
        let axes = self.list(node, 3, "axes")?.unwrap_or_else(|| (0..starts.len() as i64).collect());
        if self.list(node, 4, "steps")?.is_some_and(|steps| steps.iter().any(|n| *n != 1)) {
            return Err("it has steps other than 1".into());
        }
        for ((axis, start), end) in axes.into_iter().zip(starts).zip(ends) {
            let axis = axis_of(axis, self.at.len())?;
            let size = self.axes.size(&self.at[axis]).map(|n| n as i64);
            let to_end = end > i64::from(i32::MAX) - 1 || size.is_some_and(|size| end >= size);
            if to_end && start == 0 {
                continue;
            }
            let last = start == -1 || size.is_some_and(|size| start == size - 1);
            if !to_end || !last {
                return Err("it cuts its input".into());
            }
            self.take(axis, -1, false)?;
        }
        Ok(())
    }

    fn layer(&mut self, node: &Node, output: usize) -> Result<(), String> {
        if node.attributes.get("direction").is_some_and(|a| a.text == "reverse") {
            return Err("it reads from the end alone, which a language model does not".into());
        }
        if output > 1 {
            return Err("its cell state is used, not its outputs".into());
        }
        let constant = |i: usize| match node.inputs.get(i).filter(|name| !name.is_empty()) {
            None => Ok(None),
            Some(name) => {
                let found = self.constants.tensor(name)?;
                found.map(Some).ok_or_else(|| format!("`{}` is no constant", short(name)))
            }
        };
        for i in [1, 2] {
            self.constants.spend(constant(i)?.map_or(0, |tensor| tensor.elements()))?;
        }
        let layer = recurrent(node, &constant)?;
        let batch_first = node.attributes.get("layout").is_some_and(|a| a.int == 1);
        let [first, second, numbers] = &self.at[..] else {
            return Err(format!("its input has {} axes; expected time, rows and numbers", self.at.len()));
        };
        if !numbers.iter().all(|atom| !matches!(atom, Atom::Id(_))) || self.axes.size(numbers) != Some(layer.inputs) {
            return Err(format!("its input does not have {} numbers a token on its last axis", layer.inputs));
        }
        let (time, rows) = if batch_first { (second, first) } else { (first, second) };
        let along = match time[..] {
            [] => self.time,
            [Atom::Id(i)] => Some(i),
            _ => return Err("it walks along an axis that is not that of time".into()),
        };
        if !rows.iter().all(|atom| matches!(atom, Atom::Id(_))) {
            return Err("rows and numbers are mixed".into());
        }
        if self.time.is_some() && along != self.time {
            return Err("layers walk along different axes".into());
        }
        let named = along.and_then(|i| self.input.dims.as_ref().map(|dims| dims[i].0.to_lowercase()));
        if named.is_some_and(|name| name == "b" || name == "n" || name.contains("batch")) {
            return Err("it walks along the axis of rows, not of time (batch_first?)".into());
        }
        let (time, rows) = (time.clone(), rows.clone());
        self.time = along;
        self.states.check(node, self.time.and_then(|i| self.axes.atom(Atom::Id(i))), &mut self.notes)?;
        let directions = if layer.form.bidirectional { vec![Atom::Directions] } else { Vec::new() };
        let numbers = vec![Atom::Numbers(layer.hidden)];
        self.layers.push(layer);
        self.at = match (output, batch_first) {
            (0, false) => vec![time, directions, rows, numbers],
            (0, true) => vec![rows, time, directions, numbers],
            (_, false) => vec![directions, rows, numbers],
            (_, true) => vec![rows, directions, numbers],
        };
        if output == 1 { self.last() } else { Ok(()) }
    }

    /// A product with a constant matrix: the output layer, or the embedding of one-hot vectors.
    fn product(&mut self, node: &Node) -> Result<(), String> {
        let flag = |name: &str| node.attributes.get(name).map_or(1.0, |a| a.float);
        let int = |name: &str| node.attributes.get(name).map_or(0, |a| a.int);
        let gemm = node.op == "Gemm";
        if gemm && (flag("alpha") != 1.0 || flag("beta") != 1.0 || int("transA") != 0) {
            return Err("alpha, beta or transA is other than plain".into());
        }
        let weight = self.constant(node, 1)?.ok_or("it has one input")?;
        let &[a, b] = &weight.shape[..] else { return Err(format!("its weight has shape {:?}", weight.shape)) };
        let outputs_first = gemm && int("transB") != 0;
        let (inputs, outputs) = if outputs_first { (b, a) } else { (a, b) };
        let last = self.at.last_mut().ok_or("its input is one number")?;
        if last.iter().any(|atom| matches!(atom, Atom::Id(_))) || self.axes.size(last) != Some(inputs) {
            return Err(format!("its input does not have {inputs} numbers a token on its last axis"));
        }
        let last = self.at.last_mut().expect("it was there");
        *last = vec![Atom::Numbers(outputs)];
        let from = node.inputs[1].clone();
        if self.layers.is_empty() {
            if self.embedding.is_some() || gemm && node.inputs.len() > 2 {
                return Err(EXPECTED.into());
            }
            let values = if outputs_first { transposed(&weight.values, a, b) } else { weight.values.clone() };
            self.embedding = Some(Matrix { values, rows: inputs, columns: outputs, from });
            return Ok(());
        }
        let values = if outputs_first { weight.values.clone() } else { transposed(&weight.values, a, b) };
        self.head = Some(Matrix { values, rows: outputs, columns: inputs, from });
        if let Some(bias) = self.constant(node, 2)?.filter(|_| gemm) {
            self.add(&bias, &node.inputs[2])?;
        }
        Ok(())
    }

    /// A bias of the logits.
    fn add(&mut self, constant: &Constant, name: &str) -> Result<(), String> {
        let vocab = self.head.as_ref().map_or(0, |head| head.rows);
        let along_tokens = constant.shape.last().is_none_or(|n| *n == constant.values.len());
        if !along_tokens || !matches!(constant.values.len(), n if n == 1 || n == vocab) {
            return Err(format!("it adds numbers of shape {:?}; expected one a token", constant.shape));
        }
        let (bias, _) = self.bias.get_or_insert_with(|| (vec![0.0; vocab], name.to_string()));
        bias.iter_mut().zip(constant.values.iter().cycle()).for_each(|(b, x)| *b += x);
        Ok(())
    }

    /// A factor of the embedding or of the logits.
    fn scale(&mut self, factor: f32) -> Result<(), String> {
        let scaled = match (&mut self.head, &mut self.embedding) {
            (Some(head), _) => &mut head.values,
            (None, Some(embedding)) if self.layers.is_empty() => &mut embedding.values,
            _ => return Err(EXPECTED.into()),
        };
        scaled.iter_mut().for_each(|x| *x *= factor);
        if let (Some(_), Some((bias, _))) = (&self.head, &mut self.bias) {
            bias.iter_mut().for_each(|x| *x *= factor);
        }
        self.notes.insert(format!("a factor of {factor} is put into the weights"));
        Ok(())
    }

    fn parts(self) -> Result<ImportedParts, String> {
        let mut notes: Vec<String> = self.notes.into_iter().collect();
        let (Some(first), Some(head)) = (self.layers.first(), self.head) else {
            return Err("no recurrent layer with an output layer after it".into());
        };
        let embedding = match self.embedding {
            Some(embedding) => embedding,
            None if first.inputs == head.rows => identity(head.rows, &mut notes)?,
            None => return Err("no embedding: its layers take vectors that the caller makes".into()),
        };
        if head.rows != embedding.rows {
            return Err(format!(
                "the output layer `{}` has {} rows, but the embedding has {}: a tagger or classifier, not a language model",
                short(&head.from),
                head.rows,
                embedding.rows
            ));
        }
        if self.time == Some(0) && self.at.len() > 2 {
            notes.push("its ids are [time, rows]: its layers walk along the first axis".into());
        }
        if self.bias.is_none() {
            notes.push("the output layer has no bias in the file: zeros".into());
        }
        if self.last_step {
            notes.push("its logits are those of the last step alone".into());
        }
        Ok(ImportedParts { embedding, layers: self.layers, head: Some(head), head_bias: self.bias, notes })
    }
}
