// An LSTM step backwards. A workgroup computes 64 units of four rows; see backward_rows.
// import: index, math, lstm_backward, backward_rows

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    step_backward(group, lane);
}
