// LSTM: gates i f g o, states h and c; `extra` is c. src/ops/lstm.rs has the equations.

const GATES: u32 = 4u;
/// The gate whose input and recurrent sums stay apart: none.
const SPLIT_GATE: u32 = GATES;
/// `extra` is a state; its gradient flows back beside that of h.
const EXTRA_IS_STATE: bool = true;
/// Whether a part of h's gradient passes by the gates.
const BYPASSES_GATES: bool = false;

/// A step of four units or rows from the sums of the gates.
fn cell(sums: mat4x4<f32>, input: mat4x4<f32>, h: vec4<f32>, c: vec4<f32>) -> CellStep {
    let i = sigmoid4(sums[0]);
    let f = sigmoid4(sums[1]);
    let g = safe_tanh4(sums[2]);
    let o = sigmoid4(sums[3]);
    let c_new = fma(f, c, i * g);
    return CellStep(mat4x4<f32>(i, f, g, o), o * safe_tanh4(c_new), c_new);
}

/// The step backward from d, the gradient of h. The states are c before and after the step, dc its gradient.
fn cell_backward(d: vec4<f32>, kept: mat4x4<f32>, before: vec4<f32>, after: vec4<f32>, dc: vec4<f32>) -> CellStep {
    let i = kept[0];
    let f = kept[1];
    let g = kept[2];
    let o = kept[3];
    let t = safe_tanh4(after);
    let total = fma(d * o, fma(-t, t, vec4(1.0)), dc);
    let di = total * g * (i * (1.0 - i));
    let df = total * before * (f * (1.0 - f));
    let dg = total * i * fma(-g, g, vec4(1.0));
    let d_o = d * t * (o * (1.0 - o));
    return CellStep(mat4x4<f32>(di, df, dg, d_o), d, total * f);
}
