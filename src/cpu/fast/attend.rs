//! Attention; see [`crate::ops::attend`] and its ways back.
//!
//! Rows of a window are tasks of their own, and so are places on the way back to memory. Products of a query and a place take
//! 16 lanes; sums over places or steps go in order, in blocks of 64, each number of a vector by itself.

use super::math::{exp, tanh};
use super::parts::Shared;
use super::simd::{Kernel, LANES, Lanes, Level};
use super::softmax::{Max, for_rows};
use crate::cpu::FastArgs;
use crate::ops::attention::{Places, Score};

/// Places or steps of a block of a sum.
const BLOCK: usize = 64;

/// Weights and contexts.
pub fn attend(args: &mut FastArgs<'_>) {
    attend_at(Level::best(), args);
}

pub(super) fn attend_at(level: Level, args: &mut FastArgs<'_>) {
    let at = Places::of(&args.words);
    let [query, keys, memory, lengths, v, weights, context] = &mut args.operands[..] else {
        unreachable!("attend has seven operands")
    };
    let (weights, context) = (Shared::new(weights.real_mut()), Shared::new(context.real_mut()));
    let keys = if at.score == Score::Dot { memory.real() } else { keys.real() };
    for_rows(args.pool, at.rows, at.source * (at.width + at.outputs), |row| {
        let (m, len) = at.source_of(row, lengths.word());
        let (of_row, to) = (at.weights(row), at.context(row));
        // SAFETY: this row's.
        let (weights, context) =
            unsafe { (weights.part(of_row.start, of_row.len()), context.part(to.start, to.len())) };
        let (shares, behind) = weights.split_at_mut(len);
        behind.fill(0.0);
        let q = &query.real()[at.query(row)];
        for (s, share) in shares.iter_mut().enumerate() {
            let (key, additive) = (&keys[at.place(m, s, at.width)], at.score == Score::Additive);
            *share = level.run(Fit { q, key, v: additive.then(|| v.real()) });
        }
        let most = level.run(Max(shares));
        level.run(Exponentials { shares, most });
        let sum_of = |block: &[f32]| block.iter().fold(0.0, |sum, x| sum + x);
        let total = shares.chunks(BLOCK).map(sum_of).fold(0.0, |total: f32, sum| total + sum);
        shares.iter_mut().for_each(|share| *share /= total);
        context.fill(0.0);
        let row_of = |s: usize| at.place(m, s, at.outputs).start;
        level.run(Weighted { factors: shares, step: 1, rows: memory.real(), row_of, sums: context });
    });
}

/// From contexts to scores.
pub fn attend_scores_backward(args: &mut FastArgs<'_>) {
    attend_scores_backward_at(Level::best(), args);
}

pub(super) fn attend_scores_backward_at(level: Level, args: &mut FastArgs<'_>) {
    let at = Places::of(&args.words);
    let [d_context, memory, lengths, weights, d_scores] = &mut args.operands[..] else {
        unreachable!("attend_scores_backward has five operands")
    };
    let d_scores = Shared::new(d_scores.real_mut());
    for_rows(args.pool, at.rows, at.source * at.outputs, |row| {
        let (m, len) = at.source_of(row, lengths.word());
        let of_row = at.weights(row);
        let weights = &weights.real()[of_row.clone()][..len];
        // SAFETY: this row's.
        let (d_scores, behind) = unsafe { d_scores.part(of_row.start, of_row.len()) }.split_at_mut(len);
        behind.fill(0.0);
        let q = &d_context.real()[at.context(row)];
        for (s, d) in d_scores.iter_mut().enumerate() {
            *d = level.run(Fit { q, key: &memory.real()[at.place(m, s, at.outputs)], v: None });
        }
        let of_block = |(w, d): (&[f32], &[f32])| w.iter().zip(d).fold(0.0f32, |sum, (w, d)| w.mul_add(*d, sum));
        let mean = weights.chunks(BLOCK).zip(d_scores.chunks(BLOCK)).map(of_block).fold(0.0, |total, sum| total + sum);
        d_scores.iter_mut().zip(weights).for_each(|(d, w)| *d = w * (*d - mean));
    });
}

/// From scores to queries.
pub fn attend_query_backward(args: &mut FastArgs<'_>) {
    attend_query_backward_at(Level::best(), args);
}

