//! The axes of values on their way through an ONNX graph: which of them is that of rows, of time, of numbers.
//!
//! An axis is a group of atoms, slowest first, so that a Reshape only groups them anew; one that would put numbers of one
//! atom into another is refused. An axis of size 1 has no atoms.

use std::collections::HashMap;

use super::onnx_fold::{Constants, axes_of, axis_of};
use crate::model::short;

/// Nodes at most that the sizes of a Reshape may need.
const MAX_STEPS: usize = 256;

/// A factor that cannot be taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Atom {
    /// An axis of the graph's ids.
    Id(usize),
    /// The directions of a layer.
    Directions,
    /// Numbers of a vector.
    Numbers(usize),
}

/// An axis of a value.
pub type Axis = Vec<Atom>;

/// A size that a Reshape asks for.
#[derive(Clone, Debug, PartialEq)]
enum Size {
    Known(i64),
    Of(Axis),
}

/// Axes of values by name, and sizes of the ids' axes where they are known.
pub struct Axes<'a> {
    constants: &'a Constants<'a>,
    sizes: Vec<Option<usize>>,
    known: HashMap<String, Vec<Axis>>,
}

impl<'a> Axes<'a> {
    /// Axes of ids of these sizes.
    pub fn new(constants: &'a Constants<'a>, sizes: Vec<Option<usize>>) -> Axes<'a> {
        Axes { constants, sizes, known: HashMap::new() }
    }

    /// The axes of the ids; those of size 1 have no atoms.
    pub fn of_ids(&self) -> Vec<Axis> {
        let axis = |(i, size): (usize, &Option<usize>)| if *size == Some(1) { Vec::new() } else { vec![Atom::Id(i)] };
        self.sizes.iter().enumerate().map(axis).collect()
    }

    /// Keeps what a value's axes are.
    pub fn note(&mut self, name: &str, axes: &[Axis]) {
        self.known.insert(name.to_string(), axes.to_vec());
    }

    /// The size of an atom.
    pub fn atom(&self, atom: Atom) -> Option<usize> {
        match atom {
            Atom::Id(i) => self.sizes[i],
            Atom::Directions => Some(2),
            Atom::Numbers(n) => Some(n),
        }
    }

    /// The size of an axis.
    pub fn size(&self, axis: &Axis) -> Option<usize> {
        axis.iter().try_fold(1usize, |size, atom| size.checked_mul(self.atom(*atom)?))
    }

    /// Axes in another order.
    pub fn transposed(&self, axes: &[Axis], perm: Option<&[i64]>) -> Result<Vec<Axis>, String> {
        let reversed: Vec<i64> = (0..axes.len() as i64).rev().collect();
        let order = axes_of(perm.unwrap_or(&reversed), axes.len())?;
        if order.len() != axes.len() {
            return Err("a perm of another rank".into());
        }
        Ok(order.into_iter().map(|axis| axes[axis].clone()).collect())
    }

    /// Without axes of size 1.
    pub fn squeezed(&self, axes: &[Axis], which: Option<Vec<i64>>) -> Result<Vec<Axis>, String> {
        let which = match which {
            Some(which) => axes_of(&which, axes.len())?,
            None => (0..axes.len()).filter(|axis| axes[*axis].is_empty()).collect(),
        };
        if let Some(axis) = which.iter().find(|axis| !axes[**axis].is_empty()) {
            return Err(format!("axis {axis} is not of size 1"));
        }
        Ok((0..axes.len()).filter(|axis| !which.contains(axis)).map(|axis| axes[axis].clone()).collect())
    }

    /// With axes of size 1.
    pub fn unsqueezed(&self, axes: &[Axis], which: &[i64]) -> Result<Vec<Axis>, String> {
        let mut which = axes_of(which, axes.len() + which.len())?;
        which.sort_unstable();
        let mut axes = axes.to_vec();
        which.into_iter().for_each(|axis| axes.insert(axis.min(axes.len()), Vec::new()));
        Ok(axes)
    }

    /// Two axes: those before `axis`, and the others.
    pub fn flattened(&self, axes: &[Axis], axis: i64) -> Result<Vec<Axis>, String> {
        let axis = if axis == axes.len() as i64 { axes.len() } else { axis_of(axis, axes.len())? };
        Ok(vec![axes[..axis].concat(), axes[axis..].concat()])
    }

    /// The same atoms in other groups.
    pub fn reshaped(&self, axes: &[Axis], shape: &str, zero_copies: bool) -> Result<Vec<Axis>, String> {
        let mut sizes = self.sizes_of(shape, &mut MAX_STEPS.clone())?;
        for (i, size) in sizes.iter_mut().enumerate().filter(|_| zero_copies) {
            if *size == Size::Known(0) {
                *size = Size::Of(axes.get(i).cloned().ok_or("it copies an axis that is not there")?);
            }
        }
        let atoms: Vec<Atom> = axes.concat();
        let mixes = || "it puts numbers of one axis into another, so texts would mix".to_string();
        let rest = sizes.iter().position(|size| *size == Size::Known(-1));
        let (front, back) = sizes.split_at(rest.unwrap_or(sizes.len()));
        let mut place = 0;
        let mut shaped = Vec::new();
        for size in front {
            let len = self.covers(&atoms[place..], size, false).ok_or_else(mixes)?;
            shaped.push(atoms[place..place + len].to_vec());
            place += len;
        }
        let (mut end, mut tail) = (atoms.len(), Vec::new());
        for size in back.iter().skip(1).rev() {
            let len = self.covers(&atoms[place..end], size, true).ok_or_else(mixes)?;
            tail.push(atoms[end - len..end].to_vec());
            end -= len;
        }
        match rest {
            Some(_) => shaped.push(atoms[place..end].to_vec()),
            None if place < end => return Err(mixes()),
            None => {}
        }
        shaped.extend(tail.into_iter().rev());
        Ok(shaped)
    }

    /// How many atoms at the beginning, or the end, have this size.
    fn covers(&self, atoms: &[Atom], size: &Size, at_end: bool) -> Option<usize> {
        let atom = |i: usize| if at_end { atoms[atoms.len() - 1 - i] } else { atoms[i] };
        match size {
            Size::Of(axis) => {
                let part = if at_end {
                    atoms.len().checked_sub(axis.len()).map(|at| &atoms[at..])
                } else {
                    atoms.get(..axis.len())
                };
                (part? == &axis[..]).then_some(axis.len())
            }
            Size::Known(n) => {
                let n = usize::try_from(*n).ok().filter(|n| *n > 0)?;
                let (mut product, mut len) = (1usize, 0);
                while product < n && len < atoms.len() {
                    product = product.checked_mul(self.atom(atom(len))?)?;
                    len += 1;
                }
                (product == n).then_some(len)
            }
        }
    }

    /// A list of sizes that the graph computes.
    fn sizes_of(&self, name: &str, steps: &mut usize) -> Result<Vec<Size>, String> {
        if let Some(constant) = self.constants.get(name)? {
            return Ok(constant.ints().into_iter().map(Size::Known).collect());
        }
        *steps = steps.checked_sub(1).ok_or("a shape that takes too many nodes to compute")?;
        let unknown = || format!("its shape `{}` cannot be followed", short(name));
        let node = self.constants.producer(name).ok_or_else(unknown)?;
        let input = |i: usize| node.inputs.get(i).map(String::as_str).ok_or_else(unknown);
        let int = |name: &str, default: i64| node.attributes.get(name).map_or(default, |a| a.int);
        let constant =
            |i: usize| -> Result<Vec<i64>, String> { Ok(self.constants.get(input(i)?)?.ok_or_else(unknown)?.ints()) };
        match node.op.as_str() {
            "Shape" => {
                let axes = self.known.get(input(0)?).ok_or_else(unknown)?;
                let rank = axes.len() as i64;
                let at = |n: i64| (if n < 0 { n + rank } else { n }).clamp(0, rank) as usize;
                let (start, end) = (at(int("start", 0)), at(int("end", rank)));
                let size = |axis: &Axis| self.size(axis).map_or(Size::Of(axis.clone()), |n| Size::Known(n as i64));
                Ok(axes[start.min(end)..end].iter().map(size).collect())
            }
            "Identity" | "Cast" | "Unsqueeze" | "Squeeze" | "Reshape" => self.sizes_of(input(0)?, steps),
            "Gather" => {
                let from = self.sizes_of(input(0)?, steps)?;
                let pick = |i: i64| axis_of(i, from.len()).map(|i| from[i].clone());
                constant(1)?.into_iter().map(pick).collect()
            }
            "Slice" => {
                let from = self.sizes_of(input(0)?, steps)?;
                let (start, end) = (constant(1)?, constant(2)?);
                let (&[start], &[end]) = (&start[..], &end[..]) else { return Err(unknown()) };
                let at = |n: i64| (if n < 0 { n + from.len() as i64 } else { n }).clamp(0, from.len() as i64) as usize;
                if node.inputs.len() > 4 && constant(4)? != [1] {
                    return Err(unknown());
                }
                Ok(from[at(start).min(at(end))..at(end)].to_vec())
            }
            "Concat" => {
                let mut sizes = Vec::new();
                for part in &node.inputs {
                    sizes.extend(self.sizes_of(part, steps)?);
                }
                if sizes.len() > 8 { Err(unknown()) } else { Ok(sizes) }
            }
            "Mul" => match (&self.sizes_of(input(0)?, steps)?[..], &self.sizes_of(input(1)?, steps)?[..]) {
                ([Size::Known(a)], [Size::Known(b)]) => Ok(vec![Size::Known(a.saturating_mul(*b))]),
                ([Size::Of(a)], [Size::Of(b)]) => Ok(vec![Size::Of([&a[..], &b[..]].concat())]),
                _ => Err(unknown()),
            },
            _ => Err(unknown()),
        }
    }
}
