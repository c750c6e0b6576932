//! The filters' arithmetic on a logit, and the order in which they keep tokens. `shaders/lib/filters.wgsl` is the
//! counterpart.
//!
//! ```text
//! mark[n]     = times that token n occurred, in the prompt or drawn; bit 31: the token is banned
//! adjusted[n] = logit[n] repeated - presence - frequency count                where count > 0, else logit[n]
//!               repeated = 1/repetition for logit > 0, else repetition        (Keskar and others, 2019)
//!               -infinity where the token is banned
//! scaled[n]   = adjusted[n] / temperature
//! key[n]      = (scaled[n] as a word that orders like it, ~n)                 the larger key goes first
//! ```
//! All of this is f32 arithmetic, rounded after each product and each difference: equal bits everywhere. No device is
//! promised to divide exactly, nor to round once in a multiply-add, and two kernels need the same bits: `filter` finds
//! the limit that `sample` compares with. The key decides ties of `scaled` for the lower id.

use super::rows::Row;

/// The row keeps its `top_k` likeliest tokens.
pub const TOP_K: u32 = 1;
/// The row keeps the smallest set of likeliest tokens that has mass `top_p`.
pub const TOP_P: u32 = 2;
/// The row keeps what is as likely as `min_p` times the likeliest.
pub const MIN_P: u32 = 4;
/// The filters that end in a limit of keys.
pub const LIMITS: u32 = TOP_K | TOP_P | MIN_P;
/// The row reads its token flags: it has penalties or bans.
pub const TOKEN_FLAGS: u32 = 8;
/// The mark of a banned token.
pub const BANNED: u32 = 1 << 31;

/// The penalised logit of a token.
#[inline(always)]
pub fn adjusted(row: &Row, logit: f32, mark: u32) -> f32 {
    let count = mark & !BANNED;
    if mark & BANNED != 0 {
        return f32::NEG_INFINITY;
    }
    if count == 0 {
        return logit;
    }
    let repeated = if logit > 0.0 { row.inverse_repetition } else { row.repetition };
    logit * repeated - row.presence - row.frequency * count as f32
}

/// A float as a word that orders like it; both zeros are one.
#[inline(always)]
pub fn ordered(x: f32) -> u32 {
    let bits = if x == 0.0 { 0 } else { x.to_bits() };
    if bits >> 31 == 0 { bits | 1 << 31 } else { !bits }
}

/// The float of an ordered word.
#[inline(always)]
pub fn unordered(word: u32) -> f32 {
    f32::from_bits(if word >> 31 == 1 { word & !(1 << 31) } else { !word })
}

/// The place of a token among all of its row: the larger key is kept first.
#[inline(always)]
pub fn key(scaled: f32, id: u32) -> u64 {
    u64::from(ordered(scaled)) << 32 | u64::from(!id)
}

impl Row {
    /// Whether this step needs a limit of keys for the row.
    pub fn is_limited(&self) -> bool {
        self.running == 1 && !self.is_forced() && self.filters & LIMITS != 0
    }

    /// The row's limit as a key.
    pub fn limit_key(&self) -> u64 {
        u64::from(self.limit[1]) << 32 | u64::from(self.limit[0])
    }

    /// `adjusted / temperature` of a token; a greedy row's are not scaled.
    #[inline(always)]
    pub fn scaled(&self, adjusted: f32) -> f32 {
        if self.inverse_temperature == 0.0 { adjusted } else { adjusted * self.inverse_temperature }
    }

    /// The adjusted logit of a token that the filters keep; minus infinity of others.
    #[inline(always)]
    pub fn kept(&self, logit: f32, mark: u32, id: u32) -> f32 {
        let adjusted = if self.filters & TOKEN_FLAGS != 0 { adjusted(self, logit, mark) } else { logit };
        let passes = self.filters & LIMITS == 0 || key(self.scaled(adjusted), id) >= self.limit_key();
        if passes { adjusted } else { f32::NEG_INFINITY }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_order_like_floats() {
        let ascending = [f32::NEG_INFINITY, -1e30, -1.5, -1e-40, 0.0, 1e-40, 0.5, 2.0, f32::MAX, f32::INFINITY];
        assert!(ascending.windows(2).all(|pair| ordered(pair[0]) < ordered(pair[1])));
        assert!(ascending.iter().all(|x| unordered(ordered(*x)) == *x));
        assert_eq!(ordered(-0.0), ordered(0.0));
        assert!(key(1.0, 3) > key(1.0, 4) && key(1.0, 4) > key(0.9, 0));
    }

    #[test]
    fn penalties() {
        let row = Row { repetition: 2.0, inverse_repetition: 0.5, presence: 0.25, frequency: 0.5, ..Row::IDLE };
        assert_eq!([3.0, -3.0].map(|l| adjusted(&row, l, 0)), [3.0, -3.0]);
        assert_eq!([3.0, -3.0].map(|l| adjusted(&row, l, 2)), [0.25, -7.25]);
        assert_eq!(adjusted(&row, 3.0, BANNED | 2), f32::NEG_INFINITY);
    }
}
