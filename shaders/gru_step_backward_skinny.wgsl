// A GRU step backwards for few rows. A workgroup computes 32 units of one row; see backward_row.
// import: index, gru_backward, backward_row

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let quad = group.x * 8u + lane % 8u;
    let live = lane < 8u && quad < quads(params.hidden);
    var start = vec4(0.0);
    if live {
        start = start_of(group.y, quad);
    }
    let d = add_later(start, group, lane);
    if live {
        finish(group.y, quad, d);
    }
}
