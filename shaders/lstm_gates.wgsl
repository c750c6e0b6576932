// One step of an LSTM layer from its two products; an invocation computes one unit of one row.

struct Params {
    rows: u32,
    hidden: u32,
    gx_row: u32,
    c_row: u32,
    h_write_row: u32,
    gate: u32,
    cell: u32,
    output: u32,
    peepholes: u32,
}

@group(0) @binding(0) var<storage, read> gx: array<f32>;
@group(0) @binding(1) var<storage, read> u: array<f32>;
@group(0) @binding(2) var<storage, read> p: array<f32>;
@group(0) @binding(3) var<storage, read_write> c: array<f32>;
@group(0) @binding(4) var<storage, read_write> h: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let id = fold(group) * 64u + lane;
    let row = id / params.hidden;
    let unit = id % params.hidden;
    if row >= params.rows {
        return;
    }
    let stride = quads(params.hidden) * 4u;
    let x_at = (params.gx_row + row) * 4u * stride + unit;
    let u_at = row * 4u * stride + unit;
    var peep = vec3(0.0);
    if params.peepholes == 1u {
        peep = vec3(p[unit], p[stride + unit], p[2u * stride + unit]);
    }
    let at = (params.c_row + row) * stride + unit;
    let before = c[at];
    let i = activate(params.gate, fma(peep.x, before, gx[x_at] + u[u_at]));
    let f = activate(params.gate, fma(peep.y, before, gx[x_at + stride] + u[u_at + stride]));
    let g = activate(params.cell, gx[x_at + 2u * stride] + u[u_at + 2u * stride]);
    let after = fma(f, before, i * g);
    let o = activate(params.gate, fma(peep.z, after, gx[x_at + 3u * stride] + u[u_at + 3u * stride]));
    c[at] = after;
    h[(params.h_write_row + row) * stride + unit] = o * activate(params.output, after);
}
