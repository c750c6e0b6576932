//! The matrix product: adds x W^T to sums that are there already, in blocks of 64 k.
//!
//! ```text
//! out[m, p, l] += sum_k x[m, k] w[p, k, l]        x [M, K], w [P, K, 16], out [M, P, 16]
//! ```
//! For each output: a block of 64 k is summed from zero, k ascending, one fused multiply-add a term; then it is added
//! to the output, blocks ascending. Which outputs share registers has no part in it.
//!
//! A tile is up to 6 rows by 1, 2 or 4 panels. The loops, from the outside: panels, k-blocks, rows: 64 k of a panel
//! (4 KiB) stay in the first-level cache while all rows go by, so a weight is read once from further away.

use super::parts::{Shared, range};
use super::simd::{Kernel, LANES, Lanes, Level};
use std::ops::Range;

/// Terms of a block.
const BLOCK: usize = 64;
/// Terms that a tile goes through before the next tile does: whole blocks.
pub const DEPTH: usize = 4 * BLOCK;
/// Rows of a tile at most.
const TILE_ROWS: usize = 6;

/// Input rows `[*, K]`: some in sequence, or looked up.
#[derive(Clone, Copy)]
pub struct Rows<'a> {
    data: &'a [f32],
    /// K.
    terms: usize,
    /// From row to row.
    row_step: usize,
    ids: Option<&'a [u32]>,
}

impl<'a> Rows<'a> {
    /// Row m is row `first + m` of `data`.
    pub fn from(data: &'a [f32], width: usize, first: usize) -> Rows<'a> {
        Rows::strided(&data[first * width..], width, width)
    }

    /// Rows of `terms` numbers, the next one `row_step` later.
    pub fn strided(data: &'a [f32], row_step: usize, terms: usize) -> Rows<'a> {
        Rows { data, terms, row_step, ids: None }
    }

    /// Row m is row `ids[m]` of `data`.
    pub fn looked_up(data: &'a [f32], width: usize, ids: &'a [u32]) -> Rows<'a> {
        Rows { ids: Some(ids), ..Rows::from(data, width, 0) }
    }

    /// Only the first `terms` numbers of each row.
    pub fn leading(self, terms: usize) -> Rows<'a> {
        assert!(terms <= self.terms, "a row has as many numbers");
        Rows { terms, ..self }
    }

    /// K.
    pub fn terms(&self) -> usize {
        self.terms
    }

    #[inline(always)]
    fn row(&self, m: usize) -> &'a [f32] {
        let row = self.ids.map_or(m, |ids| ids[m] as usize);
        &self.data[row * self.row_step..][..self.terms]
    }
}

/// A packed weight `[P, K, 16]`.
#[derive(Clone, Copy)]
pub struct Panels<'a> {
    data: &'a [f32],
    inputs: usize,
    /// From panel to panel.
    step: usize,
}

impl<'a> Panels<'a> {
    /// A weight of `inputs` inputs in layout Panel16; or in layout Panel16T, its inputs being what is summed over.
    pub fn new(packed: Option<&'a [f32]>, inputs: usize) -> Panels<'a> {
        Panels::apart(packed.expect("the row asks for a packed weight"), inputs, inputs * LANES)
    }

    /// Only some of the inputs.
    pub fn of_inputs(self, inputs: Range<usize>) -> Panels<'a> {
        assert!(inputs.end <= self.inputs, "the weight has as many inputs");
        Panels { data: &self.data[inputs.start * LANES..], inputs: inputs.len(), ..self }
    }

    /// Panels of `inputs` inputs, the next one `step` later.
    pub fn apart(data: &'a [f32], inputs: usize, step: usize) -> Panels<'a> {
        Panels { data, inputs, step }
    }

    #[inline(always)]
    fn block(&self, panel: usize, k: Range<usize>) -> &'a [f32] {
        &self.data[panel * self.step + k.start * LANES..][..k.len() * LANES]
    }
}

/// Where sums stand: row m's are `first + m * stride ..`, for m and panels counted from the start of the product's.
#[derive(Clone, Copy)]
pub struct Sums<'a> {
    /// The memory.
    pub memory: &'a Shared<'a, f32>,
    /// The first row's first sum.
    pub first: usize,
    /// From row to row.
    pub stride: usize,
}

