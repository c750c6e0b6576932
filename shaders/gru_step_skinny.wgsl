// One GRU step for few rows, its input product there: a workgroup computes 16 units of one row in 16 slices.
// import: index, math, product, gru, slices, gru_slices, state_row

struct Params {
    rows: u32,
    hidden: u32,
    gx_row: u32,
    h_read_row: u32,
    h_write_row: u32,
    unit_first: u32,
    unit_len: u32,
    flags: u32,
}

@group(0) @binding(0) var<storage, read> gx: array<f32>;
@group(0) @binding(1) var<storage, read> w_hh: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> b_hh: array<f32>;
@group(0) @binding(3) var<storage, read_write> h: array<vec4<f32>>;

/// Whether this dispatch writes a row's state.
fn writes(row: u32) -> bool {
    return row < params.rows;
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let local = min(group.x * 16u + lane % 16u, params.unit_len - 1u);
    let stride = quads(params.hidden) * 4u;
    let at = (params.gx_row + group.y) * 3u * stride + params.unit_first + local;
    finish(vec3(gx[at], gx[at + stride], gx[at + 2u * stride]), group, local, lane);
}
