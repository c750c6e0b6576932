//! The matrix product: adds x W^T to sums that are there already, in blocks of 64 k.
//!
//! ```text
//! out[m, p, l] += sum_k x[m, k] w[p, k, l]        x [M, K], w [P, K, 16], out [M, P, 16]
//! ```
//! For each output: a block of 64 k is summed from zero, k ascending, one fused multiply-add a term; then it is added
//! to the output, blocks ascending. Which outputs share registers has no part in it.
//!
//! A tile is up to 6 rows by 1, 2 or 4 panels. The loops, from the outside: panels, sweeps of 128 k, rows: the weights of
//! a sweep stay in the first-level cache while all rows go by, so a weight is read once from further away; and while
//! they go by, the next sweep's weights are asked for.

use super::parts::{Shared, range};
use super::simd::{Kernel, LANES, Lanes, Level};
use std::ops::Range;

/// Terms of a block.
const BLOCK: usize = 64;
/// Terms that a tile goes through before the next tile does: whole blocks.
pub const DEPTH: usize = 4 * BLOCK;
/// Terms that all rows go through before the next ones: four panels of them are 32 KiB, less than a first-level cache.
const SWEEP: usize = 2 * BLOCK;
/// Terms between two requests for a line of weights that come later: as many as sixteen tiles need for four panels.
const STRIDE: usize = 4;
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

    /// One sweep of one panel group, all rows; `next` is how far after its weights those of the next sweep lie.
    #[inline(always)]
    fn sweep<V: Lanes, const P: usize>(&self, panel: usize, k: Range<usize>, next: Option<usize>) {
        let tiles = self.tiles();
        for tile in 0..tiles {
            let rows = range(tile, tiles, self.rows.len());
            // Each tile asks for some lines of one panel, tile after tile: sixteen tiles for four panels.
            let line = tile * (SWEEP / STRIDE);
            let own = self.weight.block(panel + line / SWEEP % P, k.clone()).as_ptr();
            let ahead = match next {
                Some(next) if line / SWEEP < P => own.wrapping_add(next + line % SWEEP * LANES),
                _ => own,
            };
            match rows.len() {
                1 => self.tile::<V, 1, P>(rows.start, panel, k.clone(), ahead),
                2 => self.tile::<V, 2, P>(rows.start, panel, k.clone(), ahead),
                3 => self.tile::<V, 3, P>(rows.start, panel, k.clone(), ahead),
                4 => self.tile::<V, 4, P>(rows.start, panel, k.clone(), ahead),
                5 => self.tile::<V, 5, P>(rows.start, panel, k.clone(), ahead),
                _ => self.tile::<V, 6, P>(rows.start, panel, k.clone(), ahead),
            }
        }
    }

    /// Tiles one below the other: as few as possible, of about equal height.
    #[inline(always)]
    fn tiles(&self) -> usize {
        self.rows.len().div_ceil(TILE_ROWS)
    }

    /// One sweep of M rows by P panels, block after block in registers; lines from `ahead` on are asked for.
    #[inline(always)]
    fn tile<V: Lanes, const M: usize, const P: usize>(
        &self,
        m: usize,
        panel: usize,
        k: Range<usize>,
        mut ahead: *const f32,
    ) {
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
            let end = k.len().min(start + BLOCK);
            let mut i = start;
            while i + STRIDE <= end {
                V::request(ahead);
                ahead = ahead.wrapping_add(LANES);
                for u in 0..STRIDE {
                    // SAFETY: x points to slices of k.len() elements, w to slices of 16 times as many.
                    unsafe { term(&x, &w, i + u, &mut sums) };
                }
                i += STRIDE;
            }
            while i < end {
                // SAFETY: as above.
                unsafe { term(&x, &w, i, &mut sums) };
                i += 1;
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

/// Adds term i of each sum.
///
/// # Safety
/// x points to more than i elements, w to more than 16 i + 15.
#[inline(always)]
unsafe fn term<V: Lanes, const M: usize, const P: usize>(
    x: &[*const f32; M],
    w: &[*const f32; P],
    i: usize,
    sums: &mut [[V; P]; M],
) {
    let mut column = [V::splat(0.0); P];
    for p in 0..P {
        // SAFETY: as promised.
        column[p] = V::load(unsafe { &*w[p].add(i * LANES).cast() });
    }
    for m in 0..M {
        // SAFETY: as promised.
        let x = V::splat(unsafe { *x[m].add(i) });
        for p in 0..P {
            sums[m][p] = x.mul_add(column[p], sums[m][p]);
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
            for start in (0..self.weight.inputs).step_by(SWEEP) {
                let k = start..(start + SWEEP).min(self.weight.inputs);
                let next = if k.end < self.weight.inputs {
                    Some(k.len() * LANES)
                } else {
                    (panel + group < self.panels.end).then(|| group * self.weight.step - start * LANES)
                };
                match group {
                    4 => self.sweep::<V, 4>(panel, k, next),
                    2 => self.sweep::<V, 2>(panel, k, next),
                    _ => self.sweep::<V, 1>(panel, k, next),
                }
            }
            panel += group;
        }
    }
}
