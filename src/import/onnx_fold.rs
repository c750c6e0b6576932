//! Values of an ONNX graph that no input changes: initializers, constants, and what nodes make of these.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use super::onnx::{Graph, Node};
use super::tensors::{Tensor, row_major};
use crate::model::short;

/// Nodes one after another at most.
const MAX_DEPTH: usize = 64;
/// Numbers that nodes may make in all, besides twice as many as the file has.
const ROOM: usize = 1 << 20;

/// A constant: sizes and numbers. Whole numbers are exact up to 2^24, which sizes and indices stay below.
#[derive(Debug)]
pub struct Constant {
    /// Slowest axis first.
    pub shape: Vec<usize>,
    /// The last axis fastest.
    pub values: Vec<f32>,
}

impl Constant {
    /// The numbers as whole ones, where they are.
    pub fn ints(&self) -> Vec<i64> {
        self.values.iter().map(|x| *x as i64).collect()
    }

    /// The only number.
    pub fn scalar(&self) -> Option<f32> {
        (self.values.len() == 1).then(|| self.values[0])
    }
}

/// The constants of a graph, each computed once.
pub struct Constants<'a> {
    graph: &'a Graph,
    producers: HashMap<&'a str, &'a Node>,
    known: RefCell<HashMap<String, Option<Rc<Constant>>>>,
    room: Cell<usize>,
}

impl<'a> Constants<'a> {
    /// Nothing is computed yet.
    pub fn new(graph: &'a Graph) -> Constants<'a> {
        let mut producers = HashMap::new();
        for node in &graph.nodes {
            for output in node.outputs.iter().filter(|name| !name.is_empty()) {
                producers.insert(output.as_str(), node);
            }
        }
        let stored: usize = graph.initializers.values().map(Tensor::elements).sum();
        Constants { graph, producers, known: RefCell::default(), room: Cell::new(ROOM + 2 * stored) }
    }

    /// The node that computes a value.
    pub fn producer(&self, name: &str) -> Option<&'a Node> {
        self.producers.get(name).copied()
    }

    /// A constant; `None` for what depends on an input.
    pub fn get(&self, name: &str) -> Result<Option<Rc<Constant>>, String> {
        self.at(name, 0)
    }

    /// A constant as a tensor.
    pub fn tensor(&self, name: &str) -> Result<Option<Tensor>, String> {
        let found = self.get(name)?;
        Ok(found.map(|constant| Tensor::of_values(constant.shape.clone(), constant.values.clone())))
    }

    /// Pays for numbers that are copied out, as nodes may share theirs.
    pub fn spend(&self, numbers: usize) -> Result<(), String> {
        let left = self.room.get().checked_sub(numbers).ok_or("more weights than the file can hold")?;
        self.room.set(left);
        Ok(())
    }

    fn at(&self, name: &str, depth: usize) -> Result<Option<Rc<Constant>>, String> {
        if let Some(known) = self.known.borrow().get(name) {
            return Ok(known.clone());
        }
        // A ring of nodes meets itself here.
        self.known.borrow_mut().insert(name.to_string(), None);
        let found = if let Some(tensor) = self.graph.initializers.get(name) {
            Some(self.stored(tensor).map_err(|e| format!("`{}`: {e}", short(name)))?)
        } else if let Some(node) = self.producer(name).filter(|_| depth < MAX_DEPTH) {
            self.computed(node, depth).map_err(|e| format!("`{}`: {e}", short(name)))?
        } else {
            None
        };
        let found = found.map(Rc::new);
        self.known.borrow_mut().insert(name.to_string(), found.clone());
        Ok(found)
    }

    fn stored(&self, tensor: &Tensor) -> Result<Constant, String> {
        Ok(Constant { shape: tensor.shape.clone(), values: tensor.values()? })
    }

    fn made(&self, shape: Vec<usize>, values: Vec<f32>) -> Result<Option<Constant>, String> {
        let left = self.room.get().checked_sub(values.len()).ok_or("constants are copied too often")?;
        self.room.set(left);
        Ok(Some(Constant { shape, values }))
    }

