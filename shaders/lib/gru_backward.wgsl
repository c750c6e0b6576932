// What a GRU's backward step is apart from the product, four units of a row at a time; src/ops/gru_step_backward.rs has
// the equations.
// import: flags

struct Params {
    rows: u32,
    hidden: u32,
    gates_row: u32,
    next_row: u32,
    h_before_row: u32,
    dy_row: u32,
    n_first: u32,
    n_len: u32,
    flags: u32,
}

@group(0) @binding(0) var<storage, read_write> gates: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> candidate: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> w_hh: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> h: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> dy: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> dh: array<vec4<f32>>;

const GATES: u32 = 3u;

/// r and z are rows of `gates`; the recurrent part of n is a row of `candidate`.
fn later_at(row: u32, g: u32) -> u32 {
    return select(row * GATES + g, row, g == 2u) * quads(params.hidden) + params.n_first / 4u;
}

fn later(g: u32, at: u32) -> vec4<f32> {
    if g == 2u {
        return candidate[at];
    }
    return gates[at];
}

/// What the sum of this part starts from.
fn start_of(row: u32, quad: u32) -> vec4<f32> {
    let depth = quads(params.hidden);
    let carried = dh[row * depth + quad];
    if has(FIRST_PART) {
        return dy[(params.dy_row + row) * depth + quad] + carried;
    }
    return carried;
}

/// Writes the sum, or after the last part what follows from it.
fn finish(row: u32, quad: u32, d: vec4<f32>) {
    let depth = quads(params.hidden);
    if !has(LAST_PART) {
        dh[row * depth + quad] = d;
        return;
    }
    let at = (params.gates_row + row) * GATES * depth + quad;
    let q_at = (params.gates_row + row) * depth + quad;
    let r = gates[at];
    let z = gates[at + depth];
    let n = gates[at + 2u * depth];
    let q = candidate[q_at];
    let before = h[(params.h_before_row + row) * depth + quad];
    let dn = d * (1.0 - z) * fma(-n, n, vec4(1.0));
    gates[at] = dn * q * (r * (1.0 - r));
    gates[at + depth] = d * (before - n) * (z * (1.0 - z));
    gates[at + 2u * depth] = dn;
    candidate[q_at] = dn * r;
    dh[row * depth + quad] = d * z;
}
