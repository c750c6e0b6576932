// Plain RNN: one sum a unit, state h; `params.activation` is its function, tanh or relu. src/ops/rnn.rs has the equations.

const GATES: u32 = 1u;
/// The gate whose input and recurrent sums stay apart: none.
const SPLIT_GATE: u32 = GATES;
/// There is no `extra`.
const EXTRA_IS_STATE: bool = false;
/// Whether a part of h's gradient passes by the gates.
const BYPASSES_GATES: bool = false;

/// Of src/ops/activation.rs.
const RELU: u32 = 3u;

/// A step of four units or rows from their sums.
fn cell(sums: mat4x4<f32>, input: mat4x4<f32>, h: vec4<f32>, extra: vec4<f32>) -> CellStep {
    let zero = vec4(0.0);
    var h_new = safe_tanh4(sums[0]);
    if params.activation == RELU {
        h_new = max(sums[0], zero);
    }
    return CellStep(mat4x4<f32>(h_new, zero, zero, zero), h_new, zero);
}

/// The step backward from d, the gradient of h; what was saved is h after the step.
fn cell_backward(d: vec4<f32>, kept: mat4x4<f32>, before: vec4<f32>, after: vec4<f32>, extra: vec4<f32>) -> CellStep {
    let zero = vec4(0.0);
    let h_new = kept[0];
    var slope = fma(-h_new, h_new, vec4(1.0));
    if params.activation == RELU {
        slope = select(zero, vec4(1.0), h_new > zero);
    }
    return CellStep(mat4x4<f32>(d * slope, zero, zero, zero), d, zero);
}
