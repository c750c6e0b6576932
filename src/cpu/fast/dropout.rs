//! Dropout; see [`crate::ops::dropout`].

use super::noise::{BITS, noise_bits};
use super::parts::Shared;
use super::simd::{Kernel, Lanes, Level};
use super::softmax::for_rows;
use crate::cpu::FastArgs;
use crate::ops::dropout::DROP;

/// `y = x * scale` where the random word reaches the threshold, else 0; x `[*, W]`, y `[*, W]`.
pub fn dropout(args: &mut FastArgs<'_>) {
    dropout_at(Level::best(), args);
}

pub(super) fn dropout_at(level: Level, args: &mut FastArgs<'_>) {
    let [rows, width, x_row, y_row] = args.sizes();
    let [threshold, seed_low, seed_high, site, step] =
        ["threshold", "seed_low", "seed_high", "site", "step"].map(|name| args.words[name]);
    let scale = args.words.float("scale");
    let [x, y] = &mut args.operands[..] else { unreachable!("dropout has two operands") };
    let (x, y) = (&x.real()[x_row * width..][..rows * width], Shared::new(y.real_mut()));
    for_rows(args.pool, rows, width, |m| {
        // SAFETY: this row's.
        let y = unsafe { y.part((y_row + m) * width, width) };
        let (first, rest, seed) = ((m * width.div_ceil(4)) as u32, [site, step, DROP], [seed_low, seed_high]);
        level.run(DropRow { x: &x[m * width..][..width], y, first, rest, seed, threshold, scale });
    });
}

/// A row, whose quads of elements have the blocks `first` on.
struct DropRow<'a> {
    x: &'a [f32],
    y: &'a mut [f32],
    first: u32,
    rest: [u32; 3],
    seed: [u32; 2],
    threshold: u32,
    scale: f32,
}

impl Kernel for DropRow<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Lanes>(self) {
        let blocks = (self.first..).step_by(BITS / 4);
        for ((x, y), block) in self.x.chunks(BITS).zip(self.y.chunks_mut(BITS)).zip(blocks) {
            let bits = noise_bits::<V::ParamWords>(block, self.rest, self.seed);
            for ((x, y), bits) in x.iter().zip(y).zip(bits) {
                *y = if bits >= self.threshold { *x * self.scale } else { 0.0 };
            }
        }
    }
}
