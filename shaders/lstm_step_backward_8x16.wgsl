// An LSTM step backwards: an invocation computes sixteen units of eight rows; see backward_tile.
// import: index, math, lstm_backward, backward_tile

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

@compute @workgroup_size(8)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let quad = (group.x * 8u + lane) * 4u;
    if quad < quads(params.hidden) {
        step_backward(group.y * 8u, quad);
    }
}
