// One GRU step for few rows, its input product there: a workgroup computes 16 units of one row in 16 slices.
// import: index, math, product, gru, slices, gru_slices, state_row

struct Params {
    rows: u32,
    hidden: u32,
    gx_row: u32,
    h_read_row: u32,
    h_write_row: u32,
    keep_gates: u32,
    unit_first: u32,
    unit_len: u32,
    flags: u32,
}

@group(0) @binding(0) var<storage, read_write> gates: array<f32>;
@group(0) @binding(1) var<storage, read> w_hh: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> b_hh: array<f32>;
@group(0) @binding(3) var<storage, read_write> h: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> candidate: array<f32>;

/// Whether this dispatch writes a row's state.
fn writes(row: u32) -> bool {
    return row < params.rows;
}

/// Leaves the activated gates of one row and unit where their input product was, and the recurrent part of n.
fn keep(row: u32, unit: u32, rzn: vec3<f32>, recurrent: f32) {
    if row < params.rows {
        let stride = quads(params.hidden) * 4u;
        let at = (params.gx_row + row) * 3u * stride + unit;
        gates[at] = rzn.x;
        gates[at + stride] = rzn.y;
        gates[at + 2u * stride] = rzn.z;
        candidate[(params.gx_row + row) * stride + unit] = recurrent;
    }
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let local = min(group.x * 16u + lane % 16u, params.unit_len - 1u);
    let stride = quads(params.hidden) * 4u;
    let at = (params.gx_row + group.y) * 3u * stride + params.unit_first + local;
    let input = vec3(gates[at], gates[at + stride], gates[at + 2u * stride]);
    let state = new_state(input, group, local, lane);
    let live = group.x * 16u + lane % 16u < params.unit_len;
    if params.keep_gates == 1u && live && lane < 16u {
        keep(group.y, params.unit_first + local, vec3(state.r, state.z, state.n), state.candidate);
    }
    store_h(group, lane, select(0.0, state.h, live));
}
