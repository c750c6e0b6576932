//! The next token of every row; see [`crate::ops::sample`].

use super::noise::{BITS, noise_bits};
use super::parts::Shared;
use super::simd::{Kernel, Lanes, Level};
use super::softmax::{Max, for_rows, of_row};
use crate::cpu::FastArgs;
use crate::ops::noise::{gumbel, token_noise};
use crate::ops::rows::{NO_TOKEN, ROW_WORDS, Row};

/// Draws, scores and moves rows on; logits `[M, V]`,
/// table `[M, 32]`, tokens `[M]`, forced `[F]`, ids and log_probs `[S, M]`, token_flags `[M, V]` where filtered = 1.
pub fn sample(args: &mut FastArgs<'_>) {
    sample_at(Level::best(), args);
}

pub(super) fn sample_at(level: Level, args: &mut FastArgs<'_>) {
    let [rows, vocab, slot, filtered] = args.sizes();
    let [logits, table, tokens, forced, ids, log_probs, token_flags] = &mut args.operands[..] else {
        unreachable!("sample has seven operands")
    };
    let (logits, forced, token_flags) = (logits.real(), forced.word(), token_flags.word());
    args.scratch.grow(filtered * rows * vocab);
    let kept = Shared::new(&mut args.scratch[..]);
    let (table, tokens) = (Shared::new(table.word_mut()), Shared::new(tokens.word_mut()));
    let (ids, log_probs) = (Shared::new(ids.word_mut()), Shared::new(log_probs.real_mut()));
    for_rows(args.pool, rows, vocab, |m| {
        let out = slot * rows + m;
        // SAFETY: each row has its own elements of all four.
        let (record, next, id, log_prob) = unsafe {
            let record = table.part(m * ROW_WORDS, ROW_WORDS);
            (record, &mut tokens.part(m, 1)[0], &mut ids.part(out, 1)[0], &mut log_probs.part(out, 1)[0])
        };
        let mut row = Row::from_words(record);
        if row.running == 0 {
            (*id, *log_prob) = (NO_TOKEN, 0.0);
            return;
        }
        let logits = &logits[m * vocab..][..vocab];
        let max = level.run(Max(logits));
        let is_forced = row.is_forced();
        let token = if is_forced {
            forced[row.forced_next as usize]
        } else if filtered == 0 || row.filters == 0 {
            draw(level, logits, max, &row)
        } else {
            // SAFETY: each row has its own part of the scratch memory.
            let kept = unsafe { kept.part(m * vocab, vocab) };
            level.run(Keep { logits, token_flags: &token_flags[m * vocab..][..vocab], row: &row, kept });
            draw(level, kept, level.run(Max(kept)), &row)
        };
        (*id, *next) = (token, token);
        *log_prob = logits[token as usize] - of_row(level, logits, max);
        row.advance(token, is_forced);
        record.copy_from_slice(&row.to_words());
    });
}

/// The token with the highest score, the first of equals; `max` is the largest logit.
fn draw(level: Level, logits: &[f32], max: f32, row: &Row) -> u32 {
    let likeliest = level.run(FirstOf { logits, value: max }).unwrap_or(0);
    if row.inverse_temperature == 0.0 { likeliest } else { level.run(Draw { logits, likeliest, row }) }
}

/// A row's logits after the filters: adjusted, and minus infinity for tokens that are dropped.
struct Keep<'a> {
    logits: &'a [f32],
    token_flags: &'a [u32],
    row: &'a Row,
    kept: &'a mut [f32],
}

impl Kernel for Keep<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Lanes>(self) {
        let row = *self.row;
        for (((kept, logit), mark), id) in self.kept.iter_mut().zip(self.logits).zip(self.token_flags).zip(0..) {
            *kept = row.kept(*logit, *mark, id);
        }
    }
}

/// The first element that equals a value.
struct FirstOf<'a> {
    logits: &'a [f32],
    value: f32,
}

impl Kernel for FirstOf<'_> {
    type Output = Option<u32>;

    #[inline(always)]
    fn run<V: Lanes>(self) -> Option<u32> {
        if self.value == f32::NEG_INFINITY {
            return None;
        }
        for (i, chunk) in self.logits.chunks(CHUNK).enumerate() {
            let mut found = false;
            for x in chunk {
                found |= *x == self.value;
            }
            if found {
                let at = chunk.iter().position(|x| *x == self.value).expect("found");
                return Some((i * CHUNK + at) as u32);
            }
        }
        None
    }
}

