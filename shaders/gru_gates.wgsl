// One step of a GRU layer from its products; an invocation computes one unit of one row.

struct Params {
    rows: u32,
    hidden: u32,
    gx_row: u32,
    h_read_row: u32,
    h_write_row: u32,
    gate: u32,
    cell: u32,
    reset_before: u32,
}

@group(0) @binding(0) var<storage, read> gx: array<f32>;
@group(0) @binding(1) var<storage, read> u: array<f32>;
@group(0) @binding(2) var<storage, read> v: array<f32>;
@group(0) @binding(3) var<storage, read_write> h: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = fold(group) * 64u + lane;
    let row = i / params.hidden;
    let unit = i % params.hidden;
    if row >= params.rows {
        return;
    }
    let stride = quads(params.hidden) * 4u;
    let x_at = (params.gx_row + row) * 3u * stride + unit;
    let u_at = row * 3u * stride + unit;
    let z = activate(params.gate, gx[x_at + stride] + u[u_at + stride]);
    var recurrent = v[u_at + 2u * stride];
    if params.reset_before == 0u {
        recurrent = activate(params.gate, gx[x_at] + u[u_at]) * u[u_at + 2u * stride];
    }
    let n = activate(params.cell, gx[x_at + 2u * stride] + recurrent);
    let state = h[(params.h_read_row + row) * stride + unit];
    h[(params.h_write_row + row) * stride + unit] = fma(z, state, (1.0 - z) * n);
}
