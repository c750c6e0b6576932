//! The noise of sampling: Gumbel variates from Philox4x32-10, in integers only, so that WGSL and Rust agree bit
//! for bit on every device (`shaders/lib/noise.wgsl` is the counterpart).
//!
//! Gumbel-max: argmax over tokens of `logit / temperature + g`, with `g = -ln(-ln u)`, is a sample of the softmax.

use crate::plan::philox;

/// The high word of a product: what fixed-point fractions of 32 bits multiply with.
#[inline(always)]
const fn mul_hi(a: u32, b: u32) -> u32 {
    ((a as u64 * b as u64) >> 32) as u32
}

/// ln 2 in units of 2^-26.
const LN2_Q26: i32 = 46_516_320;
/// ln 2 in units of 2^-27.
const LN2_Q27: u32 = 93_032_640;

/// r(t) in units of 2^-32, where `-ln(1 - t/2) = t r(t)`, for t in `[0, 1]` in units of 2^-31.
///
/// A Chebyshev fit of degree 6, at most 7.7e-7 from r. Horner's rule; a product with t loses one bit, so it is
/// doubled. The two highest terms are negative together and are kept as their magnitude.
#[inline(always)]
fn log_fraction(t: u32) -> u32 {
    let magnitude = 0x026D_5B3C - 2 * mul_hi(0x01F0_670E, t);
    let r = 0x040B_532D - 2 * mul_hi(magnitude, t);
    let r = 0x0312_09AC + 2 * mul_hi(r, t);
    let r = 0x0AD4_454B + 2 * mul_hi(r, t);
    let r = 0x1FFD_561D + 2 * mul_hi(r, t);
    0x8000_06FE + 2 * mul_hi(r, t)
}

/// The Gumbel variate -ln(-ln u) for u = (bits + 1/2) / 2^32, a multiple of 2^-18: exact in f32.
///
/// The result lies in (-3.2, 22.9) and within 6e-6 of the exact logarithms. With X in [1/2, 1) and
/// t = 2 (1 - X), `-ln X` is `t r(t)`; where t is small its leading zeros are kept apart, so that the tail of
/// large variates keeps its precision.
#[inline(always)]
pub fn gumbel(bits: u32) -> f32 {
    // E = -ln u as `mantissa * 2^-exponent`, mantissa in [2^31, 2^32).
    let (mantissa, exponent) = if bits >= 0x8000_0000 {
        // u >= 1/2: X = u; t = 2 (1 - u) is `v` in units of 2^-32.
        let v = 2 * !bits + 1;
        let zeros = v.leading_zeros();
        let product = mul_hi(v << zeros, log_fraction(v >> 1));
        let more = product.leading_zeros();
        (product << more, 32 + zeros + more)
    } else {
        // u = X * 2^-halvings.
        let doubled = 2 * bits + 1;
        let zeros = doubled.leading_zeros();
        let t = (doubled << zeros).wrapping_neg();
        let fraction = mul_hi(t, log_fraction(t)); // units of 2^-31
        let e = (zeros + 1) * LN2_Q27 + (fraction >> 4);
        let more = e.leading_zeros();
        (e << more, 27 + more)
    };
    // -ln E, with X = mantissa / 2^32, in units of 2^-26.
    let t = mantissa.wrapping_neg();
    let fraction = mul_hi(t, log_fraction(t)) >> 5;
    let g = (exponent as i32 - 32) * LN2_Q26 + fraction as i32;
    ((g + 128) >> 8) as f32 * (1.0 / 262_144.0)
}

/// The noise of one token: keyed by seed, sequence number, position in the sequence and token.
#[inline(always)]
pub fn token_noise(seed: [u32; 2], sequence: [u32; 2], position: u32, token: u32) -> f32 {
    let block = philox([token / 4, position, sequence[0], sequence[1]], seed);
    gumbel(block[token as usize % 4])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gumbel_follows_the_logarithms() {
        let edges = [0, 1, 2, 0x7fff_ffff, 0x8000_0000, 0x8000_0001, u32::MAX - 1, u32::MAX];
        let spread = (0..200_000u32).map(|i| i.wrapping_mul(2_654_435_769));
        let tails = (0..32).flat_map(|s| [u32::MAX >> s, !(u32::MAX >> s), !(0x9e37_79b9 >> s)]);
        for bits in edges.into_iter().chain(spread).chain(tails) {
            let v = (8_589_934_592.0 - 2.0 * f64::from(bits) - 1.0) / 8_589_934_592.0; // 1 - u
            let exact = -(-(-v).ln_1p()).ln();
            assert!((f64::from(gumbel(bits)) - exact).abs() < 6e-6, "bits {bits:#x}");
        }
    }
}
