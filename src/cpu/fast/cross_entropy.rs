//! Cross entropy and its gradient; see [`crate::ops::cross_entropy`].

use super::math::exp;
use super::parts::Shared;
use super::simd::{Kernel, LANES, Lanes, Level};
use super::softmax::for_rows;
use crate::cpu::FastArgs;
use crate::ops::cross_entropy::IGNORED;
use crate::ops::schedule::{self, TOKEN_WEIGHT};

/// Writes losses and, where gradient = 1, gradients in the place of logits;
/// logits `[M, V]`, lse `[M]`, targets `[*]`, schedule `[S, 4]`, losses `[*]`.
pub fn cross_entropy(args: &mut FastArgs<'_>) {
    cross_entropy_at(Level::best(), args);
}

pub(super) fn cross_entropy_at(level: Level, args: &mut FastArgs<'_>) {
    let [rows, vocab, target_row, loss_row, slot, gradient] = args.sizes();
    let smoothing: f32 = args.words.float("smoothing");
    let [logits, lse, targets, schedule, losses] = &mut args.operands[..] else {
        unreachable!("cross_entropy has five operands")
    };
    let weight = schedule::at(schedule.real(), slot)[TOKEN_WEIGHT];
    let (lse, targets) = (lse.real(), &targets.word()[target_row..][..rows]);
    let (logits, losses) = (Shared::new(logits.real_mut()), Shared::new(losses.real_mut()));
    for_rows(args.pool, rows, if gradient == 1 { vocab } else { 1 }, |m| {
        // SAFETY: this row's.
        let (logits, loss) = unsafe { (logits.part(m * vocab, vocab), &mut losses.part(loss_row + m, 1)[0]) };
        if targets[m] == IGNORED {
            *loss = 0.0;
            if gradient == 1 {
                logits.fill(0.0);
            }
            return;
        }
        let target = targets[m] as usize;
        *loss = lse[m] - logits[target];
        if gradient == 1 {
            level.run(Gradient { logits, lse: lse[m], target, weight, smoothing });
        }
    });
}

/// The gradient of a row, in the place of its logits.
struct Gradient<'a> {
    logits: &'a mut [f32],
    lse: f32,
    target: usize,
    weight: f32,
    smoothing: f32,
}

impl Kernel for Gradient<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Lanes>(self) {
        let (lse, weight) = (V::splat(self.lse), V::splat(self.weight));
        let uniform = self.smoothing / self.logits.len() as f32;
        let wanted = 1.0 - self.smoothing + uniform;
        let at_target = exp(V::splat(self.logits[self.target]).sub(lse)).sub(V::splat(wanted)).mul(weight);
        for x in self.logits.chunks_mut(LANES) {
            exp(V::load_padded(x, 0.0).sub(lse)).sub(V::splat(uniform)).mul(weight).store_cut(x);
        }
        self.logits[self.target] = at_target.to_array()[0];
    }
}
