// One LSTM step whose input product is there. A workgroup computes 64 units of four rows, an invocation one unit.
// import: index, math, product, lstm, lstm_recurrent, lstm_finish, state_rows

struct Params {
    rows: u32,
    hidden: u32,
    gx_row: u32,
    h_read_row: u32,
    h_write_row: u32,
    c_read_row: u32,
    c_write_row: u32,
    unit_first: u32,
    unit_len: u32,
    flags: u32,
}

@group(0) @binding(0) var<storage, read> gx: array<f32>;
@group(0) @binding(1) var<storage, read> w_hh: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> b_hh: array<f32>;
@group(0) @binding(3) var<storage, read_write> h: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> c: array<f32>;

/// Whether this dispatch writes a row's state.
fn writes(row: u32) -> bool {
    return row < params.rows;
}

/// gx + b_hh of one gate and four rows.
fn gate(number: u32, rows: vec4<u32>, unit: u32) -> vec4<f32> {
    let stride = quads(params.hidden) * 4u;
    let at = ((params.gx_row + rows) * 4u + number) * stride + unit;
    return vec4(gx[at.x], gx[at.y], gx[at.z], gx[at.w]) + b_hh[number * stride + unit];
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let live = group.x * 64u + lane < params.unit_len;
    // Lanes beyond the last unit repeat it; they take part in writing h.
    let local = min(group.x * 64u + lane, params.unit_len - 1u);
    let unit = params.unit_first + local;
    let rows = own_rows(group);
    let input = Gates(gate(0u, rows, unit), gate(1u, rows, unit), gate(2u, rows, unit), gate(3u, rows, unit));
    let gates = add_recurrent(input, (params.h_read_row + rows) * quads(params.hidden), local);
    finish(gates, group, lane, live, params.c_read_row, params.c_write_row);
}
