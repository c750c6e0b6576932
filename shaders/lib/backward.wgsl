// A recurrent step backward: what its kernels bind, read and write; src/ops/step_backward.rs has the parameters. A sum goes
// over gates g and units n of the later step's gradients times w_hh[g, n, j], row major, four j a vec4. In the order class
// `blocks64`: items of 64 n of one gate, each summed from zero with n ascending, are added block after block, within a
// block gate after gate: so shards of w_hh that end between blocks keep the order.

struct Params {
    rows: u32,
    hidden: u32,
    gates_row: u32,
    next_row: u32,
    before_row: u32,
    after_row: u32,
    extra_row: u32,
    dy_row: u32,
    activation: u32,
    n_first: u32,
    n_len: u32,
    flags: u32,
}

@group(0) @binding(0) var<storage, read_write> gates: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> w_hh: array<Stored>;
@group(0) @binding(2) var<storage, read> states: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> dy: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> extra: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> dh: array<vec4<f32>>;

/// A cell's results for four units: the gradients of the gates, of h on its way past them, and of `extra`.
struct CellStep {
    gates: mat4x4<f32>,
    h: vec4<f32>,
    extra: vec4<f32>,
}

/// Items of this part.
fn items() -> u32 {
    return (quads(params.n_len) + BLOCK - 1u) / BLOCK * GATES;
}

/// Rows n .. n + 3 of a gate of w_hh, four units each. Beyond the last row it is repeated: its factors are padding, zero.
fn w_rows(g: u32, n: u32, quad: u32) -> mat4x4<f32> {
    let depth = quads(params.hidden);
    let at = (g * params.n_len + n) * depth + quad;
    let step = min(vec4(0u, 1u, 2u, 3u), vec4(params.n_len - 1u - n)) * depth;
    return mat4x4<f32>(
        load_weight(w_hh[at]),
        load_weight(w_hh[at + step.y]),
        load_weight(w_hh[at + step.z]),
        load_weight(w_hh[at + step.w]),
    );
}

/// Where a gate of the later step's row begins for this part, in vec4s; the gradient of a split gate's recurrent sum is in
/// `extra`.
fn later_at(row: u32, g: u32) -> u32 {
    return select(row * GATES + g, row, g == SPLIT_GATE) * quads(params.hidden) + params.n_first / 4u;
}

fn later(g: u32, at: u32) -> vec4<f32> {
    if SPLIT_GATE < GATES && g == SPLIT_GATE {
        return extra[at];
    }
    return gates[at];
}

/// The start value of this shard's sum.
fn start_of(row: u32, quad: u32) -> vec4<f32> {
    let at = row * quads(params.hidden) + quad;
    if (params.flags & FIRST_PART) == 0u {
        return dh[at];
    }
    let from_above = dy[(params.dy_row + row) * quads(params.hidden) + quad];
    if BYPASSES_GATES {
        return from_above + dh[at];
    }
    return from_above;
}

fn kept(g: u32, at: u32) -> vec4<f32> {
    if g >= GATES { return vec4(0.0); }
    return gates[at + g * quads(params.hidden)];
}

/// Writes the sum, or after the last part what follows from it.
fn finish(row: u32, quad: u32, d: vec4<f32>) {
    let depth = quads(params.hidden);
    if (params.flags & LAST_PART) == 0u {
        dh[row * depth + quad] = d;
        return;
    }
    let at = (params.gates_row + row) * GATES * depth + quad;
    let extra_at = (params.extra_row + row) * depth + quad;
    let own = mat4x4<f32>(kept(0u, at), kept(1u, at), kept(2u, at), kept(3u, at));
    let before = states[(params.before_row + row) * depth + quad];
    let after = states[(params.after_row + row) * depth + quad];
    var extra_own = vec4(0.0);
    if EXTRA_IS_STATE || SPLIT_GATE < GATES {
        extra_own = extra[extra_at];
    }
    let found = cell_backward(d, own, before, after, extra_own);
    gates[at] = found.gates[0];
    if GATES > 1u { gates[at + depth] = found.gates[1]; }
    if GATES > 2u { gates[at + 2u * depth] = found.gates[2]; }
    if GATES > 3u { gates[at + 3u * depth] = found.gates[3]; }
    if EXTRA_IS_STATE || SPLIT_GATE < GATES {
        extra[extra_at] = found.extra;
    }
    dh[row * depth + quad] = found.h;
}