pub(super) fn attend_query_backward_at(level: Level, args: &mut FastArgs<'_>) {
    let at = Places::of(&args.words);
    let [d_scores, query, keys, lengths, v, d_query] = &mut args.operands[..] else {
        unreachable!("attend_query_backward has six operands")
    };
    let d_query = Shared::new(d_query.real_mut());
    for_rows(args.pool, at.rows, at.source * at.width, |row| {
        let (m, len) = at.source_of(row, lengths.word());
        let to = at.query_gradient(row);
        // SAFETY: this row's.
        let sums = unsafe { d_query.part(to.start, to.len()) };
        sums.fill(0.0);
        let factors = &d_scores.real()[at.weights(row)][..len];
        let row_of = |s: usize| at.place(m, s, at.width).start;
        match at.score {
            Score::Additive => {
                let own = &query.real()[at.query(row)];
                level.run(Slopes { factors, step: 1, rows: keys.real(), row_of, own, sums, values: None });
                level.run(Scale { sums, by: v.real() });
            }
            _ => level.run(Weighted { factors, step: 1, rows: keys.real(), row_of, sums }),
        }
    });
}

/// From all steps to places.
pub fn attend_memory_backward(args: &mut FastArgs<'_>) {
    attend_memory_backward_at(Level::best(), args);
}

pub(super) fn attend_memory_backward_at(level: Level, args: &mut FastArgs<'_>) {
    let at = Places::of(&args.words);
    let [factors, from, lengths, d_memory] = &mut args.operands[..] else {
        unreachable!("attend_memory_backward has four operands")
    };
    let d_memory = Shared::new(d_memory.real_mut());
    for_rows(args.pool, at.source * at.batch, at.rows.div_ceil(at.batch) * at.outputs, |place| {
        let (m, s) = (place % at.batch, place / at.batch);
        // SAFETY: this place's.
        let sums = unsafe { d_memory.part(place * at.outputs, at.outputs) };
        if !at.accumulate {
            sums.fill(0.0);
        }
        if s < at.source_of(m, lengths.word()).1 && m < at.rows {
            let factors = &factors.real()[at.weights(m).start + s..at.weights(at.last_row(m)).start + s + 1];
            let row_of = |t: usize| at.context(t * at.batch + m).start;
            level.run(Weighted { factors, step: at.batch * at.source, rows: from.real(), row_of, sums });
        }
    });
}

/// From all steps to keys, and to v, where scores are additive.
pub fn attend_keys_backward(args: &mut FastArgs<'_>) {
    attend_keys_backward_at(Level::best(), args);
}

pub(super) fn attend_keys_backward_at(level: Level, args: &mut FastArgs<'_>) {
    let at = Places::of(&args.words);
    let [d_scores, query, keys, lengths, v, d_keys, rows_of_v] = &mut args.operands[..] else {
        unreachable!("attend_keys_backward has seven operands")
    };
    let (d_keys, rows_of_v) = (Shared::new(d_keys.real_mut()), Shared::new(rows_of_v.real_mut()));
    for_rows(args.pool, at.source * at.batch, at.rows.div_ceil(at.batch) * at.width, |place| {
        let (m, s) = (place % at.batch, place / at.batch);
        // SAFETY: this place's.
        let [sums, of_v] = [&d_keys, &rows_of_v].map(|to| unsafe { to.part(place * at.width, at.width) });
        sums.fill(0.0);
        of_v.fill(0.0);
        if s < at.source_of(m, lengths.word()).1 && m < at.rows {
            let factors = &d_scores.real()[at.weights(m).start + s..at.weights(at.last_row(m)).start + s + 1];
            let row_of = |t: usize| at.query(t * at.batch + m).start;
            let (rows, own) = (query.real(), &keys.real()[place * at.width..][..at.width]);
            level.run(Slopes { factors, step: at.batch * at.source, rows, row_of, own, sums, values: Some(of_v) });
            level.run(Scale { sums, by: v.real() });
        }
    });
}

/// The product of a query and a place, or of v and the tanh of both.
struct Fit<'a> {
    q: &'a [f32],
    key: &'a [f32],
    v: Option<&'a [f32]>,
}

