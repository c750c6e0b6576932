//! Sum of rows; see [`crate::ops::sum_rows`].

use super::parts::{Grid, Shared};
use super::simd::{Kernel, LANES, Lanes, Level};
use crate::cpu::FastArgs;

/// Rows of a block.
const BLOCK: usize = 64;
/// Vectors of outputs that go through the rows together.
const VECTORS: usize = 16;
const OUTPUTS: usize = VECTORS * LANES;

/// `db[b_group + g, n] (+)= sum_m dy[y_row + m, y_group + g, n]`; dy `[*, Gy, N]`, db `[Gb, N]`.
pub fn sum_rows(args: &mut FastArgs<'_>) {
    sum_rows_at(Level::best(), args);
}

pub(super) fn sum_rows_at(level: Level, args: &mut FastArgs<'_>) {
    let [rows, outputs, groups, y_row, y_groups, y_group, b_group, accumulate] = args.sizes();
    let [dy, db] = &mut args.operands[..] else { unreachable!("sum_rows has two operands") };
    let width = y_groups * outputs;
    let dy = &dy.real()[y_row * width + y_group * outputs..];
    let len = groups * outputs;
    let db = Shared::new(&mut db.real_mut()[b_group * outputs..][..len]);
    let grid = Grid::new(args.pool, len.div_ceil(OUTPUTS), rows, 1, OUTPUTS);
    grid.run(args.pool, |i| {
        for part in grid.task(i).0 {
            let first = part * OUTPUTS;
            // SAFETY: this task's outputs.
            let sums = unsafe { db.part(first, OUTPUTS.min(len - first)) };
            if accumulate == 0 {
                sums.fill(0.0);
            }
            level.run(Columns { rows: &dy[first..], width, count: rows, sums });
        }
    });
}

/// Sums of some columns of `count` rows, `width` apart; as many columns as there are sums.
struct Columns<'a> {
    rows: &'a [f32],
    width: usize,
    count: usize,
    sums: &'a mut [f32],
}

impl Kernel for Columns<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Lanes>(self) {
        let len = self.sums.len();
        for start in (0..self.count).step_by(BLOCK) {
            let mut block = [V::splat(0.0); VECTORS];
            for m in start..self.count.min(start + BLOCK) {
                let row = &self.rows[m * self.width..][..len];
                for (sum, x) in block.iter_mut().zip(row.chunks(LANES)) {
                    *sum = sum.add(V::load_padded(x, 0.0));
                }
            }
            for (total, sum) in self.sums.chunks_mut(LANES).zip(block) {
                V::load_padded(total, 0.0).add(sum).store_cut(total);
            }
        }
    }
}
