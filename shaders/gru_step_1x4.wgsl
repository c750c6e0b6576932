// One GRU step whose input product is there, in registers alone: an invocation computes a quad of units of one row.
// import: index, math, product, gru_row

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

@group(0) @binding(0) var<storage, read_write> gates: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> w_hh: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> b_hh: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> h: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> candidate: array<vec4<f32>>;

/// Writes h' of a row from its pre-activations and, where they are wanted, the activated gates over the input product
/// and the recurrent part of n.
fn finish_row(row: u32, first: u32, before: QuadGates, n_input: vec4<f32>) {
    if row >= params.rows {
        return;
    }
    let cell = new_state(before, n_input, row, first);
    if params.keep_gates == 1u {
        let depth = quads(params.hidden);
        let quad = (params.unit_first + first) / 4u;
        let at = (params.gx_row + row) * 3u * depth + quad;
        let is_live = live(first, params.unit_len);
        gates[at] = select(vec4(0.0), cell.r, is_live);
        gates[at + depth] = select(vec4(0.0), cell.z, is_live);
        gates[at + 2u * depth] = select(vec4(0.0), cell.n, is_live);
        candidate[(params.gx_row + row) * depth + quad] = select(vec4(0.0), before.n, is_live);
    }
    write_state(cell.h, row, first);
}

@compute @workgroup_size(8)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let first = (group.x * 8u + lane) * 4u;
    let row = group.y;
    if first >= params.unit_len {
        return;
    }
    let depth = quads(params.hidden);
    let quad = (params.unit_first + first) / 4u;
    let gx_at = (params.gx_row + row) * 3u * depth + quad;
    let start = QuadGates(gates[gx_at] + b_hh[quad], gates[gx_at + depth] + b_hh[depth + quad], b_hh[2u * depth + quad]);
    let h_at = (params.h_read_row + row) * depth;
    let own = add_recurrent(start, h_at, first);
    finish_row(row, first, own, gates[gx_at + 2u * depth]);
}