    fn computed(&self, node: &Node, depth: usize) -> Result<Option<Constant>, String> {
        if node.op == "Constant" {
            return self.literal(node);
        }
        let read =
            ["Identity", "Cast", "Transpose", "Unsqueeze", "Squeeze", "Reshape", "Concat", "Slice", "DequantizeLinear"];
        if !read.contains(&node.op.as_str()) || node.inputs.len() > 1 << 12 {
            return Ok(None);
        }
        let mut inputs = Vec::new();
        for name in node.inputs.iter() {
            let input = if name.is_empty() { None } else { self.at(name, depth + 1)? };
            if input.is_none() && !name.is_empty() {
                return Ok(None);
            }
            inputs.push(input);
        }
        let Some(Some(x)) = inputs.first() else { return Ok(None) };
        let ints = |i: usize, name: &str| -> Option<Vec<i64>> {
            let given = inputs.get(i).and_then(|input| input.as_ref()).map(|input| input.ints());
            given.or_else(|| node.attributes.get(name).map(|a| a.ints.clone()))
        };
        let rank = x.shape.len();
        match node.op.as_str() {
            "Identity" | "Cast" => self.made(x.shape.clone(), x.values.clone()),
            "Transpose" => {
                let perm = ints(9, "perm").unwrap_or_else(|| (0..rank as i64).rev().collect());
                let axes = axes_of(&perm, rank)?;
                let (shape, strides) = (&x.shape, row_major(&x.shape));
                let pick = |from: &[usize]| axes.iter().map(|axis| from[*axis]).collect::<Vec<usize>>();
                self.strided(x, pick(shape), pick(&strides), 0)
            }
            "Unsqueeze" => {
                let axes = ints(1, "axes").ok_or("no axes")?;
                let mut shape = x.shape.clone();
                let mut places = axes_of(&axes, rank + axes.len())?;
                places.sort_unstable();
                places.into_iter().for_each(|axis| shape.insert(axis.min(shape.len()), 1));
                self.made(shape, x.values.clone())
            }
            "Squeeze" => {
                let axes = ints(1, "axes").map(|axes| axes_of(&axes, rank)).transpose()?;
                let drops = |axis: usize| axes.as_ref().map_or(x.shape[axis] == 1, |axes| axes.contains(&axis));
                let shape: Vec<usize> = (0..rank).filter(|axis| !drops(*axis)).map(|axis| x.shape[axis]).collect();
                self.reshaped(x, shape)
            }
            "Reshape" => self.reshape(x, &ints(1, "shape").ok_or("no shape")?),
            "Concat" => {
                let axis = axis_of(node.attributes.get("axis").map_or(0, |a| a.int), rank)?;
                let parts: Vec<&Constant> = inputs.iter().flatten().map(Rc::as_ref).collect();
                self.joined(&parts, axis)
            }
            "Slice" => {
                let (starts, ends) = (ints(1, "starts").ok_or("no starts")?, ints(2, "ends").ok_or("no ends")?);
                let axes = ints(3, "axes").unwrap_or_else(|| (0..starts.len() as i64).collect());
                if ints(4, "steps").is_some_and(|steps| steps.iter().any(|step| *step != 1)) {
                    return Err("Slice with steps".into());
                }
                self.slice(x, &axes_of(&axes, rank)?, &starts, &ends)
            }
            _ => self.dequantized(node, &inputs),
        }
    }

    fn reshape(&self, x: &Constant, target: &[i64]) -> Result<Option<Constant>, String> {
        let zero = |i: usize| x.shape.get(i).copied().unwrap_or(0);
        let size = |(i, n): (usize, &i64)| if *n == 0 { zero(i) } else { usize::try_from(*n).unwrap_or(1) };
        let fixed: Vec<usize> = target.iter().enumerate().map(size).collect();
        let known = fixed.iter().try_fold(1usize, |a, b| a.checked_mul(*b)).filter(|n| *n > 0).ok_or("sizes")?;
        let rest = x.values.len() / known;
        let shape = target.iter().zip(fixed).map(|(n, size)| if *n == -1 { rest } else { size }).collect();
        self.reshaped(x, shape)
    }

    fn slice(&self, x: &Constant, axes: &[usize], starts: &[i64], ends: &[i64]) -> Result<Option<Constant>, String> {
        if starts.len() != axes.len() || ends.len() != axes.len() {
            return Err("Slice of as many starts as ends and axes".into());
        }
        let (mut shape, strides, mut first) = (x.shape.clone(), row_major(&x.shape), 0);
        for ((&axis, start), end) in axes.iter().zip(starts).zip(ends) {
            let size = x.shape[axis] as i64;
            let at = |n: i64| if n < 0 { (n + size).max(0) } else { n.min(size) };
            let (start, end) = (at(*start), at(*end));
            shape[axis] = (end - start).max(0) as usize;
            first += start as usize * strides[axis];
        }
        self.strided(x, shape, strides, first)
    }

    fn literal(&self, node: &Node) -> Result<Option<Constant>, String> {
        let of = |name: &str| node.attributes.get(name);
        if let Some(tensor) = of("value").and_then(|a| a.tensor.as_ref()) {
            return self.stored(tensor).map(Some);
        }
        let numbers = |shape: Vec<usize>, values: Vec<f32>| Ok(Some(Constant { shape, values }));
        match (of("value_float"), of("value_int"), of("value_floats"), of("value_ints")) {
            (Some(a), ..) => numbers(Vec::new(), vec![a.float]),
            (_, Some(a), ..) => numbers(Vec::new(), vec![a.int as f32]),
            (_, _, Some(a), _) => numbers(vec![a.floats.len()], a.floats.clone()),
            (.., Some(a)) => numbers(vec![a.ints.len()], a.ints.iter().map(|n| *n as f32).collect()),
            _ => Ok(None),
        }
    }

