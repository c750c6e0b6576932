// What the kernels of lstm_step bind; src/ops/lstm_step.rs has the equations. The kernel declares `Units`: f32, or
// vec4<f32> where an invocation computes quads of units.

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

@group(0) @binding(0) var<storage, read_write> gates: array<Units>;
@group(0) @binding(1) var<storage, read> w_hh: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> b_hh: array<Units>;
@group(0) @binding(3) var<storage, read_write> h: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> c: array<Units>;

/// Whether this dispatch writes a row's state.
fn writes(row: u32) -> bool {
    return row < params.rows;
}
