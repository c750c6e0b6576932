//! How work is split into tasks, and how tasks share the memory they write.

use crate::cpu::Pool;
use std::marker::PhantomData;
use std::ops::Range;

/// A slice that several tasks write, each its own elements.
pub struct Shared<'a, T> {
    start: *mut T,
    len: usize,
    slice: PhantomData<&'a mut [T]>,
}

// SAFETY: it gives out parts of a `&mut [T]`, whose callers promise that they are disjoint.
unsafe impl<T: Send> Sync for Shared<'_, T> {}

impl<'a, T> Shared<'a, T> {
    /// Shares a slice.
    pub fn new(slice: &'a mut [T]) -> Shared<'a, T> {
        Shared { start: slice.as_mut_ptr(), len: slice.len(), slice: PhantomData }
    }

    /// `len` elements from `first` on.
    ///
    /// # Safety
    /// While it is used, no other part that overlaps it is.
    #[inline(always)]
    #[allow(clippy::mut_from_ref)]
    pub unsafe fn part(&self, first: usize, len: usize) -> &mut [T] {
        assert!(first <= self.len && len <= self.len - first, "a part lies inside its slice");
        // SAFETY: inside the slice, which is borrowed for 'a; the caller sees to overlaps.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(first), len) }
    }
}

/// The rows that a step reads and those that it writes, of one buffer: `len` elements each, disjoint.
pub fn read_and_write(buffer: &mut [f32], read: usize, write: usize, len: usize) -> (&[f32], &mut [f32]) {
    if read < write {
        assert!(read + len <= write, "rows that are read are not written");
        let (head, tail) = buffer.split_at_mut(write);
        (&head[read..read + len], &mut tail[..len])
    } else {
        assert!(write + len <= read, "rows that are read are not written");
        let (head, tail) = buffer.split_at_mut(read);
        (&tail[..len], &mut head[write..write + len])
    }
}

/// The `part`-th of `parts` ranges of about equal length.
pub fn range(part: usize, parts: usize, len: usize) -> Range<usize> {
    part * len / parts..(part + 1) * len / parts
}

/// Elements of a flat tensor that one task takes: a whole number of [`crate::ops::square_sum::BLOCK`]s.
const CHUNK: usize = 16 * 1024;

/// Calls `task` for all elements of a flat tensor, chunk by chunk, on the pool if there are several.
pub fn for_chunks(pool: &dyn Pool, len: usize, task: impl Fn(Range<usize>) + Sync) {
    let chunk = |i: usize| task(i * CHUNK..len.min((i + 1) * CHUNK));
    let count = len.div_ceil(CHUNK);
    if pool.threads() == 1 || count < 2 {
        return (0..count).for_each(chunk);
    }
    pool.run(count, &chunk);
}

/// A split of rows and of blocks of outputs (panels, or the units of a panel) into tasks.
#[derive(Clone, Copy, Debug)]
pub struct Grid {
    rows: usize,
    row_parts: usize,
    blocks: usize,
    block_parts: usize,
    pooled: bool,
}

/// Work, in multiply-adds, that is worth waking threads up for: some 40 microseconds.
const WORTH_THREADS: usize = 1_500_000;
/// The cost of reading a weight, in multiply-adds.
const WEIGHT: usize = 2;
/// Floats of input rows that a task goes through again and again: they should stay in a cache of 512 KiB.
const INPUT_FLOATS: usize = 48 * 1024;
/// Rows that a task has at most.
const MOST_ROWS: usize = 192;
/// Rows that a task should have at least, to make use of the weights that it reads.
const FEW_ROWS: usize = 12;
/// Blocks that a task should have at least.
const FEW_BLOCKS: usize = 4;

impl Grid {
    /// A split for a product of `rows` input rows of `inputs` numbers with `blocks` blocks of weights, of
    /// `block_outputs` outputs each. The result's bits do not depend on it.
    pub fn new(pool: &dyn Pool, rows: usize, inputs: usize, blocks: usize, block_outputs: usize) -> Grid {
        let most_rows = (INPUT_FLOATS / inputs.max(1)).clamp(24, MOST_ROWS);
        Grid::of(pool, (rows, most_rows), inputs, blocks, block_outputs)
    }