    fn reshaped(&self, x: &Constant, shape: Vec<usize>) -> Result<Option<Constant>, String> {
        let count = shape.iter().try_fold(1usize, |a, b| a.checked_mul(*b));
        if count != Some(x.values.len()) || shape.len() > 8 {
            return Err(format!("shape {:?} cannot become {shape:?}", x.shape));
        }
        self.made(shape, x.values.clone())
    }

    fn strided(
        &self,
        x: &Constant,
        shape: Vec<usize>,
        strides: Vec<usize>,
        first: usize,
    ) -> Result<Option<Constant>, String> {
        let count: usize = shape.iter().product();
        let mut values = Vec::with_capacity(count.min(self.room.get()));
        if count > self.room.get() {
            return Err("constants are copied too often".into());
        }
        let places = row_major(&shape);
        for i in 0..count {
            let at = shape.iter().zip(&places).zip(&strides).map(|((n, place), stride)| i / place % n * stride);
            values.push(x.values[first + at.sum::<usize>()]);
        }
        self.made(shape, values)
    }

    fn joined(&self, parts: &[&Constant], axis: usize) -> Result<Option<Constant>, String> {
        let first = parts.first().ok_or("Concat of nothing")?;
        let around = |part: &Constant| [&part.shape[..axis], &part.shape[axis + 1..]].concat();
        if parts.iter().any(|part| part.shape.len() != first.shape.len() || around(part) != around(first)) {
            return Err("Concat of parts that do not fit".into());
        }
        let total: usize = parts.iter().map(|part| part.values.len()).sum();
        if total > self.room.get() {
            return Err("constants are copied too often".into());
        }
        let outer: usize = first.shape[..axis].iter().product();
        let mut values = Vec::with_capacity(total);
        for i in 0..outer {
            for part in parts {
                let run = part.values.len() / outer;
                values.extend_from_slice(&part.values[i * run..(i + 1) * run]);
            }
        }
        let mut shape = first.shape.clone();
        shape[axis] = parts.iter().map(|part| part.shape[axis]).sum();
        self.made(shape, values)
    }

    /// (x - zero) scale, of one scale for all or one a slice of an axis.
    fn dequantized(&self, node: &Node, inputs: &[Option<Rc<Constant>>]) -> Result<Option<Constant>, String> {
        let given = |i: usize| inputs.get(i).and_then(Option::as_ref);
        let (x, scale) = (given(0).ok_or("no input")?, given(1).ok_or("no scale")?);
        let several = scale.values.len() > 1;
        let axis = axis_of(node.attributes.get("axis").map_or(1, |a| a.int), x.shape.len()).unwrap_or(0);
        let fits = |c: &Constant| c.values.len() == 1 || c.shape == [x.shape[axis]];
        if scale.values.is_empty() || several && !fits(scale) || given(2).is_some_and(|zero| !fits(zero)) {
            return Err("a scale of other sizes than one, or one a slice".into());
        }
        let stride = x.shape.get(axis + 1..).map_or(1, |rest| rest.iter().product::<usize>()).max(1);
        let size = x.shape.get(axis).copied().unwrap_or(1).max(1);
        let pick = |c: &Constant, i: usize| if c.values.len() == 1 { c.values[0] } else { c.values[i / stride % size] };
        let value = |(i, x): (usize, &f32)| (x - given(2).map_or(0.0, |zero| pick(zero, i))) * pick(scale, i);
        self.made(x.shape.clone(), x.values.iter().enumerate().map(value).collect())
    }
}

/// An axis that may count from the end.
pub fn axis_of(axis: i64, rank: usize) -> Result<usize, String> {
    let from_end = if axis < 0 { axis + rank as i64 } else { axis };
    usize::try_from(from_end).ok().filter(|axis| *axis < rank).ok_or_else(|| format!("axis {axis} of {rank}"))
}

/// Axes, each once.
pub fn axes_of(axes: &[i64], rank: usize) -> Result<Vec<usize>, String> {
    let found = axes.iter().map(|axis| axis_of(*axis, rank)).collect::<Result<Vec<_>, _>>()?;
    let distinct: std::collections::BTreeSet<usize> = found.iter().copied().collect();
    if distinct.len() == found.len() { Ok(found) } else { Err("an axis stands there twice".into()) }
}