/// Tokens whose noise is made at once.
const CHUNK: usize = BITS;
/// Tokens, at the end of a row, whose noise is made one by one.
const FEW: usize = 4;
/// More than any Gumbel variate of 32 bits.
const MOST_NOISE: f32 = 23.0;

/// The token with the highest noisy score.
///
/// Most tokens cannot win, and are passed over without their logarithms: rounding is monotone, so a score with an
/// upper bound in the place of the noise is an upper bound of the score. The likeliest token goes first.
struct Draw<'a> {
    logits: &'a [f32],
    likeliest: u32,
    row: &'a Row,
}

impl Kernel for Draw<'_> {
    type Output = u32;

    #[inline(always)]
    fn run<V: Lanes>(self) -> u32 {
        let Draw { logits, likeliest, row } = self;
        let scale = row.inverse_temperature;
        let noise = token_noise(row.seed, row.sequence, row.position, likeliest);
        let mut best = (f32::NEG_INFINITY, 0);
        consider(&mut best, logits[likeliest as usize].mul_add(scale, noise), likeliest);
        for (i, chunk) in logits.chunks(CHUNK).enumerate() {
            let mut most = f32::NEG_INFINITY;
            for x in chunk {
                most = if *x > most { *x } else { most };
            }
            if scale > 0.0 && most.mul_add(scale, MOST_NOISE) < best.0 {
                continue;
            }
            if chunk.len() <= FEW {
                for (logit, token) in chunk.iter().zip((i * CHUNK) as u32..) {
                    let noise = token_noise(row.seed, row.sequence, row.position, token);
                    consider(&mut best, logit.mul_add(scale, noise), token);
                }
                continue;
            }
            let rest = [row.position, row.sequence[0], row.sequence[1]];
            let bits = noise_bits::<V::ParamWords>(i as u32 * (CHUNK as u32 / 4), rest, row.seed);
            let mut wins = false;
            for (logit, bits) in chunk.iter().zip(&bits) {
                wins |= logit.mul_add(scale, noise_bound(*bits)) >= best.0;
            }
            if wins {
                for (n, (logit, bits)) in chunk.iter().zip(&bits).enumerate() {
                    if logit.mul_add(scale, noise_bound(*bits)) >= best.0 {
                        consider(&mut best, logit.mul_add(scale, gumbel(*bits)), (i * CHUNK + n) as u32);
                    }
                }
            }
        }
        best.1
    }
}

/// Takes a score that is higher, or as high with a lower id.
#[inline(always)]
fn consider(best: &mut (f32, u32), score: f32, token: u32) {
    if score > best.0 || score == best.0 && token < best.1 {
        *best = (score, token);
    }
}

/// An upper bound of `gumbel(bits)`, less than 0.07 above it for the high variates.
///
/// With v = 1 - u > !bits / 2^32, -ln(-ln u) <= -ln v; and log2 of a number y = 2^e (1 + f) is at least e + f, which
/// is what the bits of a float say.
#[inline(always)]
fn noise_bound(bits: u32) -> f32 {
    const LN_2: f32 = std::f32::consts::LN_2;
    // Without its lowest eight bits !bits is exact as a float.
    let y = (!bits >> 8) as i32 as f32;
    let e_and_f = y.to_bits() as i32 as f32;
    // 24 = 32 - 8 and the bias of the exponent; 0.001 covers all roundings.
    e_and_f.mul_add(-LN_2 / 8_388_608.0, (24.0 + 127.0) * LN_2 + 0.001)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_is_one() {
        let spread = (0..300_000u32).map(|i| i.wrapping_mul(2_654_435_769));
        let tails = (0..32).flat_map(|s| [u32::MAX >> s, !(u32::MAX >> s), 1 << s, !(1 << s), !(0x9e37_79b9 >> s)]);
        for bits in spread.chain(tails).chain(u32::MAX - 3000..=u32::MAX) {
            assert!(gumbel(bits) <= noise_bound(bits), "{bits:#x}");
            assert!(gumbel(bits) < MOST_NOISE);
        }
    }
}
