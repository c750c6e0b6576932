//! The shared parts of the step functions: a task's units, where its gates' sums stand, and its products.
//!
//! A task has some rows and some units of a layer, for all gates. The sums of its gates stand in scratch memory, a
//! row after the other. Columns q = gate * H + unit are packed without a gap between gates, so where H is no
//! multiple of 16 a panel may hold the end of one gate and the start of the next: a task sums whole panels and
//! leaves unused what lies outside its units.

use super::gemm::{Panels, Product, Rows, Sums};
use super::parts::{Grid, Shared};
use super::simd::{LANES, Level};
use crate::cpu::{Lines, Pool};
use std::ops::Range;

/// The split of a step into tasks, and its scratch memory.
pub struct Step<'a> {
    level: Level,
    pool: &'a dyn Pool,
    gates: usize,
    hidden: usize,
    grid: Grid,
}

impl<'a> Step<'a> {
    /// A step of `rows` rows of a layer of `hidden` units with `gates` gates; `inputs` is the length of all its
    /// products together.
    pub fn new(level: Level, pool: &'a dyn Pool, rows: usize, inputs: usize, [gates, hidden]: [usize; 2]) -> Step<'a> {
        let grid = Grid::new(pool, rows, inputs, hidden.div_ceil(LANES), gates * LANES);
        // Units are split at multiples of 16, which here lie inside panels: tasks on both sides sum these panels.
        let grid = if gates == 1 || hidden % LANES == 0 { grid } else { grid.by_rows() };
        Step { level, pool, gates, hidden, grid }
    }

    /// Calls `task` for each part with `buffers` buffers of sums, whose contents mean nothing.
    pub fn run(&self, scratch: &mut Lines, buffers: usize, task: impl Fn(&Tile, &mut [f32]) + Sync) {
        let mut parts = Vec::with_capacity(self.grid.tasks());
        let mut needed = 0;
        for i in 0..self.grid.tasks() {
            let (rows, blocks) = self.grid.task(i);
            let units = blocks.start * LANES..(blocks.end * LANES).min(self.hidden);
            let part = Tile::new(self.level, rows, units, self.gates, self.hidden);
            let floats = buffers * part.floats();
            parts.push((part, needed, floats));
            needed += floats;
        }
        scratch.grow(needed);
        let memory = Shared::new(scratch);
        self.grid.run(self.pool, |i| {
            let (part, start, floats) = &parts[i];
            // SAFETY: the parts' floats lie one after another.
            task(part, unsafe { memory.part(*start, *floats) });
        });
    }
}

/// Rows and units of one task, and how its sums lie: rows of `width`, gate g from `at[g]` on.
pub struct Tile {
    /// The instruction set.
    pub level: Level,
    /// The rows.
    pub rows: Range<usize>,
    /// The units.
    pub units: Range<usize>,
    /// Where in a row the sums of a gate's units stand.
    pub at: [usize; 4],
    /// Sums of a row, the padding for whole vectors included.
    pub width: usize,
    /// Panels that are summed, and where in a row.
    segments: Vec<(Range<usize>, usize)>,
}

impl Tile {
    fn new(level: Level, rows: Range<usize>, units: Range<usize>, gates: usize, hidden: usize) -> Tile {
        let mut part = Tile { level, rows, units, at: [0; 4], width: 0, segments: Vec::with_capacity(gates) };
        if part.units.len() == hidden {
            let panels = (gates * hidden).div_ceil(LANES);
            part.segments.push((0..panels, 0));
            part.at = std::array::from_fn(|g| g * hidden);
            part.width = panels * LANES;
        } else {
            for g in 0..gates {
                let (first, end) = (g * hidden + part.units.start, g * hidden + part.units.end);
                let panels = first / LANES..end.div_ceil(LANES);
                part.at[g] = part.width + first % LANES;
                part.segments.push((panels.clone(), part.width));
                part.width += panels.len() * LANES;
            }
        }
        part.width += LANES;
        part
    }

    /// Floats of a buffer of sums.
    pub fn floats(&self) -> usize {
        self.rows.len() * self.width
    }

    /// Adds the product of this part's rows of `x` with the panels of its units to the sums.
    pub fn add_product(&self, sums: &mut [f32], x: Rows<'_>, weight: Panels<'_>) {
        let memory = &Shared::new(sums);
        for (panels, at) in &self.segments {
            let sums = Sums { memory, first: *at, stride: self.width };
            // SAFETY: the sums are borrowed here, and nothing else uses them.
            unsafe { Product::add(self.level, (x, self.rows.clone()), (weight, panels.clone()), sums) };
        }
    }

    /// The place of a gate's sums, for row m of all rows.
    pub fn gate(&self, m: usize, gate: usize) -> Range<usize> {
        let start = (m - self.rows.start) * self.width + self.at[gate];
        start..start + self.units.len()
    }

    /// All pairs of a row and one of the first `gates` gates.
    pub fn rows_and_gates(&self, gates: usize) -> impl Iterator<Item = (usize, usize)> + use<> {
        self.rows.clone().flat_map(move |m| (0..gates).map(move |g| (m, g)))
    }

    /// A gate's units in a vector [gates, H].
    pub fn of_gate<'v>(&self, vector: &'v [f32], gate: usize, hidden: usize) -> &'v [f32] {
        &vector[gate * hidden + self.units.start..][..self.units.len()]
    }
}

/// `to = a + b`, element by element.
pub fn add_into(to: &mut [f32], a: &[f32], b: &[f32]) {
    for ((to, a), b) in to.iter_mut().zip(a).zip(b) {
        *to = a + b;
    }
}

/// `to += a`, element by element.
pub fn add_to(to: &mut [f32], a: &[f32]) {
    for (to, a) in to.iter_mut().zip(a) {
        *to += a;
    }
}
