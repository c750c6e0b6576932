// One LSTM step for few rows, its input product there: a workgroup computes 16 units of one row in 16 slices.
// import: index, math, product, lstm, slices, lstm_slices, state_row

struct Params {
    rows: u32,
    hidden: u32,
    gx_row: u32,
    h_read_row: u32,
    h_write_row: u32,
    c_read_row: u32,
    c_write_row: u32,
    keep_gates: u32,
    unit_first: u32,
    unit_len: u32,
    flags: u32,
}

@group(0) @binding(0) var<storage, read_write> gates: array<f32>;
@group(0) @binding(1) var<storage, read> w_hh: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> b_hh: array<f32>;
@group(0) @binding(3) var<storage, read_write> h: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> c: array<f32>;

/// Whether this dispatch writes a row's state.
fn writes(row: u32) -> bool {
    return row < params.rows;
}

/// Input product + b_hh of one gate.
fn gate(number: u32, row: u32, unit: u32) -> f32 {
    let stride = quads(params.hidden) * 4u;
    return gates[((params.gx_row + row) * 4u + number) * stride + unit] + b_hh[number * stride + unit];
}

/// Leaves the activated gates of one row and unit where their input product was.
fn keep(row: u32, unit: u32, ifgo: vec4<f32>) {
    if row < params.rows {
        let stride = quads(params.hidden) * 4u;
        let at = (params.gx_row + row) * 4u * stride + unit;
        gates[at] = ifgo.x;
        gates[at + stride] = ifgo.y;
        gates[at + 2u * stride] = ifgo.z;
        gates[at + 3u * stride] = ifgo.w;
    }
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let local = min(group.x * 16u + lane % 16u, params.unit_len - 1u);
    let unit = params.unit_first + local;
    let row = group.y;
    let input = vec4(gate(0u, row, unit), gate(1u, row, unit), gate(2u, row, unit), gate(3u, row, unit));
    let own = activated(add_recurrent(input, (params.h_read_row + row) * quads(params.hidden), local, lane));
    if params.keep_gates == 1u && lane < 16u && group.x * 16u + lane < params.unit_len {
        keep(row, unit, own);
    }
    finish(own, group, lane, params.c_read_row, params.c_write_row);
}
