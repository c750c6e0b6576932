// A GRU cell: from the pre-activations of r and z, both parts of n, and the state to the gates and the new state.

struct GruCell {
    r: vec4<f32>,
    z: vec4<f32>,
    n: vec4<f32>,
    h: vec4<f32>,
}

/// For four rows at once.
fn gru_cell(r: vec4<f32>, z: vec4<f32>, n_input: vec4<f32>, n_recurrent: vec4<f32>, h: vec4<f32>) -> GruCell {
    let reset = sigmoid4(r);
    let n = safe_tanh4(fma(reset, n_recurrent, n_input));
    let keep = sigmoid4(z);
    return GruCell(reset, keep, n, fma(keep, h, (1.0 - keep) * n));
}
