// A step of many rows, in registers alone: an invocation computes a quad of units of eight rows. The sum of a gate is a
// tile, so a weight that is loaded serves eight rows, and a value of a row four units.

alias Units = vec4<f32>;
alias Gates = mat4x4<f32>;

struct Sums {
    g0: Tile,
    g1: Tile,
    g2: Tile,
    g3: Tile,
}

/// The rows and units of an invocation.
struct Place {
    rows: Places,
    /// The quad's units, counted from the shard's first; those past the last one repeat it.
    units: vec4<u32>,
    /// The quad in a row of all units.
    quad: u32,
}

fn stride() -> u32 {
    return quads(params.hidden);
}

fn input_of(g: u32, p: Place) -> Tile {
    if g >= GATES { return Tile(); }
    return Tile(input_of_four(g, p.rows.low, p.quad), input_of_four(g, p.rows.high, p.quad));
}

fn input_of_four(g: u32, rows: vec4<u32>, quad: u32) -> mat4x4<f32> {
    let low = input_start(rows.x, g, quad);
    return by_k(low, input_start(rows.y, g, quad), input_start(rows.z, g, quad), input_start(rows.w, g, quad));
}

/// The start value of a gate's recurrent sum.
fn start_of(g: u32, input: Tile, p: Place) -> Tile {
    if g >= GATES { return Tile(); }
    let bias = same_rows(b_hh[g * stride() + p.quad]);
    if g == SPLIT_GATE { return bias; }
    return plus_tile(input, bias);
}

/// The sums and the product of one side, block after block.
fn add_product(side: u32, before: Sums, p: Place) -> Sums {
    var sums = before;
    let depth = quads(terms(side));
    let low = values_of_four(side, p.rows.low);
    let high = values_of_four(side, p.rows.high);
    for (var block = 0u; block < depth; block += BLOCK) {
        var s = Sums();
        for (var k = block; k < min(block + BLOCK, depth); k++) {
            let v = Tile(by_k_of_four(side, low + k), by_k_of_four(side, high + k));
            let at = k * GATES * params.unit_len + p.units;
            s = Sums(
                term(side, 0u, at, v, s.g0),
                term(side, 1u, at, v, s.g1),
                term(side, 2u, at, v, s.g2),
                term(side, 3u, at, v, s.g3),
            );
        }
        sums = Sums(
            plus_tile(sums.g0, s.g0),
            plus_tile(sums.g1, s.g1),
            plus_tile(sums.g2, s.g2),
            plus_tile(sums.g3, s.g3),
        );
    }
    return sums;
}

fn term(side: u32, g: u32, first: vec4<u32>, v: Tile, sum: Tile) -> Tile {
    if g >= GATES { return sum; }
    let at = first + g * params.unit_len;
    let w = mat4x4<f32>(weights(side, at.x), weights(side, at.y), weights(side, at.z), weights(side, at.w));
    return fma_tile(w, v, sum);
}

fn values_of_four(side: u32, rows: vec4<u32>) -> vec4<u32> {
    return vec4(values_at(side, rows.x), values_at(side, rows.y), values_at(side, rows.z), values_at(side, rows.w));
}

fn by_k_of_four(side: u32, at: vec4<u32>) -> mat4x4<f32> {
    return by_k(values(side, at.x), values(side, at.y), values(side, at.z), values(side, at.w));
}

@compute @workgroup_size(8)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let first = (group.x * 8u + lane) * 4u;
    if first >= params.unit_len {
        return;
    }
    let rows = tile_rows(group.y * 8u, params.rows);
    let p = Place(rows, quad_units(first, params.unit_len), (params.unit_first + first) / 4u);
    var input = Sums(input_of(0u, p), input_of(1u, p), input_of(2u, p), input_of(3u, p));
    if SUMS_INPUT {
        input = add_product(INPUT, input, p);
    }
    let start = Sums(
        start_of(0u, input.g0, p),
        start_of(1u, input.g1, p),
        start_of(2u, input.g2, p),
        start_of(3u, input.g3, p),
    );
    let sums = add_product(STATE, start, p);
    finish_four(group.y * 8u, first, p.quad, low_rows(sums), low_rows(input));
    finish_four(group.y * 8u + 4u, first, p.quad, high_rows(sums), high_rows(input));
}

/// Four rows of all gates: a matrix a gate, a column a row.
struct Four {
    g0: mat4x4<f32>,
    g1: mat4x4<f32>,
    g2: mat4x4<f32>,
    g3: mat4x4<f32>,
}

fn low_rows(s: Sums) -> Four {
    return Four(transpose(s.g0.low), transpose(s.g1.low), transpose(s.g2.low), transpose(s.g3.low));
}

fn high_rows(s: Sums) -> Four {
    return Four(transpose(s.g0.high), transpose(s.g1.high), transpose(s.g2.high), transpose(s.g3.high));
}

/// Ends the step for four rows, one after the other.
fn finish_four(row: u32, first: u32, quad: u32, s: Four, x: Four) {
    finish(row, first, quad, Gates(s.g0[0], s.g1[0], s.g2[0], s.g3[0]), Gates(x.g0[0], x.g1[0], x.g2[0], x.g3[0]));
    finish(row + 1u, first, quad, Gates(s.g0[1], s.g1[1], s.g2[1], s.g3[1]), Gates(x.g0[1], x.g1[1], x.g2[1], x.g3[1]));
    finish(row + 2u, first, quad, Gates(s.g0[2], s.g1[2], s.g2[2], s.g3[2]), Gates(x.g0[2], x.g1[2], x.g2[2], x.g3[2]));
    finish(row + 3u, first, quad, Gates(s.g0[3], s.g1[3], s.g2[3], s.g3[3]), Gates(x.g0[3], x.g1[3], x.g2[3], x.g3[3]));
}

fn finish(row: u32, first: u32, quad: u32, sums: Gates, input: Gates) {
    if !writes(row) {
        return;
    }
    var extra_now = vec4(0.0);
    if EXTRA_IS_STATE {
        extra_now = extra_before(row, quad);
    }
    let own = cell(sums, input, h[(params.h_read_row + row) * stride() + quad], extra_now);
    // Units past the last one become 0, the padding.
    let are_live = live(first, params.unit_len);
    store_step(row, quad, live_rows(own.gates, are_live), select(vec4(0.0), own.extra, are_live));
    h[(params.h_write_row + row) * stride() + quad] = select(vec4(0.0), own.h, are_live);
}
