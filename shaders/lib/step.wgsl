// A recurrent step whose input products are there: what its kernels bind, read and write; src/ops/step.rs has the
// parameters. A geometry declares Units (f32, or vec4<f32> where an invocation computes four units at once), Gates
// (the Units of four gates) and `stride()`, the Units of a row [H].

struct Params {
    rows: u32,
    hidden: u32,
    gx_row: u32,
    h_read_row: u32,
    h_write_row: u32,
    extra_read_row: u32,
    extra_write_row: u32,
    keep_gates: u32,
    activation: u32,
    unit_first: u32,
    unit_len: u32,
    flags: u32,
}

@group(0) @binding(0) var<storage, read_write> gates: array<Units>;
@group(0) @binding(1) var<storage, read> w_hh: array<Stored>;
@group(0) @binding(2) var<storage, read> b_hh: array<Units>;
@group(0) @binding(3) var<storage, read_write> h: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> extra: array<Units>;

/// A cell's results for four units or rows: the activated gates, h and `extra`.
struct CellStep {
    gates: mat4x4<f32>,
    h: vec4<f32>,
    extra: vec4<f32>,
}

/// The sides of a step, each a product: W_ih x and W_hh h.
const INPUT: u32 = 0u;
const STATE: u32 = 1u;
/// Whether the kernel sums the input products itself.
const SUMS_INPUT: bool = false;

/// The start value of a gate's input sum: here all of it.
fn input_start(row: u32, g: u32, at: u32) -> Units {
    return gates[((params.gx_row + row) * GATES + g) * stride() + at];
}

/// Numbers that a product sums over.
fn terms(side: u32) -> u32 {
    return params.hidden;
}

/// Where a row of a product begins, in vec4s.
fn values_at(side: u32, row: u32) -> u32 {
    return (params.h_read_row + row) * quads(params.hidden);
}

fn values(side: u32, at: u32) -> vec4<f32> {
    return h[at];
}

fn weights(side: u32, at: u32) -> vec4<f32> {
    return load_weight(w_hh[at]);
}

/// Whether this dispatch writes a row.
fn writes(row: u32) -> bool {
    return row < params.rows;
}

fn extra_before(row: u32, at: u32) -> Units {
    return extra[(params.extra_read_row + row) * stride() + at];
}

/// Writes a row's `extra`, and the activated gates over the input products, where they are saved.
fn store_step(row: u32, at: u32, own: Gates, extra_new: Units) {
    if params.keep_gates == 1u {
        let to = (params.gx_row + row) * GATES * stride() + at;
        gates[to] = own[0];
        if GATES > 1u { gates[to + stride()] = own[1]; }
        if GATES > 2u { gates[to + 2u * stride()] = own[2]; }
        if GATES > 3u { gates[to + 3u * stride()] = own[3]; }
    }
    if EXTRA_IS_STATE || (SPLIT_GATE < GATES && params.keep_gates == 1u) {
        extra[(params.extra_write_row + row) * stride() + at] = extra_new;
    }
}
