// A running logsumexp: sum of exp(x - most) over what was seen, with the largest x.

struct Sum {
    most: f32,
    sum: f32,
}

/// Stands for minus infinity, so that no difference is NaN.
const LOWEST: f32 = -3.4e38;

fn sum_of_nothing() -> Sum {
    return Sum(LOWEST, 0.0);
}

fn add_term(s: Sum, x: f32) -> Sum {
    if x <= s.most {
        return Sum(s.most, s.sum + select(0.0, exp(x - s.most), x > LOWEST));
    }
    return Sum(x, fma(s.sum, exp(s.most - x), 1.0));
}

fn merge(a: Sum, b: Sum) -> Sum {
    let most = max(a.most, b.most);
    return Sum(most, fma(a.sum, exp(a.most - most), b.sum * exp(b.most - most)));
}

/// The logarithm of the sum; minus infinity, given as `nothing`, where all terms were.
fn log_of(s: Sum, nothing: f32) -> f32 {
    return select(s.most + log(s.sum), nothing, s.sum == 0.0);
}

/// Minus infinity, which WGSL has no constant for. `zero` is 0 but must not be a constant.
fn minus_infinity(zero: u32) -> f32 {
    return bitcast<f32>(0xff800000u | zero);
}
