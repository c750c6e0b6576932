//! Layers of different sizes as layers of one size: units that are always zero are added.
//!
//! A unit whose weights and biases are zero stays at zero, as tanh, relu and the identity keep zero, and nothing that it
//! feeds has a weight for it. So the numbers stay what they were.

use super::cell::CellWeights;
use super::parts::{ImportedParts, Matrix};
use crate::ops::activation::Activation;

/// Numbers that may be added, besides four times as many as there are.
const ROOM: usize = 1 << 22;

/// The parts with all layers as large as the largest.
pub fn equal_sizes(mut parts: ImportedParts) -> Result<ImportedParts, String> {
    let Some(first) = parts.layers.first() else { return Ok(parts) };
    let most = parts.layers.iter().map(|layer| layer.hidden).max().unwrap_or(0);
    let sizes: Vec<usize> = parts.layers.iter().map(|layer| layer.hidden).collect();
    if sizes.iter().all(|size| *size == most) || parts.layers.iter().any(|layer| layer.form != first.form) {
        return Ok(parts);
    }
    let form = first.form;
    let keeps = |f: Activation| matches!(f, Activation::Tanh | Activation::Relu | Activation::Linear);
    let listed = || sizes.iter().map(usize::to_string).collect::<Vec<_>>().join(", ");
    if !keeps(form.cell) || !keeps(form.output) || form.projection.is_some() {
        return Err(format!("layers of {} units, of a cell that cannot be made larger; expected one size", listed()));
    }
    let (gates, directions) = (form.kind.gates(), form.directions());
    // Layers must fit before they may be changed.
    let mut inputs = parts.embedding.columns;
    for layer in &parts.layers {
        if layer.inputs != inputs {
            return Err(format!(
                "layer `{}` takes {} numbers, but what comes before it puts out {inputs}",
                layer.from, layer.inputs
            ));
        }
        inputs = layer.hidden * directions;
    }
    let now: usize = sizes.iter().map(|size| gates * size * size).sum();
    let then = most.checked_mul(most).and_then(|n| n.checked_mul(2 * gates * directions * sizes.len()));
    if then.is_none_or(|then| then > ROOM + 8 * now * directions) {
        return Err(format!("layers of {} units, which are too different to be made of one size", listed()));
    }
    let mut before = None;
    for layer in &mut parts.layers {
        let (old, inputs) = (layer.hidden, layer.inputs);
        for cell in &mut layer.directions {
            *cell = enlarged(std::mem::take(cell), gates, old, most, inputs, before);
        }
        layer.inputs = before.map_or(inputs, |_| most * directions);
        layer.hidden = most;
        before = Some((old, directions));
    }
    if let Some((old, _)) = before {
        let head = parts.head.as_ref().unwrap_or(&parts.embedding);
        if head.columns != old * directions {
            return Err(format!(
                "the output layer `{}` takes {} numbers, not {}",
                head.from,
                head.columns,
                old * directions
            ));
        }
        let values = columns(&head.values, head.rows, old, most, directions);
        parts.head = Some(Matrix { values, rows: head.rows, columns: most * directions, from: head.from.clone() });
    }
    parts.notes.push(format!("layers of {} units are made of {most} each; what is added is always zero", listed()));
    Ok(parts)
}

/// Rows of `directions` parts of `old` numbers, with zeros after each part.
fn columns(values: &[f32], rows: usize, old: usize, new: usize, directions: usize) -> Vec<f32> {
    let mut wide = vec![0.0; rows * directions * new];
    for (part, from) in wide.chunks_mut(new.max(1)).zip(values.chunks(old.max(1))) {
        part[..old].copy_from_slice(from);
    }
    wide
}

/// Blocks of `old` rows, with rows of zeros after each block.
fn rows(values: &[f32], blocks: usize, old: usize, new: usize, width: usize) -> Vec<f32> {
    columns(values, blocks, old * width, new * width, 1)
}

/// A cell with more units, whose inputs come from a layer that had `before` units.
fn enlarged(
    cell: CellWeights,
    gates: usize,
    old: usize,
    new: usize,
    inputs: usize,
    before: Option<(usize, usize)>,
) -> CellWeights {
    let (w_ih, width) = match before {
        Some((units, directions)) => (columns(&cell.w_ih, gates * old, units, new, directions), directions * new),
        None => (cell.w_ih, inputs),
    };
    CellWeights {
        w_ih: rows(&w_ih, gates, old, new, width),
        w_hh: rows(&columns(&cell.w_hh, gates * old, old, new, 1), gates, old, new, new),
        b_ih: rows(&cell.b_ih, gates, old, new, 1),
        b_hh: rows(&cell.b_hh, gates, old, new, 1),
        w_hr: None,
        peephole: cell.peephole.map(|p| rows(&p, 3, old, new, 1)),
    }
}