    /// The same for tasks that go through a part of their inputs at a time.
    pub fn in_chunks(pool: &dyn Pool, rows: usize, inputs: usize, blocks: usize, block_outputs: usize) -> Grid {
        Grid::of(pool, (rows, MOST_ROWS), inputs, blocks, block_outputs)
    }

    fn of(
        pool: &dyn Pool,
        (rows, most_rows): (usize, usize),
        inputs: usize,
        blocks: usize,
        block_outputs: usize,
    ) -> Grid {
        let row_parts = rows.div_ceil(most_rows).max(1);
        let whole = Grid { rows, row_parts, blocks, block_parts: 1, pooled: false };
        let work = (rows + WEIGHT).saturating_mul(blocks * block_outputs * inputs);
        if pool.threads() == 1 || work < WORTH_THREADS {
            return whole;
        }
        let tasks = 4 * pool.threads();
        let most_parts = blocks.div_ceil(FEW_BLOCKS).max(1);
        let block_parts = tasks.div_ceil(row_parts).clamp(1, most_parts);
        // Threads finish together where all have as many tasks.
        let even = |parts: &usize| (row_parts * parts).is_multiple_of(pool.threads());
        let block_parts = (block_parts..=most_parts).find(even).unwrap_or(block_parts);
        let row_parts = row_parts.max(tasks.div_ceil(2 * block_parts).min(rows / FEW_ROWS));
        Grid { row_parts, block_parts, pooled: true, ..whole }
    }

    /// The same without shards between blocks: more shards between rows instead, where there are enough.
    pub fn by_rows(self) -> Grid {
        let tasks = self.tasks();
        let row_parts = tasks.min(self.rows / FEW_ROWS).max(self.row_parts);
        let block_parts = if 2 * row_parts > tasks { 1 } else { self.block_parts.min(tasks / row_parts / 2) };
        Grid { row_parts, block_parts, ..self }
    }

    /// Number of tasks.
    pub fn tasks(&self) -> usize {
        self.row_parts * self.block_parts
    }

    /// Rows of a task at most.
    pub fn most_rows(&self) -> usize {
        self.rows.div_ceil(self.row_parts)
    }

    /// Blocks of a task at most.
    pub fn most_blocks(&self) -> usize {
        self.blocks.div_ceil(self.block_parts)
    }

    /// Rows and blocks of a task.
    pub fn task(&self, task: usize) -> (Range<usize>, Range<usize>) {
        let rows = range(task / self.block_parts, self.row_parts, self.rows);
        (rows, range(task % self.block_parts, self.block_parts, self.blocks))
    }

    /// Runs all tasks, on this thread where they are not worth the pool.
    pub fn run(&self, pool: &dyn Pool, task: impl Fn(usize) + Sync) {
        if self.pooled && self.tasks() > 1 {
            pool.run(self.tasks(), &task);
        } else {
            (0..self.tasks()).for_each(task);
        }
    }

    /// How many tasks [`Grid::run_in_slots`] runs at once at most.
    pub fn slots(&self, pool: &dyn Pool) -> usize {
        if self.pooled { self.tasks().min(4 * pool.threads()) } else { 1 }
    }

    /// Calls `task` with a slot and a task for all tasks. A slot has one task at a time, so memory of a slot serves them
    /// all.
    pub fn run_in_slots(&self, pool: &dyn Pool, task: impl Fn(usize, usize) + Sync) {
        let slots = self.slots(pool);
        let of_slot = |slot: usize| (slot..self.tasks()).step_by(slots).for_each(|i| task(slot, i));
        if slots > 1 { pool.run(slots, &of_slot) } else { of_slot(0) }
    }
}
