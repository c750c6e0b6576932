// The reset gate on the state, for the product that comes after it; an invocation computes one unit of one row.

struct Params {
    rows: u32,
    hidden: u32,
    gx_row: u32,
    h_read_row: u32,
    gate: u32,
}

@group(0) @binding(0) var<storage, read> gx: array<f32>;
@group(0) @binding(1) var<storage, read> u: array<f32>;
@group(0) @binding(2) var<storage, read> h: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = fold(group) * 64u + lane;
    let row = i / params.hidden;
    let unit = i % params.hidden;
    if row >= params.rows {
        return;
    }
    let stride = quads(params.hidden) * 4u;
    let r = activate(params.gate, gx[(params.gx_row + row) * 3u * stride + unit] + u[row * 3u * stride + unit]);
    y[row * stride + unit] = r * h[(params.h_read_row + row) * stride + unit];
}
