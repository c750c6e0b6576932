//! Recurrent layers on their way into PyTorch's form.

use crate::network::{GeneralCell, weight_name};

/// One direction of a layer, as PyTorch has it: gates i f g o or r z n, outputs before inputs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CellWeights {
    /// `[G H, K]`.
    pub w_ih: Vec<f32>,
    /// `[G H, H]`.
    pub w_hh: Vec<f32>,
    /// `[G H]`.
    pub b_ih: Vec<f32>,
    /// `[G H]`.
    pub b_hh: Vec<f32>,
    /// `[P, H]`.
    pub w_hr: Option<Vec<f32>>,
    /// `[3 H]`: i f o.
    pub peephole: Option<Vec<f32>>,
}

/// A layer.
#[derive(Clone, Debug, PartialEq)]
pub struct Recurrent {
    /// Its cell.
    pub form: GeneralCell,
    /// K.
    pub inputs: usize,
    /// H.
    pub hidden: usize,
    /// One direction or two.
    pub directions: Vec<CellWeights>,
    /// Its name in the file.
    pub from: String,
}

impl Recurrent {
    /// Its weights under the names of layer `index`, without a prefix.
    pub fn named(self, index: usize) -> Vec<(String, Vec<f32>)> {
        let mut named = Vec::new();
        for (reverse, cell) in [false, true].into_iter().zip(self.directions) {
            let mut push = |name: &str, values| named.push((weight_name(name, index, reverse), values));
            push("weight_ih", cell.w_ih);
            push("weight_hh", cell.w_hh);
            push("bias_ih", cell.b_ih);
            push("bias_hh", cell.b_hh);
            cell.w_hr.into_iter().for_each(|values| push("weight_hr", values));
            cell.peephole.into_iter().for_each(|values| push("peephole", values));
        }
        named
    }
}

/// A matrix of rows by columns, turned.
pub fn transposed(values: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    let mut turned = Vec::with_capacity(values.len());
    for column in 0..columns {
        turned.extend((0..rows).map(|row| values[row * columns + column]));
    }
    turned
}

/// Blocks of equal size in another order: block i becomes what block `order[i]` was.
pub fn reordered(values: &[f32], order: &[usize]) -> Vec<f32> {
    let block = values.len() / order.len();
    order.iter().flat_map(|&from| &values[from * block..(from + 1) * block]).copied().collect()
}
