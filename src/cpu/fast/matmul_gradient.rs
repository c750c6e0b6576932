//! Gradients of the matrix product; see [`crate::ops::matmul_input_gradient`] and [`crate::ops::matmul_weight_gradient`].
//!
//! ```text
//! dx[m, k] (+)= sum_n dy[m, n] w[n, k]         dw[n, k] (+)= sum_m dy[m, n] x[m, k]
//! ```
//! Both multiply something with the rows of a row-major matrix, which are the terms of the sum. A task packs the
//! columns of 256 such rows into panels, where they stay in a near cache for all its rows of the result, and goes on
//! to the next 256: nothing is packed as a whole.

use super::gemm::{DEPTH, Panels, Product, Rows, Sums};
use super::parts::{Grid, Shared};
use super::simd::{LANES, Level};
use crate::cpu::{FastArgs, Lines, Pool};
use std::ops::Range;

/// Panels that are packed at a time.
const SLAB: usize = 16;
/// From panel to panel of a slab: such that they do not fall on the same places of a cache.
const PANEL_STEP: usize = (DEPTH + 1) * LANES;
/// From row to row of a copy, for the same reason.
const COPY_STEP: usize = DEPTH + LANES;

/// `dx[x_row + m, k] (+)= sum_g sum_n dy[y_row + m, y_group + g, n] w[w_group + g, n, k]`; dy `[*, Gy, N]`,
/// w `[Gw, N, K]`, dx `[*, K]`.
pub fn matmul_input_gradient(args: &mut FastArgs<'_>) {
    matmul_input_gradient_at(Level::best(), args);
}

pub(super) fn matmul_input_gradient_at(level: Level, args: &mut FastArgs<'_>) {
    let [rows, inputs, outputs, groups, y_row, x_row, y_groups, y_group, w_group, accumulate] = args.sizes();
    let [dy, w, dx] = &mut args.operands[..] else { unreachable!("matmul_input_gradient has three operands") };
    let width = y_groups * outputs;
    let dy = &dy.real()[y_row * width + y_group * outputs..];
    let w = &w.real()[w_group * outputs * inputs..];
    let result = Shared::new(&mut dx.real_mut()[x_row * inputs..][..rows * inputs]);
    let gradient = Gradient { level, rows, columns: inputs, accumulate: accumulate != 0, result, terms: w };
    let grid = gradient.grid(args.pool, groups * outputs);
    gradient.run(&grid, args.pool, args.scratch, |task| {
        for g in 0..groups {
            for n in chunks(outputs) {
                let first = g * outputs + n.start;
                let dy = Rows::strided(&dy[task.rows.start * width + first..], width, n.len());
                task.add(&gradient, dy, first);
            }
        }
    });
}

/// `dw[w_group + g, n, k] (+)= sum_m dy[y_row + m, y_group + g, n] x[x_row + m, k]`; dy `[*, Gy, N]`, x `[*, K]`,
/// dw `[Gw, N, K]`.
pub fn matmul_weight_gradient(args: &mut FastArgs<'_>) {
    matmul_weight_gradient_at(Level::best(), args);
}

pub(super) fn matmul_weight_gradient_at(level: Level, args: &mut FastArgs<'_>) {
    let [rows, inputs, outputs, groups, y_row, x_row, y_groups, y_group, w_group, accumulate] = args.sizes();
    let [dy, x, dw] = &mut args.operands[..] else { unreachable!("matmul_weight_gradient has three operands") };
    let width = y_groups * outputs;
    let dy = &dy.real()[y_row * width + y_group * outputs..];
    let x = &x.real()[x_row * inputs..];
    // The groups lie side by side in dy and one after another in dw: they are more outputs.
    let outputs = groups * outputs;
    let result = Shared::new(&mut dw.real_mut()[w_group * (outputs / groups) * inputs..][..outputs * inputs]);
    let gradient = Gradient { level, rows: outputs, columns: inputs, accumulate: accumulate != 0, result, terms: x };
    let grid = gradient.grid(args.pool, rows);
    gradient.run(&grid, args.pool, args.scratch, |task| {
        for m in chunks(rows) {
            // Columns of dy are read again and again: as rows of a copy.
            let copy = std::mem::take(&mut task.copy);
            transpose(&dy[m.start * width + task.rows.start..], width, [m.len(), task.rows.len()], copy);
            task.add(&gradient, Rows::strided(copy, COPY_STEP, m.len()), m.start);
            task.copy = copy;
        }
    });
}

/// Columns of `from` `[terms, columns]`, whose rows are `width` apart, as rows `COPY_STEP` apart.
fn transpose(from: &[f32], width: usize, [terms, columns]: [usize; 2], to: &mut [f32]) {
    const SIDE: usize = 8;
    for m in (0..terms).step_by(SIDE) {
        let height = SIDE.min(terms - m);
        for n in (0..columns).step_by(SIDE) {
            if height == SIDE && n + SIDE <= columns {
                let square: [&[f32; SIDE]; SIDE] =
                    std::array::from_fn(|i| from[(m + i) * width + n..].first_chunk().expect("whole squares"));
                for j in 0..SIDE {
                    let column: [f32; SIDE] = std::array::from_fn(|i| square[i][j]);
                    to[(n + j) * COPY_STEP + m..][..SIDE].copy_from_slice(&column);
                }
            } else {
                for (i, j) in (0..height).flat_map(|i| (0..SIDE.min(columns - n)).map(move |j| (i, j))) {
                    to[(n + j) * COPY_STEP + m + i] = from[(m + i) * width + n + j];
                }
            }
        }
    }
}

