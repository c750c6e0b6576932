//! The limits of rows; see [`crate::ops::filter`].
//!
//! A limit is searched for from its high bits down, as on a device: tokens go into bins by their next bits, and only
//! those of the bin in which the wanted count or mass is reached go on. Masses are whole numbers: no order matters.

use super::math::exp;
use super::parts::Shared;
use super::simd::{Kernel, LANES, Lanes, Level};
use super::softmax::{Max, for_rows};
use crate::cpu::FastArgs;
use crate::ops::filters::{MIN_P, TOKEN_FLAGS, TOP_K, TOP_P, adjusted, key, ordered};
use crate::ops::rows::{ROW_WORDS, Row, halves};

/// Writes limits into the table; logits `[M, V]`, table `[M, 32]`, token_flags `[M, V]`.
pub fn filter(args: &mut FastArgs<'_>) {
    filter_at(Level::best(), args);
}

pub(super) fn filter_at(level: Level, args: &mut FastArgs<'_>) {
    let [rows, vocab] = args.sizes();
    let [logits, table, token_flags] = &mut args.operands[..] else { unreachable!("filter has three operands") };
    let (logits, token_flags, table) = (logits.real(), token_flags.word(), Shared::new(table.word_mut()));
    for_rows(args.pool, rows, vocab, |m| {
        // SAFETY: each row has its own record.
        let record = unsafe { table.part(m * ROW_WORDS, ROW_WORDS) };
        let mut row = Row::from_words(record);
        if row.is_limited() {
            let here = m * vocab..(m + 1) * vocab;
            row.limit = halves(limit(level, &logits[here.clone()], &token_flags[here], &row));
            record.copy_from_slice(&row.to_words());
        }
    });
}

/// The limit of one row.
fn limit(level: Level, logits: &[f32], token_flags: &[u32], row: &Row) -> u64 {
    let mut scaled = vec![0.0; logits.len()];
    level.run(Scale { logits, token_flags, row, scaled: &mut scaled });
    let most = level.run(Max(&scaled));
    let mut limit = 0;
    if row.filters & TOP_K != 0 {
        limit = search(tokens(&scaled, 0, |_| 1), |_| row.top_k.into());
    }
    if row.filters & TOP_P != 0 {
        let mut masses = vec![0.0; logits.len()];
        level.run(Masses { scaled: &scaled, most, masses: &mut masses });
        let share = |total: u64| ((u128::from(total) * u128::from(row.top_p)) >> 32) as u64;
        limit = search(tokens(&scaled, limit, |n| fixed(masses[n])), |total| share(total).max(1));
    }
    if row.filters & MIN_P != 0 {
        limit = limit.max(u64::from(ordered(most + row.ln_min_p)) << 32);
    }
    limit
}

/// A token in a search.
#[derive(Clone, Copy)]
struct Token {
    key: u64,
    /// 1, or a mass in units of 2^-40.
    amount: u64,
}

/// The tokens that a limit keeps, and that amount to something.
fn tokens(scaled: &[f32], limit: u64, amount: impl Fn(usize) -> u64) -> Vec<Token> {
    let token = |(n, s): (usize, &f32)| Token { key: key(*s, n as u32), amount: amount(n) };
    scaled.iter().enumerate().map(token).filter(|t| t.key >= limit && t.amount > 0).collect()
}

/// Bits by which tokens are told apart in one round.
const DIGIT: u32 = 11;
/// So few tokens are put in order.
const FEW: usize = 64;

/// The key at which the amounts, summed from the largest key down, reach what `wanted` makes of their total.
fn search(mut tokens: Vec<Token>, wanted: impl Fn(u64) -> u64) -> u64 {
    let mut rest = wanted(tokens.iter().map(|t| t.amount).sum());
    let mut shift = u64::BITS;
    while tokens.len() > FEW && shift > 0 {
        shift = shift.saturating_sub(DIGIT);
        let digit = |t: &Token| (t.key >> shift) as usize % (1 << DIGIT);
        let mut bins = [0; 1 << DIGIT];
        for token in &tokens {
            bins[digit(token)] += token.amount;
        }
        let mut bin = bins.len() - 1;
        while bin > 0 && bins[bin] < rest {
            rest -= bins[bin];
            bin -= 1;
        }
        tokens.retain(|t| digit(t) == bin);
    }
    tokens.sort_unstable_by_key(|token| std::cmp::Reverse(token.key));
    for token in &tokens {
        if token.amount >= rest {
            return token.key;
        }
        rest -= token.amount;
    }
    // Less in all than is wanted: everything is kept.
    0
}

/// A mass of 1 at most in units of 2^-40.
fn fixed(mass: f32) -> u64 {
    // 2^52 + mass: the low bits of the sum are the mass, rounded.
    const UNITS: f64 = (1_u64 << 40) as f64;
    const INTEGER: f64 = (1_u64 << 52) as f64;
    (f64::from(mass) * UNITS + INTEGER).to_bits() - INTEGER.to_bits()
}

/// Adjusted logits over the temperature.
struct Scale<'a> {
    logits: &'a [f32],
    token_flags: &'a [u32],
    row: &'a Row,
    scaled: &'a mut [f32],
}

impl Kernel for Scale<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Lanes>(self) {
        let row = *self.row;
        if row.filters & TOKEN_FLAGS == 0 {
            for (scaled, logit) in self.scaled.iter_mut().zip(self.logits) {
                *scaled = row.scaled(*logit);
            }
            return;
        }
        for ((scaled, logit), mark) in self.scaled.iter_mut().zip(self.logits).zip(self.token_flags) {
            *scaled = row.scaled(adjusted(&row, *logit, *mark));
        }
    }
}

/// `exp(scaled - most)`; 1 for the largest itself, infinite or not.
struct Masses<'a> {
    scaled: &'a [f32],
    most: f32,
    masses: &'a mut [f32],
}

impl Kernel for Masses<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Lanes>(self) {
        let most = V::splat(self.most);
        for (scaled, masses) in self.scaled.chunks(LANES).zip(self.masses.chunks_mut(LANES)) {
            exp(V::load_padded(scaled, 0.0).sub(most)).store_cut(masses);
        }
        if self.most.is_infinite() {
            for (scaled, mass) in self.scaled.iter().zip(self.masses) {
                *mass = if *scaled == self.most { 1.0 } else { 0.0 };
            }
        }
    }
}
