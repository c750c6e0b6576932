// What the kernels of lstm_decode bind; src/ops/lstm_decode.rs has the equations. The kernel declares `Units`: f32, or
// vec4<f32> where an invocation computes quads of units.
// import: decode_source

struct Params {
    rows: u32,
    inputs: u32,
    hidden: u32,
    x_row: u32,
    gather: u32,
    h_read_row: u32,
    h_write_row: u32,
    c_row: u32,
    unit_first: u32,
    unit_len: u32,
    source_first: u32,
    source_len: u32,
    flags: u32,
}

@group(0) @binding(0) var<storage, read> source: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> ids: array<u32>;
@group(0) @binding(2) var<storage, read> w_ih: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> w_hh: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> b_ih: array<Units>;
@group(0) @binding(5) var<storage, read> b_hh: array<Units>;
@group(0) @binding(6) var<storage, read_write> h: array<vec4<f32>>;
@group(0) @binding(7) var<storage, read_write> c: array<Units>;
