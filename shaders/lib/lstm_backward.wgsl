// What an LSTM's backward step is apart from the product, four units of a row at a time; src/ops/lstm_step_backward.rs
// has the equations.
// import: flags

struct Params {
    rows: u32,
    hidden: u32,
    gates_row: u32,
    next_row: u32,
    c_before_row: u32,
    c_after_row: u32,
    dy_row: u32,
    n_first: u32,
    n_len: u32,
    flags: u32,
}

@group(0) @binding(0) var<storage, read_write> gates: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> w_hh: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> c: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> dy: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> dc: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> dh: array<vec4<f32>>;

const GATES: u32 = 4u;

fn later_at(row: u32, g: u32) -> u32 {
    return (row * GATES + g) * quads(params.hidden) + params.n_first / 4u;
}

fn later(g: u32, at: u32) -> vec4<f32> {
    return gates[at];
}

/// What the sum of this part starts from.
fn start_of(row: u32, quad: u32) -> vec4<f32> {
    let depth = quads(params.hidden);
    if has(FIRST_PART) {
        return dy[(params.dy_row + row) * depth + quad];
    }
    return dh[row * depth + quad];
}

/// Writes dh, and after the last part what follows from it.
fn finish(row: u32, quad: u32, d: vec4<f32>) {
    let depth = quads(params.hidden);
    dh[row * depth + quad] = d;
    if !has(LAST_PART) {
        return;
    }
    let at = (params.gates_row + row) * GATES * depth + quad;
    let i = gates[at];
    let f = gates[at + depth];
    let g = gates[at + 2u * depth];
    let o = gates[at + 3u * depth];
    let t = safe_tanh4(c[(params.c_after_row + row) * depth + quad]);
    let before = c[(params.c_before_row + row) * depth + quad];
    let total = fma(d * o, fma(-t, t, vec4(1.0)), dc[row * depth + quad]);
    gates[at] = total * g * (i * (1.0 - i));
    gates[at + depth] = total * before * (f * (1.0 - f));
    gates[at + 2u * depth] = total * i * fma(-g, g, vec4(1.0));
    gates[at + 3u * depth] = d * t * (o * (1.0 - o));
    dc[row * depth + quad] = total * f;
}
