// GRU: gates r z n, state h; `extra` is q, the recurrent sum of n. src/ops/gru.rs has the equations.

const GATES: u32 = 3u;
/// The gate whose input and recurrent sums stay apart: n.
const SPLIT_GATE: u32 = 2u;
/// `extra` is saved for the backward pass alone; its gradient is that of the recurrent sum.
const EXTRA_IS_STATE: bool = false;
/// Whether a part of h's gradient passes by the gates.
const BYPASSES_GATES: bool = true;

/// A step of four units or rows from the sums of the gates; `input` has the input sum of n.
fn cell(sums: mat4x4<f32>, input: mat4x4<f32>, h: vec4<f32>, extra: vec4<f32>) -> CellStep {
    let r = sigmoid4(sums[0]);
    let n = safe_tanh4(fma(r, sums[2], input[2]));
    let z = sigmoid4(sums[1]);
    return CellStep(mat4x4<f32>(r, z, n, vec4(0.0)), fma(z, h, (1.0 - z) * n), sums[2]);
}

/// The step backward from d, the gradient of h. The states are h before and after the step.
fn cell_backward(d: vec4<f32>, kept: mat4x4<f32>, before: vec4<f32>, after: vec4<f32>, q: vec4<f32>) -> CellStep {
    let r = kept[0];
    let z = kept[1];
    let n = kept[2];
    let dn = d * (1.0 - z) * fma(-n, n, vec4(1.0));
    let dr = dn * q * (r * (1.0 - r));
    let dz = d * (before - n) * (z * (1.0 - z));
    return CellStep(mat4x4<f32>(dr, dz, dn, vec4(0.0)), d * z, dn * r);
}
