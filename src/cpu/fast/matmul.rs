//! Matrix product with bias; see [`crate::ops::matmul`].

use super::gemm::{Panels, Product, Rows, Sums};
use super::parts::{Grid, Shared};
use super::simd::{LANES, Level};
use crate::cpu::FastArgs;
use std::ops::Range;

/// Panels that a task sums before it goes on to the next ones: their sums stay in a near cache.
const SLAB: usize = 16;
/// From row to row of a slab.
const SLAB_WIDTH: usize = (SLAB + 1) * LANES;

/// `y[y_row + m, q] = bias[q] + sum_k x[x_row + m, k] w[q, k]`; x `[*, K]`, w packed, bias `[Q]`, y `[*, Q]`.
pub fn matmul(args: &mut FastArgs<'_>) {
    matmul_at(Level::best(), args);
}

pub(super) fn matmul_at(level: Level, args: &mut FastArgs<'_>) {
    let [rows, inputs, groups, outputs, x_row, y_row] = args.sizes();
    let [x, _, bias, y] = &mut args.operands[..] else { unreachable!("matmul has four operands") };
    let columns = groups * outputs;
    let grid = Grid::new(args.pool, rows, inputs, columns.div_ceil(LANES), LANES);
    let slab = grid.most_rows() * SLAB_WIDTH;
    args.scratch.grow(grid.tasks() * slab);
    let task = Matmul {
        level,
        x: Rows::from(x.real(), inputs, x_row),
        w: Panels::new(args.packed[1], inputs),
        bias: &bias.real()[..columns],
        y: Shared::new(&mut y.real_mut()[y_row * columns..][..rows * columns]),
        sums: Shared::new(args.scratch),
    };
    grid.run(args.pool, |i| {
        let (rows, panels) = grid.task(i);
        for start in panels.clone().step_by(SLAB) {
            task.slab(i * slab, rows.clone(), start..(start + SLAB).min(panels.end));
        }
    });
}

struct Matmul<'a> {
    level: Level,
    x: Rows<'a>,
    w: Panels<'a>,
    /// `[Q]`.
    bias: &'a [f32],
    /// `[M, Q]`.
    y: Shared<'a, f32>,
    /// A slab for each task: whole panels, in rows that do not fall on the same places of a cache.
    sums: Shared<'a, f32>,
}

impl Matmul<'_> {
    /// Panels of the outputs of some rows; their sums stand in scratch memory from `start` on.
    fn slab(&self, start: usize, rows: Range<usize>, panels: Range<usize>) {
        let first = panels.start * LANES;
        let bias = &self.bias[first..self.bias.len().min(panels.end * LANES)];
        // SAFETY: of each task's own slab, one row at a time.
        let row = |m: usize| unsafe { self.sums.part(start + (m - rows.start) * SLAB_WIDTH, bias.len()) };
        for m in rows.clone() {
            row(m).copy_from_slice(bias);
        }
        let sums = Sums { memory: &self.sums, first: start, stride: SLAB_WIDTH };
        // SAFETY: the task's own slab.
        unsafe { Product::add(self.level, (self.x, rows.clone()), (self.w, panels), sums) };
        for m in rows.clone() {
            // SAFETY: this task's rows and columns, and no others are used at the same time.
            let y = unsafe { self.y.part(m * self.bias.len() + first, bias.len()) };
            y.copy_from_slice(row(m));
        }
    }
}
