// One LSTM step whose input product is there, in registers alone: an invocation computes a quad of units of one row.
// import: index, math, product, lstm_row

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

@group(0) @binding(0) var<storage, read_write> gates: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> w_hh: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> b_hh: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> h: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> c: array<vec4<f32>>;

/// Input product + b_hh of one gate.
fn gate(number: u32, row: u32, quad: u32) -> vec4<f32> {
    let depth = quads(params.hidden);
    return gates[((params.gx_row + row) * 4u + number) * depth + quad] + b_hh[number * depth + quad];
}

/// Writes a row's states from its pre-activations and, where they are wanted, the activated gates over the input product.
fn finish_row(row: u32, first: u32, before: QuadGates) {
    if row >= params.rows {
        return;
    }
    let own = activated(before);
    if params.keep_gates == 1u {
        let depth = quads(params.hidden);
        let at = (params.gx_row + row) * 4u * depth + (params.unit_first + first) / 4u;
        let is_live = live(first, params.unit_len);
        gates[at] = select(vec4(0.0), own.i, is_live);
        gates[at + depth] = select(vec4(0.0), own.f, is_live);
        gates[at + 2u * depth] = select(vec4(0.0), own.g, is_live);
        gates[at + 3u * depth] = select(vec4(0.0), own.o, is_live);
    }
    write_states(own, row, first, params.c_read_row, params.c_write_row);
}

@compute @workgroup_size(8)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let first = (group.x * 8u + lane) * 4u;
    let row = group.y;
    if first >= params.unit_len {
        return;
    }
    let quad = (params.unit_first + first) / 4u;
    let input = QuadGates(gate(0u, row, quad), gate(1u, row, quad), gate(2u, row, quad), gate(3u, row, quad));
    let h_at = (params.h_read_row + row) * quads(params.hidden);
    finish_row(row, first, add_recurrent(input, h_at, first));
}
