// GRU gates: from the pre-activations of r and z, both parts of n, and the state to the new state.

/// For four rows at once.
fn gru_cell(r: vec4<f32>, z: vec4<f32>, n_input: vec4<f32>, n_recurrent: vec4<f32>, h: vec4<f32>) -> vec4<f32> {
    let n = safe_tanh4(fma(sigmoid4(r), n_recurrent, n_input));
    let keep = sigmoid4(z);
    return fma(keep, h, (1.0 - keep) * n);
}
