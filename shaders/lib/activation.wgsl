// The functions around a cell's sums, by the words of src/ops/activation.rs. Imports math.

fn activate(kind: u32, x: f32) -> f32 {
    if kind == 1u { return sigmoid(x); }
    if kind == 2u { return safe_tanh(x); }
    if kind == 3u { return max(x, 0.0); }
    if kind == 4u { return clamp(fma(x, 0.2, 0.5), 0.0, 1.0); }
    if kind == 5u { return clamp(fma(x, 1.0 / 6.0, 0.5), 0.0, 1.0); }
    return x;
}