/// Ranges of whole blocks but for the last one.
fn chunks(terms: usize) -> impl Iterator<Item = Range<usize>> {
    (0..terms).step_by(DEPTH).map(move |start| start..(start + DEPTH).min(terms))
}

/// `result[r, k] (+)= sum of products with terms[term, k]`.
struct Gradient<'a> {
    level: Level,
    rows: usize,
    columns: usize,
    accumulate: bool,
    /// `[rows, columns]`.
    result: Shared<'a, f32>,
    /// `[*, columns]`: what is packed.
    terms: &'a [f32],
}

/// Rows and panels of one task and its memory.
struct Task<'a> {
    rows: Range<usize>,
    panels: Range<usize>,
    /// `[rows, panels + 1, 16]`.
    sums: Shared<'a, f32>,
    packed: &'a mut [f32],
    /// For `DEPTH` terms of the rows.
    copy: &'a mut [f32],
}

impl Gradient<'_> {
    fn grid(&self, pool: &dyn Pool, terms: usize) -> Grid {
        Grid::in_chunks(pool, self.rows, terms, self.columns.div_ceil(LANES), LANES)
    }

    /// Runs the tasks: sums from what is there or from zero, the sums of `body`, and back.
    fn run(&self, grid: &Grid, pool: &dyn Pool, scratch: &mut Lines, body: impl Fn(&mut Task<'_>) + Sync) {
        let sums = grid.most_rows() * (grid.most_blocks() + 1) * LANES;
        let sizes = [sums, SLAB * PANEL_STEP, grid.most_rows() * COPY_STEP];
        let slot_floats = sizes.iter().sum::<usize>();
        let needed = grid.slots(pool) * slot_floats;
        scratch.grow(needed);
        let memory = Shared::new(&mut scratch[..needed]);
        grid.run_in_slots(pool, |slot, i| {
            // SAFETY: a slot's own memory.
            let memory = unsafe { memory.part(slot * slot_floats, slot_floats) };
            let (sums, memory) = memory.split_at_mut(sizes[0]);
            let (packed, copy) = memory.split_at_mut(sizes[1]);
            let (rows, panels) = grid.task(i);
            self.load(&rows, &panels, sums);
            let mut task = Task { rows, panels, sums: Shared::new(sums), packed, copy };
            body(&mut task);
            let Task { rows, panels, .. } = task;
            self.store(&rows, &panels, sums);
        });
    }

    /// Each row's part of the result, and its sums.
    fn pairs<'s>(
        &self,
        rows: &Range<usize>,
        panels: &Range<usize>,
        sums: &'s mut [f32],
    ) -> impl Iterator<Item = (&mut [f32], &'s mut [f32])> {
        let first = panels.start * LANES;
        let len = self.columns.min(panels.end * LANES) - first;
        // SAFETY: rows and columns of this task, one row at a time.
        let part = move |r: usize| unsafe { self.result.part(r * self.columns + first, len) };
        rows.clone().map(part).zip(sums.chunks_mut((panels.len() + 1) * LANES))
    }

    fn load(&self, rows: &Range<usize>, panels: &Range<usize>, sums: &mut [f32]) {
        for (result, sums) in self.pairs(rows, panels, sums) {
            sums.fill(0.0);
            if self.accumulate {
                sums[..result.len()].copy_from_slice(result);
            }
        }
    }

    fn store(&self, rows: &Range<usize>, panels: &Range<usize>, sums: &mut [f32]) {
        for (result, sums) in self.pairs(rows, panels, sums) {
            result.copy_from_slice(&sums[..result.len()]);
        }
    }
}

impl Task<'_> {
    /// Adds the product of `x`, the task's rows of some terms, with these terms, from `first` on.
    fn add(&mut self, of: &Gradient<'_>, x: Rows<'_>, first: usize) {
        let count = x.terms();
        let terms = &of.terms[first * of.columns..][..count * of.columns];
        let stride = (self.panels.len() + 1) * LANES;
        for start in self.panels.clone().step_by(SLAB) {
            let panels = start..(start + SLAB).min(self.panels.end);
            pack(terms, of.columns, panels.clone(), self.packed);
            let packed = Panels::apart(self.packed, count, PANEL_STEP);
            let sums = Sums { memory: &self.sums, first: (start - self.panels.start) * LANES, stride };
            // SAFETY: the task's own sums.
            unsafe { Product::add(of.level, (x, 0..self.rows.len()), (packed, 0..panels.len()), sums) };
        }
    }
}

/// Columns of rows `[C, width]` as panels `[P, C, 16]`, a panel `PANEL_STEP` after the other; zeros beyond the last column.
fn pack(rows: &[f32], width: usize, panels: Range<usize>, to: &mut [f32]) {
    let columns = panels.start * LANES..width.min(panels.end * LANES);
    for (i, row) in rows.chunks_exact(width).enumerate() {
        for (p, from) in row[columns.clone()].chunks(LANES).enumerate() {
            let to = to[p * PANEL_STEP + i * LANES..].first_chunk_mut::<LANES>().expect("a panel's place");
            match from.first_chunk::<LANES>() {
                Some(full) => *to = *full,
                None => {
                    to.fill(0.0);
                    to[..from.len()].copy_from_slice(from);
                }
            }
        }
    }
}