/// A product to be added to sums.
#[derive(Clone)]
pub struct Product<'a> {
    x: Rows<'a>,
    rows: Range<usize>,
    weight: Panels<'a>,
    panels: Range<usize>,
    sums: Sums<'a>,
}

impl<'a> Product<'a> {
    /// Adds the product of rows of `x` with panels of `weight` to `sums`.
    ///
    /// # Safety
    /// While it runs, nothing else uses the sums: 16 for each row and panel.
    pub unsafe fn add(
        level: Level,
        (x, rows): (Rows<'a>, Range<usize>),
        (weight, panels): (Panels<'a>, Range<usize>),
        sums: Sums<'a>,
    ) {
        assert_eq!(x.terms, weight.inputs, "rows are as long as the weight has inputs");
        level.run(Product { x, rows, weight, panels, sums });
    }

    /// One k-block of one panel group, all rows.
    #[inline(always)]
    fn block<V: Lanes, const P: usize>(&self, panel: usize, k: Range<usize>) {
        let tiles = self.tiles();
        for tile in 0..tiles {
            let rows = range(tile, tiles, self.rows.len());
            match rows.len() {
                1 => self.tile::<V, 1, P>(rows.start, panel, k.clone()),
                2 => self.tile::<V, 2, P>(rows.start, panel, k.clone()),
                3 => self.tile::<V, 3, P>(rows.start, panel, k.clone()),
                4 => self.tile::<V, 4, P>(rows.start, panel, k.clone()),
                5 => self.tile::<V, 5, P>(rows.start, panel, k.clone()),
                _ => self.tile::<V, 6, P>(rows.start, panel, k.clone()),
            }
        }
    }

    /// Tiles one below the other: as few as possible, of about equal height.
    #[inline(always)]
    fn tiles(&self) -> usize {
        self.rows.len().div_ceil(TILE_ROWS)
    }

    /// One k-block of M rows by P panels, summed in registers.
    #[inline(always)]
    fn tile<V: Lanes, const M: usize, const P: usize>(&self, m: usize, panel: usize, k: Range<usize>) {
        if P > V::PANELS[M] {
            unreachable!("groups of panels are made for the highest tile");
        }
        let (mut x, mut w) = ([std::ptr::null(); M], [std::ptr::null(); P]);
        for (i, x) in x.iter_mut().enumerate() {
            *x = self.x.row(self.rows.start + m + i)[k.clone()].as_ptr();
        }
        for (p, w) in w.iter_mut().enumerate() {
            *w = self.weight.block(panel + p, k.clone()).as_ptr();
        }
        let first = self.sums.first + m * self.sums.stride + (panel - self.panels.start) * LANES;
        for start in (0..k.len()).step_by(BLOCK) {
            let mut sums = [[V::splat(0.0); P]; M];
            for i in start..k.len().min(start + BLOCK) {
                let mut column = [V::splat(0.0); P];
                for p in 0..P {
                    // SAFETY: w[p] points to a slice of 16 k.len() elements.
                    column[p] = V::load(unsafe { &*w[p].add(i * LANES).cast() });
                }
                for m in 0..M {
                    // SAFETY: x[m] points to a slice of k.len() elements.
                    let x = V::splat(unsafe { *x[m].add(i) });
                    for p in 0..P {
                        sums[m][p] = x.mul_add(column[p], sums[m][p]);
                    }
                }
            }
            for (i, block_sums) in sums.iter().enumerate() {
                // SAFETY: these sums are this product's alone, by the contract of `add`.
                let totals = unsafe { self.sums.memory.part(first + i * self.sums.stride, P * LANES) };
                for (total, block_sum) in totals.as_chunks_mut().0.iter_mut().zip(block_sums) {
                    V::load(total).add(*block_sum).store(total);
                }
            }
        }
    }
}

impl Kernel for Product<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Lanes>(self) {
        if self.rows.is_empty() {
            return;
        }
        let most = V::PANELS[self.rows.len().div_ceil(self.tiles())];
        let mut panel = self.panels.start;
        while panel < self.panels.end {
            let group = most.min(1 << (self.panels.end - panel).ilog2());
            for start in (0..self.weight.inputs).step_by(DEPTH) {
                let k = start..(start + DEPTH).min(self.weight.inputs);
                match group {
                    4 => self.block::<V, 4>(panel, k),
                    2 => self.block::<V, 2>(panel, k),
                    _ => self.block::<V, 1>(panel, k),
                }
            }
            panel += group;
        }
    }
}
