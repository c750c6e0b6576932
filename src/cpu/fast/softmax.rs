//! Log of the denominator, and softmax; see [`crate::ops::logsumexp`] and [`crate::ops::softmax`].

use super::math::exp;
use super::parts::{Shared, range};
use super::simd::{Kernel, LANES, Lanes, Level};
use crate::cpu::{FastArgs, Pool};

/// `lse[m] = ln sum_n exp x[m, n]`; x `[M, V]`, lse `[M]`.
pub fn logsumexp(args: &mut FastArgs<'_>) {
    logsumexp_at(Level::best(), args);
}

pub(super) fn logsumexp_at(level: Level, args: &mut FastArgs<'_>) {
    let [rows, vocab] = args.sizes();
    let [x, lse] = &mut args.operands[..] else { unreachable!("logsumexp has two operands") };
    let (x, lse) = (x.real(), Shared::new(lse.real_mut()));
    for_rows(args.pool, rows, vocab, |m| {
        // SAFETY: this row's.
        let lse = unsafe { lse.part(m, 1) };
        let x = &x[m * vocab..][..vocab];
        lse[0] = of_row(level, x, level.run(Max(x)));
    });
}

/// `y = x - lse` (log = 1) or `exp(x - lse)` (log = 0); x `[M, V]`, lse `[M]`, y `[M, V]`.
pub fn softmax(args: &mut FastArgs<'_>) {
    softmax_at(Level::best(), args);
}

pub(super) fn softmax_at(level: Level, args: &mut FastArgs<'_>) {
    let [rows, vocab, log] = args.sizes();
    let [x, lse, y] = &mut args.operands[..] else { unreachable!("softmax has three operands") };
    let (x, lse, y) = (x.real(), lse.real(), Shared::new(y.real_mut()));
    for_rows(args.pool, rows, vocab, |m| {
        // SAFETY: this row's.
        let y = unsafe { y.part(m * vocab, vocab) };
        level.run(Normalise { x: &x[m * vocab..][..vocab], lse: lse[m], log: log == 1, y });
    });
}

/// Calls `task` for each row, several rows a task of the pool, if they are worth it.
pub(super) fn for_rows(pool: &dyn Pool, rows: usize, vocab: usize, task: impl Fn(usize) + Sync) {
    const WORTH_THREADS: usize = 16 * 1024;
    if pool.threads() == 1 || rows * vocab < WORTH_THREADS || rows < 2 {
        return (0..rows).for_each(task);
    }
    let parts = rows.min(4 * pool.threads());
    pool.run(parts, &|part| range(part, parts, rows).for_each(&task));
}

/// ln sum exp of a row, given its maximum. Lane i sums elements i, i + 16, ...; the lanes are added one after the
/// other.
pub(super) fn of_row(level: Level, x: &[f32], max: f32) -> f32 {
    if max == f32::NEG_INFINITY {
        return max;
    }
    max + level.run(SumExp { x, max }).ln()
}

/// The largest number of a slice, -infinity without any; NaN does not count.
pub(super) struct Max<'a>(pub &'a [f32]);

impl Kernel for Max<'_> {
    type Output = f32;

    #[inline(always)]
    fn run<V: Lanes>(self) -> f32 {
        let mut max = V::splat(f32::NEG_INFINITY);
        let (full, rest) = self.0.as_chunks();
        for x in full {
            max = V::load(x).max(max);
        }
        max = V::load_padded(rest, f32::NEG_INFINITY).max(max);
        max.to_array().into_iter().fold(f32::NEG_INFINITY, |max, x| if x > max { x } else { max })
    }
}

/// Sum of `exp(x - max)`.
struct SumExp<'a> {
    x: &'a [f32],
    max: f32,
}

impl Kernel for SumExp<'_> {
    type Output = f32;

    #[inline(always)]
    fn run<V: Lanes>(self) -> f32 {
        let (mut sum, max) = (V::splat(0.0), V::splat(self.max));
        let (full, rest) = self.x.as_chunks();
        for x in full {
            sum = sum.add(exp(V::load(x).sub(max)));
        }
        sum = sum.add(exp(V::load_padded(rest, f32::NEG_INFINITY).sub(max)));
        sum.to_array().into_iter().fold(0.0, |sum, x| sum + x)
    }
}

/// A row of softmax or log-softmax.
struct Normalise<'a> {
    x: &'a [f32],
    lse: f32,
    log: bool,
    y: &'a mut [f32],
}

impl Kernel for Normalise<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Lanes>(self) {
        let lse = V::splat(self.lse);
        for (x, y) in self.x.chunks(LANES).zip(self.y.chunks_mut(LANES)) {
            let log_probability = V::load_padded(x, 0.0).sub(lse);
            let result = if self.log { log_probability } else { exp(log_probability) };
            result.store_cut(y);
        }
    }
}
