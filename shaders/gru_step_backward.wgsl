// A GRU step backwards. A workgroup computes 64 units of four rows; see backward_rows.
// import: index, gru_backward, backward_rows

struct Params {
    rows: u32,
    hidden: u32,
    gates_row: u32,
    next_row: u32,
    h_before_row: u32,
    dy_row: u32,
    n_first: u32,
    n_len: u32,
    flags: u32,
}

@group(0) @binding(0) var<storage, read_write> gates: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> candidate: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> w_hh: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> h: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> dy: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> dh: array<vec4<f32>>;

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
