// The only sigmoid and tanh. Drivers may give NaN for the tanh or exp of large arguments: these do not, up to 1e30.

fn sigmoid(x: f32) -> f32 {
    return 1.0 / (1.0 + exp(-clamp(x, -80.0, 80.0)));
}

fn safe_tanh(x: f32) -> f32 {
    // Small arguments by the series, so that they keep their relative precision.
    let s = x * x;
    let series = x * fma(s, fma(s, fma(s, fma(s, 0.021869488, -0.053968254), 0.13333334), -0.33333334), 1.0);
    let e = exp(-2.0 * min(abs(x), 20.0));
    let large = sign(x) * ((1.0 - e) / (1.0 + e));
    return select(large, series, abs(x) < 0.25);
}

fn sigmoid4(x: vec4<f32>) -> vec4<f32> {
    return vec4(sigmoid(x.x), sigmoid(x.y), sigmoid(x.z), sigmoid(x.w));
}

fn safe_tanh4(x: vec4<f32>) -> vec4<f32> {
    return vec4(safe_tanh(x.x), safe_tanh(x.y), safe_tanh(x.z), safe_tanh(x.w));
}
