// A recurrent step with its input products: what its kernels bind, read and write; src/ops/decode.rs has the parameters.
// A geometry declares Units (f32, or vec4<f32> where an invocation computes four units at once), Gates (the Units of four
// gates) and `stride()`, the Units of a row [H]. A row whose input row lies in another part of the source is left to the dispatch of that part.

struct Params {
    rows: u32,
    inputs: u32,
    hidden: u32,
    x_row: u32,
    gather: u32,
    h_read_row: u32,
    h_write_row: u32,
    extra_row: u32,
    activation: u32,
    unit_first: u32,
    unit_len: u32,
    source_first: u32,
    source_len: u32,
    flags: u32,
}

@group(0) @binding(0) var<storage, read> source: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> ids: array<u32>;
@group(0) @binding(2) var<storage, read> w_ih: array<Stored>;
@group(0) @binding(3) var<storage, read> w_hh: array<Stored>;
@group(0) @binding(4) var<storage, read> b_ih: array<Units>;
@group(0) @binding(5) var<storage, read> b_hh: array<Units>;
@group(0) @binding(6) var<storage, read_write> h: array<vec4<f32>>;
@group(0) @binding(7) var<storage, read_write> extra: array<Units>;

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
const SUMS_INPUT: bool = true;

/// The start value of a gate's input sum.
fn input_start(row: u32, g: u32, at: u32) -> Units {
    return b_ih[g * stride() + at];
}

/// Numbers that a product sums over.
fn terms(side: u32) -> u32 {
    return select(params.hidden, params.inputs, side == INPUT);
}

/// Where a row of a product begins, in vec4s. Input rows of other shards read the shard's first row instead.
fn values_at(side: u32, row: u32) -> u32 {
    if side == INPUT {
        return select(source_row(row) - params.source_first, 0u, !writes(row)) * quads(params.inputs);
    }
    return (params.h_read_row + row) * quads(params.hidden);
}

fn values(side: u32, at: u32) -> vec4<f32> {
    if side == INPUT {
        return source[at];
    }
    return h[at];
}

fn weights(side: u32, at: u32) -> vec4<f32> {
    if side == INPUT {
        return load_weight(w_ih[at]);
    }
    return load_weight(w_hh[at]);
}

/// The row of the source that is a row's input.
fn source_row(row: u32) -> u32 {
    if params.gather == 1u {
        return ids[row];
    }
    return params.x_row + row;
}

/// Whether this dispatch writes a row: its input row lies in this part of the source.
fn writes(row: u32) -> bool {
    return row < params.rows && (params.gather == 0u || ids[row] - params.source_first < params.source_len);
}

fn extra_before(row: u32, at: u32) -> Units {
    return extra[(params.extra_row + row) * stride() + at];
}

/// Writes a row's `extra`; gates are not saved.
fn store_step(row: u32, at: u32, own: Gates, extra_new: Units) {
    if EXTRA_IS_STATE {
        extra[(params.extra_row + row) * stride() + at] = extra_new;
    }
}
