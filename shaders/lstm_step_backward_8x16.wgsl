// An LSTM step backwards: an invocation computes sixteen units of eight rows; see backward_tile.
// import: index, math, lstm_backward, backward_tile

@compute @workgroup_size(8)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let quad = (group.x * 8u + lane) * 4u;
    if quad < quads(params.hidden) {
        step_backward(group.y * 8u, quad);
    }
}
