// An LSTM step backwards for few rows. A workgroup computes 32 units of one row; see backward_row.
// import: index, math, lstm_backward, backward_row

struct Params {
    rows: u32,
    hidden: u32,
    gates_row: u32,
    next_row: u32,
    c_before_row: u32,
    c_after_row: u32,
    dy_row: u32,
    n_first: u32,
    n_len: u32,
    flags: u32,
}

@group(0) @binding(0) var<storage, read_write> gates: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> w_hh: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> c: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> dy: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> dc: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> dh: array<vec4<f32>>;

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
