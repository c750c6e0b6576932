//! Sums over whole tensors; see [`crate::ops::mean_loss`], [`crate::ops::square_sum`] and [`crate::ops::clip_scale`].

use super::parts::{Shared, for_chunks};
use super::simd::{Kernel, LANES, Lanes, Level};
use crate::cpu::FastArgs;
use crate::ops::clip_scale::of_sum;
use crate::ops::schedule::{self, CLIP_COLUMNS, TOKEN_WEIGHT};
use crate::ops::square_sum::BLOCK;

/// `means[slot] = token_weight * sum_m row_losses[m]`; row_losses `[*]`, schedule `[S, 4]`, means `[S]`.
pub fn mean_loss(args: &mut FastArgs<'_>) {
    mean_loss_at(Level::best(), args);
}

pub(super) fn mean_loss_at(level: Level, args: &mut FastArgs<'_>) {
    let [rows, slot] = args.sizes();
    let [row_losses, schedule, means] = &mut args.operands[..] else { unreachable!("mean_loss has three operands") };
    let weight = schedule::at(schedule.real(), slot)[TOKEN_WEIGHT];
    means.real_mut()[slot] = level.run(Sum(&row_losses.real()[..rows])) * weight;
}

/// `partials[b]` = sum of squares of block b; x `[n]`, partials `[*]`.
pub fn square_sum(args: &mut FastArgs<'_>) {
    square_sum_at(Level::best(), args);
}

pub(super) fn square_sum_at(level: Level, args: &mut FastArgs<'_>) {
    let [first, n] = args.sizes();
    let [x, partials] = &mut args.operands[..] else { unreachable!("square_sum has two operands") };
    let (x, partials) = (&x.real()[..n], Shared::new(&mut partials.real_mut()[first / BLOCK..]));
    for_chunks(args.pool, n, |range| {
        let (first, x) = (range.start / BLOCK, &x[range]);
        // SAFETY: the blocks of this chunk, which is a whole number of them.
        let partials = unsafe { partials.part(first, x.len().div_ceil(BLOCK)) };
        for (x, partial) in x.chunks(BLOCK).zip(partials) {
            *partial = level.run(SquareSum(x));
        }
    });
}

/// `clips[slot]` = norm and scale; partials `[K]`, clips `[S, 2]`.
pub fn clip_scale(args: &mut FastArgs<'_>) {
    clip_scale_at(Level::best(), args);
}

pub(super) fn clip_scale_at(level: Level, args: &mut FastArgs<'_>) {
    let [count, slot] = args.sizes();
    let max_norm = args.words.float("max_norm");
    let [partials, clips] = &mut args.operands[..] else { unreachable!("clip_scale has two operands") };
    let sum = level.run(Sum(&partials.real()[..count]));
    clips.real_mut()[slot * CLIP_COLUMNS..][..CLIP_COLUMNS].copy_from_slice(&of_sum(sum, max_norm));
}

/// A sum. Lane i takes elements i, i + 16, ..., with a sum of its own for each block, so that long sums stay exact;
/// then the lanes are added one after the other.
struct Sum<'a>(&'a [f32]);

impl Kernel for Sum<'_> {
    type Output = f32;

    #[inline(always)]
    fn run<V: Lanes>(self) -> f32 {
        let mut sum = V::splat(0.0);
        for block in self.0.chunks(BLOCK) {
            let mut of_block = V::splat(0.0);
            for x in block.chunks(LANES) {
                of_block = of_block.add(V::load_padded(x, 0.0));
            }
            sum = sum.add(of_block);
        }
        sum.to_array().into_iter().fold(0.0, |sum, x| sum + x)
    }
}

/// A sum of squares, in the same order.
struct SquareSum<'a>(&'a [f32]);

impl Kernel for SquareSum<'_> {
    type Output = f32;

    #[inline(always)]
    fn run<V: Lanes>(self) -> f32 {
        let mut sum = V::splat(0.0);
        let (full, rest) = self.0.as_chunks();
        for x in full {
            let x = V::load(x);
            sum = x.mul_add(x, sum);
        }
        let x = V::load_padded(rest, 0.0);
        sum = x.mul_add(x, sum);
        sum.to_array().into_iter().fold(0.0, |sum, x| sum + x)
    }
}
