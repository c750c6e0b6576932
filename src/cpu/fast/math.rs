//! Exponential, sigmoid and hyperbolic tangent on vectors: finite or infinite in, never NaN out; NaN stays NaN.

use super::simd::Lanes;

/// 1.5 * 2^23: added to a number below 2^22, it leaves the nearest integer in the low bits.
const ROUND: f32 = 12_582_912.0;
/// The bias of an exponent.
const BIAS: f32 = 127.0;
const LOG2_E: f32 = std::f32::consts::LOG2_E;
/// ln 2 = HIGH - LOW; HIGH has ten bits, so n HIGH is exact.
const LN2_HIGH: f32 = 0.693_359_4;
const LN2_LOW: f32 = 2.121_944_4e-4;
/// q(r) = (e^r - 1 - r) / r^2 for |r| <= ln 2 / 2, the highest power first: a minimax fit, made for this file, that
/// leaves 1.4e-8 of e^r - 1.
const Q: [f32; 5] = [1.394_674_8e-3, 8.366_755e-3, 4.166_627_7e-2, 1.666_654_2e-1, 0.5];

/// `x = n ln 2 + r`: (n + BIAS + ROUND, n, e^r - 1), for |x| < 2^21.
#[inline(always)]
fn reduce<V: Lanes>(x: V) -> (V, V, V) {
    let shifted = x.mul_add(V::splat(LOG2_E), V::splat(ROUND + BIAS));
    let n = shifted.sub(V::splat(ROUND + BIAS));
    let r = n.mul_add(V::splat(-LN2_HIGH), x);
    let r = n.mul_add(V::splat(LN2_LOW), r);
    let mut q = V::splat(Q[0]);
    for c in &Q[1..] {
        q = q.mul_add(r, V::splat(*c));
    }
    (shifted, n, r.mul(r).mul_add(q, r))
}

/// e^x within 1.1 ulp, results below 2^-126 within the half unit of one more rounding.
#[inline(always)]
pub fn exp<V: Lanes>(x: V) -> V {
    // After these bounds the result is 0 or infinity anyhow.
    let x = V::splat(89.0).min(V::splat(-104.0).max(x));
    let (_, n, less_one) = reduce(x);
    // 2^n in two factors: n goes from -150 to 128, further than an exponent.
    let first = n.mul_add(V::splat(0.5), V::splat(ROUND + BIAS));
    let second = n.sub(first.sub(V::splat(ROUND + BIAS))).add(V::splat(ROUND + BIAS));
    let mantissa = less_one.add(V::splat(1.0));
    mantissa.mul(first.low_bits_as_exponent()).mul(second.low_bits_as_exponent())
}

/// 1 / (1 + e^-x).
#[inline(always)]
pub fn sigmoid<V: Lanes>(x: V) -> V {
    let one = V::splat(1.0);
    one.div(one.add(exp(V::splat(0.0).sub(x))))
}

/// tanh x = (e^2x - 1) / (e^2x + 1), by way of e^2x - 1, which keeps small x exact.
#[inline(always)]
pub fn tanh<V: Lanes>(x: V) -> V {
    // From 9.02 on the result is 1.
    let magnitude = V::splat(10.0).min(x.abs());
    let (shifted, _, less_one) = reduce(magnitude.add(magnitude));
    let scale = shifted.low_bits_as_exponent();
    let difference = less_one.mul_add(scale, scale.sub(V::splat(1.0)));
    difference.div(difference.add(V::splat(2.0))).with_sign_of(x)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::fast::simd::{Kernel, LANES, Level};

    /// exp, sigmoid and tanh of sixteen numbers.
    struct All([f32; LANES]);

    impl Kernel for All {
        type Output = [[f32; LANES]; 3];
        #[inline(always)]
        fn run<V: Lanes>(self) -> Self::Output {
            let x = V::load(&self.0);
            [exp(x), sigmoid(x), tanh(x)].map(V::to_array)
        }
    }

    /// Distance in units of the last place of the exact value.
    fn ulps(found: f32, exact: f64) -> f64 {
        let unit = (exact.abs() as f32).max(f32::MIN_POSITIVE);
        let unit = f64::from(f32::from_bits(unit.to_bits() + 1)) - f64::from(unit);
        if f64::from(found) == exact { 0.0 } else { (f64::from(found) - exact).abs() / unit }
    }

    #[test]
    fn close_to_the_exact_values_on_every_level() {
        let small = (0..40_000).map(|i| f32::from_bits(i * 53_687) % 105.0);
        let dense = (0..200_000).map(|i| i as f32 * 0.001 - 104.0);
        let numbers: Vec<f32> = small.flat_map(|x| [x, -x]).chain(dense).filter(|x| x.is_finite()).collect();
        for level in Level::all() {
            let mut worst = [0.0f64; 3];
            for x in numbers.chunks_exact(LANES) {
                let found = level.run(All(x.try_into().unwrap()));
                for (lane, x) in x.iter().map(|x| f64::from(*x)).enumerate() {
                    let exact = [x.exp(), 1.0 / (1.0 + (-x).exp()), x.tanh()];
                    for f in (0..3).filter(|f| exact[*f] < 3.4e38 && !(*f == 1 && x < -87.0)) {
                        worst[f] = worst[f].max(ulps(found[f][lane], exact[f]));
                    }
                }
            }
            assert!(worst[0] < 1.5 && worst[1] < 2.5 && worst[2] < 3.0, "{level:?}: {worst:?} ulp");
        }
    }

    #[test]
    fn limits() {
        let (max, inf) = (f32::MAX, f32::INFINITY);
        let x = [0.0, -0.0, 1e30, -1e30, inf, -inf, max, -max, 1e-40, -1e-40, f32::NAN, 88.0, -110.0, 1e4, -1e4, 9.1];
        for level in Level::all() {
            let [exp, sigmoid, tanh] = level.run(All(x));
            assert_eq!(exp[..10], [1.0, 1.0, inf, 0.0, inf, 0.0, inf, 0.0, 1.0, 1.0]);
            assert_eq!(sigmoid[..10], [0.5, 0.5, 1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 0.5, 0.5]);
            assert_eq!(tanh[..10], [0.0, -0.0, 1.0, -1.0, 1.0, -1.0, 1.0, -1.0, 1e-40, -1e-40]);
            assert!(exp[10].is_nan() && sigmoid[10].is_nan() && tanh[10].is_nan());
            assert_eq!(exp[12..15], [0.0, inf, 0.0]);
            assert_eq!(tanh[1].to_bits(), (-0.0f32).to_bits());
        }
    }
}
