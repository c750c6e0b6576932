// A step of many rows: a workgroup computes 64 units of four rows, an invocation one unit. The sum of a gate is a vec4 of
// the four rows.

alias Units = f32;
alias Gates = vec4<f32>;
/// A column a gate.
alias Sums = mat4x4<f32>;

/// The rows and units of an invocation.
struct Place {
    /// Rows beyond the last one repeat it.
    rows: vec4<u32>,
    /// The unit, counted from the shard's first.
    local: u32,
}

/// h' [row][unit]: two invocations must not write parts of one vec4.
var<workgroup> h_tile: array<f32, 256>;

fn stride() -> u32 {
    return quads(params.hidden) * 4u;
}

fn input_of(g: u32, p: Place) -> vec4<f32> {
    if g >= GATES { return vec4(0.0); }
    let at = params.unit_first + p.local;
    let low = vec2(input_start(p.rows.x, g, at), input_start(p.rows.y, g, at));
    return vec4(low, input_start(p.rows.z, g, at), input_start(p.rows.w, g, at));
}

/// The start value of a gate's recurrent sum.
fn start_of(g: u32, input: vec4<f32>, p: Place) -> vec4<f32> {
    if g >= GATES { return vec4(0.0); }
    let bias = b_hh[g * stride() + params.unit_first + p.local];
    if g == SPLIT_GATE { return vec4(bias); }
    return input + bias;
}

/// The sums and the product of one side, block after block.
fn add_product(side: u32, before: Sums, p: Place) -> Sums {
    var sums = before;
    let depth = quads(terms(side));
    let x = values_at(side, p.rows.x);
    let y = values_at(side, p.rows.y);
    let z = values_at(side, p.rows.z);
    let w = values_at(side, p.rows.w);
    for (var block = 0u; block < depth; block += BLOCK) {
        var s = Sums();
        for (var k = block; k < min(block + BLOCK, depth); k++) {
            let v = by_k(values(side, x + k), values(side, y + k), values(side, z + k), values(side, w + k));
            let at = k * GATES * params.unit_len + p.local;
            s = Sums(
                term(side, 0u, at, v, s[0]),
                term(side, 1u, at, v, s[1]),
                term(side, 2u, at, v, s[2]),
                term(side, 3u, at, v, s[3]),
            );
        }
        sums += s;
    }
    return sums;
}

fn term(side: u32, g: u32, at: u32, v: mat4x4<f32>, sum: vec4<f32>) -> vec4<f32> {
    if g >= GATES { return sum; }
    return fma4_rows(weights(side, at + g * params.unit_len), v, sum);
}

fn h_before(row: u32, unit: u32) -> f32 {
    return component(h[(params.h_read_row + row) * quads(params.hidden) + unit / 4u], unit % 4u);
}

/// Of the state `extra`, four rows.
fn extra_of(p: Place) -> vec4<f32> {
    if !EXTRA_IS_STATE { return vec4(0.0); }
    let at = params.unit_first + p.local;
    let low = vec2(extra_before(p.rows.x, at), extra_before(p.rows.y, at));
    return vec4(low, extra_before(p.rows.z, at), extra_before(p.rows.w, at));
}

fn store_row(row: u32, unit: u32, gates: vec4<f32>, extra: f32) {
    if writes(row) {
        store_step(row, unit, gates, extra);
    }
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let live = group.x * 64u + lane < params.unit_len;
    let row = group.y * 4u;
    let rows = min(vec4(row) + vec4(0u, 1u, 2u, 3u), vec4(params.rows - 1u));
    // Lanes beyond the last unit repeat it; they take part in writing h.
    let p = Place(rows, min(group.x * 64u + lane, params.unit_len - 1u));
    let unit = params.unit_first + p.local;
    var input = Sums(input_of(0u, p), input_of(1u, p), input_of(2u, p), input_of(3u, p));
    if SUMS_INPUT {
        input = add_product(INPUT, input, p);
    }
    let start = Sums(
        start_of(0u, input[0], p),
        start_of(1u, input[1], p),
        start_of(2u, input[2], p),
        start_of(3u, input[3], p),
    );
    let before = vec4(h_before(rows.x, unit), h_before(rows.y, unit), h_before(rows.z, unit), h_before(rows.w, unit));
    let own = cell(add_product(STATE, start, p), input, before, extra_of(p));
    if live {
        let by_row = transpose(own.gates);
        store_row(row, unit, by_row[0], own.extra.x);
        store_row(row + 1u, unit, by_row[1], own.extra.y);
        store_row(row + 2u, unit, by_row[2], own.extra.z);
        store_row(row + 3u, unit, by_row[3], own.extra.w);
    }
    store_h(group, lane, select(vec4(0.0), own.h, live));
}

/// Writes h' of the workgroup; lanes beyond the last unit give zeros, the padding of h.
fn store_h(group: vec3<u32>, lane: u32, h_new: vec4<f32>) {
    h_tile[lane] = h_new.x;
    h_tile[64u + lane] = h_new.y;
    h_tile[128u + lane] = h_new.z;
    h_tile[192u + lane] = h_new.w;
    workgroupBarrier();
    let row = group.y * 4u + lane / 16u;
    let local = group.x * 64u + lane % 16u * 4u;
    if local < params.unit_len && writes(row) {
        let at = lane / 16u * 64u + lane % 16u * 4u;
        let four = vec4(h_tile[at], h_tile[at + 1u], h_tile[at + 2u], h_tile[at + 3u]);
        h[(params.h_write_row + row) * quads(params.hidden) + (params.unit_first + local) / 4u] = four;
    }
}