impl Kernel for Fit<'_> {
    type Output = f32;

    #[inline(always)]
    fn run<V: Lanes>(self) -> f32 {
        let mut sum = V::splat(0.0);
        for (i, (q, k)) in self.q.chunks(LANES).zip(self.key.chunks(LANES)).enumerate() {
            let (q, k) = (V::load_padded(q, 0.0), V::load_padded(k, 0.0));
            sum = match self.v {
                Some(v) => V::load_padded(&v[i * LANES..], 0.0).mul_add(tanh(q.add(k)), sum),
                None => q.mul_add(k, sum),
            };
        }
        sum.to_array().into_iter().fold(0.0, |sum, x| sum + x)
    }
}

/// `exp(x - most)`, in place.
struct Exponentials<'a> {
    shares: &'a mut [f32],
    most: f32,
}

impl Kernel for Exponentials<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Lanes>(self) {
        for x in self.shares.chunks_mut(LANES) {
            exp(V::load_padded(x, 0.0).sub(V::splat(self.most))).store_cut(x);
        }
    }
}

/// `sums[j] *= by[j]`.
struct Scale<'a> {
    sums: &'a mut [f32],
    by: &'a [f32],
}

impl Kernel for Scale<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Lanes>(self) {
        for (sum, by) in self.sums.chunks_mut(LANES).zip(self.by.chunks(LANES)) {
            V::load_padded(sum, 0.0).mul(V::load_padded(by, 0.0)).store_cut(sum);
        }
    }
}

/// `sums[j] += sum_i factors[i] rows[row_of(i)][j]`, the factors `step` apart.
struct Weighted<'a, R> {
    factors: &'a [f32],
    step: usize,
    rows: &'a [f32],
    row_of: R,
    sums: &'a mut [f32],
}

impl<R: Fn(usize) -> usize> Kernel for Weighted<'_, R> {
    type Output = ();

    #[inline(always)]
    fn run<V: Lanes>(self) {
        let count = self.factors.len().div_ceil(self.step);
        for (column, sums) in self.sums.chunks_mut(LANES).enumerate() {
            let mut total = V::load_padded(sums, 0.0);
            for first in (0..count).step_by(BLOCK) {
                let mut sum = V::splat(0.0);
                for i in first..count.min(first + BLOCK) {
                    let row = &self.rows[(self.row_of)(i) + column * LANES..];
                    let x = V::load_padded(&row[..sums.len()], 0.0);
                    sum = V::splat(self.factors[i * self.step]).mul_add(x, sum);
                }
                total = total.add(sum);
            }
            total.store_cut(sums);
        }
    }
}

/// `sums[j] += sum_i factors[i] (1 - u^2)` with `u = tanh(own[j] + rows[row_of(i)][j])`; and the same of u itself.
struct Slopes<'a, R> {
    factors: &'a [f32],
    step: usize,
    rows: &'a [f32],
    row_of: R,
    own: &'a [f32],
    sums: &'a mut [f32],
    values: Option<&'a mut [f32]>,
}

impl<R: Fn(usize) -> usize> Kernel for Slopes<'_, R> {
    type Output = ();

    #[inline(always)]
    fn run<V: Lanes>(mut self) {
        let count = self.factors.len().div_ceil(self.step);
        for (column, sums) in self.sums.chunks_mut(LANES).enumerate() {
            let range = column * LANES..column * LANES + sums.len();
            let own = V::load_padded(&self.own[range.clone()], 0.0);
            let (mut slopes, mut values) = (V::load_padded(sums, 0.0), V::splat(0.0));
            for first in (0..count).step_by(BLOCK) {
                let (mut slope_sum, mut value_sum) = (V::splat(0.0), V::splat(0.0));
                for i in first..count.min(first + BLOCK) {
                    let x = V::load_padded(&self.rows[(self.row_of)(i)..][range.clone()], 0.0);
                    let (u, factor) = (tanh(own.add(x)), V::splat(self.factors[i * self.step]));
                    slope_sum = factor.mul_add(V::splat(1.0).sub(u.mul(u)), slope_sum);
                    value_sum = factor.mul_add(u, value_sum);
                }
                (slopes, values) = (slopes.add(slope_sum), values.add(value_sum));
            }
            slopes.store_cut(sums);
            if let Some(to) = &mut self.values {
                values.store_cut(&mut to[range]);
            }
        }
    }
}
