// An LSTM step backwards for few rows. A workgroup computes 32 units of one row; see backward_row.
// import: index, math, lstm_backward, backward_row

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    step_backward(group, lane);
}
