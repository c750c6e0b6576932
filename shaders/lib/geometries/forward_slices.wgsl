// A step of few rows: a workgroup computes 16 units of one row. Its 256 invocations are 16 slices: slice s sums block s of
// each round of 16 blocks, and the first slice adds the blocks' sums, block after block. The sum of a gate is a number.

alias Units = f32;
alias Gates = vec4<f32>;
/// A component a gate.
alias Sums = vec4<f32>;

/// The row and unit of an invocation.
struct Place {
    row: u32,
    /// The unit, counted from the shard's first. Units beyond the last one repeat it.
    local: u32,
    lane: u32,
}

/// Sums of blocks [slice][unit].
var<workgroup> block_sums: array<vec4<f32>, 256>;
/// h': two invocations must not write parts of one vec4.
var<workgroup> h_units: array<f32, 16>;

fn stride() -> u32 {
    return quads(params.hidden) * 4u;
}

fn input_of(g: u32, p: Place) -> f32 {
    if g >= GATES { return 0.0; }
    return input_start(p.row, g, params.unit_first + p.local);
}

/// The start value of a gate's recurrent sum.
fn start_of(g: u32, input: f32, p: Place) -> f32 {
    if g >= GATES { return 0.0; }
    let bias = b_hh[g * stride() + params.unit_first + p.local];
    if g == SPLIT_GATE { return bias; }
    return input + bias;
}

/// The sums and the product of one side, block after block; only the first slice's mean anything.
fn add_product(side: u32, before: Sums, p: Place) -> Sums {
    var sums = before;
    let depth = quads(terms(side));
    let blocks = (depth + BLOCK - 1u) / BLOCK;
    let x = values_at(side, p.row);
    for (var round = 0u; round < blocks; round += 16u) {
        let first = (round + p.lane / 16u) * BLOCK;
        var s = Sums();
        for (var k = first; k < min(first + BLOCK, depth); k++) {
            let v = values(side, x + k);
            let at = k * GATES * params.unit_len + p.local;
            s = Sums(
                term(side, 0u, at, v, s.x),
                term(side, 1u, at, v, s.y),
                term(side, 2u, at, v, s.z),
                term(side, 3u, at, v, s.w),
            );
        }
        block_sums[p.lane] = s;
        workgroupBarrier();
        if p.lane < 16u {
            for (var slice = 0u; slice < min(16u, blocks - round); slice++) {
                sums += block_sums[slice * 16u + p.lane];
            }
        }
        workgroupBarrier();
    }
    return sums;
}

fn term(side: u32, g: u32, at: u32, v: vec4<f32>, sum: f32) -> f32 {
    if g >= GATES { return sum; }
    return fma4(weights(side, at + g * params.unit_len), v, sum);
}

/// Of the state `extra`.
fn extra_of(p: Place) -> f32 {
    if !EXTRA_IS_STATE { return 0.0; }
    return extra_before(p.row, params.unit_first + p.local);
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let local = group.x * 16u + lane % 16u;
    let p = Place(group.y, min(local, params.unit_len - 1u), lane);
    let unit = params.unit_first + p.local;
    var input = Sums(input_of(0u, p), input_of(1u, p), input_of(2u, p), input_of(3u, p));
    if SUMS_INPUT {
        input = add_product(INPUT, input, p);
    }
    let start = Sums(
        start_of(0u, input.x, p),
        start_of(1u, input.y, p),
        start_of(2u, input.z, p),
        start_of(3u, input.w, p),
    );
    let sums = add_product(STATE, start, p);
    let before = component(h[(params.h_read_row + p.row) * quads(params.hidden) + unit / 4u], unit % 4u);
    // The cell takes four units; here all are the same one.
    let of_sums = mat4x4<f32>(vec4(sums.x), vec4(sums.y), vec4(sums.z), vec4(sums.w));
    let of_input = mat4x4<f32>(vec4(input.x), vec4(input.y), vec4(input.z), vec4(input.w));
    let own = cell(of_sums, of_input, vec4(before), vec4(extra_of(p)));
    let live = lane < 16u && local < params.unit_len;
    if live && writes(p.row) {
        store_step(p.row, unit, vec4(own.gates[0].x, own.gates[1].x, own.gates[2].x, own.gates[3].x), own.extra.x);
    }
    store_h(group, lane, select(0.0, own.h.x, live));
}

/// Writes h' of the workgroup; units beyond the last one give zeros, the padding of h.
fn store_h(group: vec3<u32>, lane: u32, h_new: f32) {
    if lane < 16u {
        h_units[lane] = h_new;
    }
    workgroupBarrier();
    let local = group.x * 16u + lane * 4u;
    if lane < 4u && local < params.unit_len && writes(group.y) {
        let at = lane * 4u;
        let four = vec4(h_units[at], h_units[at + 1u], h_units[at + 2u], h_units[at + 3u]);
        h[(params.h_write_row + group.y) * quads(params.hidden) + (params.unit_first + local) / 4u] = four;
    }
}
