// A GRU step backwards. A workgroup computes 64 units of four rows; see backward_rows.
// import: index, gru_backward, backward_rows

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let row = group.y * 4u + lane / 16u;
    let quad = group.x * 16u + lane % 16u;
    let live = row < params.rows && quad < quads(params.hidden);
    var start = vec4(0.0);
    if live {
        start = start_of(row, quad);
    }
    let d = add_later(start, group, lane);
    if live {
        finish(row, quad, d);
    }
}
