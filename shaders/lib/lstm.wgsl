// An LSTM cell: from the activated gates i f g o and the cell state to the new states.

struct LstmState {
    c: vec4<f32>,
    h: vec4<f32>,
}

/// For four rows at once.
fn lstm_cell(i: vec4<f32>, f: vec4<f32>, g: vec4<f32>, o: vec4<f32>, c: vec4<f32>) -> LstmState {
    let c_new = fma(f, c, i * g);
    return LstmState(c_new, o * safe_tanh4(c_new));
}
