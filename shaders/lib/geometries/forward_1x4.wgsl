// A step of one row, in registers alone: an invocation computes a quad of units. The sum of a gate is a vec4 of the four
// units. Weights lie in panels (`Layout::K4Panels`): what the quads of a panel read at one k lies side by side.

alias Units = vec4<f32>;
alias Gates = mat4x4<f32>;
/// A column a gate.
alias Sums = mat4x4<f32>;

/// The rows and units of an invocation.
struct Place {
    row: u32,
    /// The quad's first unit, counted from the shard's first.
    first: u32,
    /// The quad in a row of all units.
    quad: u32,
}

/// Units of a panel.
const PANEL: u32 = 32u;

fn stride() -> u32 {
    return quads(params.hidden);
}

fn input_of(g: u32, p: Place) -> vec4<f32> {
    if g >= GATES { return vec4(0.0); }
    return input_start(p.row, g, p.quad);
}

/// The start value of a gate's recurrent sum.
fn start_of(g: u32, input: vec4<f32>, p: Place) -> vec4<f32> {
    if g >= GATES { return vec4(0.0); }
    let bias = b_hh[g * stride() + p.quad];
    if g == SPLIT_GATE { return bias; }
    return input + bias;
}

/// The sums and the product of one side, block after block.
fn add_product(side: u32, before: Sums, p: Place) -> Sums {
    var sums = before;
    let depth = quads(terms(side));
    let x = values_at(side, p.row);
    let panel = p.first / PANEL * PANEL;
    let width = min(PANEL, params.unit_len - panel);
    // Units past the last one repeat it.
    let first = panel * depth * GATES + min(p.first - panel + vec4(0u, 1u, 2u, 3u), vec4(width - 1u));
    for (var block = 0u; block < depth; block += BLOCK) {
        var s = Sums();
        for (var k = block; k < min(block + BLOCK, depth); k++) {
            let v = values(side, x + k);
            let at = first + k * GATES * width;
            s = Sums(
                term(side, 0u, at, v, s[0]),
                term(side, 1u, at + width, v, s[1]),
                term(side, 2u, at + 2u * width, v, s[2]),
                term(side, 3u, at + 3u * width, v, s[3]),
            );
        }
        sums += s;
    }
    return sums;
}

fn term(side: u32, g: u32, at: vec4<u32>, v: vec4<f32>, sum: vec4<f32>) -> vec4<f32> {
    if g >= GATES { return sum; }
    let w = mat4x4<f32>(weights(side, at.x), weights(side, at.y), weights(side, at.z), weights(side, at.w));
    return fma_quad(w, v, sum);
}

/// Of the state `extra`.
fn extra_of(p: Place) -> vec4<f32> {
    if !EXTRA_IS_STATE { return vec4(0.0); }
    return extra_before(p.row, p.quad);
}

@compute @workgroup_size(8)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let first = (group.x * 8u + lane) * 4u;
    let p = Place(group.y, first, (params.unit_first + first) / 4u);
    if first >= params.unit_len || !writes(p.row) {
        return;
    }
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
    let before = h[(params.h_read_row + p.row) * stride() + p.quad];
    let own = cell(add_product(STATE, start, p), input, before, extra_of(p));
    // Units past the last one become 0, the padding.
    let are_live = live(first, params.unit_len);
    store_step(p.row, p.quad, live_rows(own.gates, are_live), select(vec4(0.0), own.extra, are_live));
    h[(params.h_write_row + p.row) * stride() + p.quad] = select(vec4(0.0), own.h, are_live);
}
