// The recurrent products of a quad of units of eight rows, and what follows from them. The kernel declares h and
// w_hh: array<vec4<f32>> and parameters hidden and unit_len, and `finish_row(row, first, gates, n_input)`.
// import: recurrent, gru_quads

struct TileGates {
    r: Tile,
    z: Tile,
    n: Tile,
}

fn plus_tiles(a: TileGates, b: TileGates) -> TileGates {
    return TileGates(plus_tile(a.r, b.r), plus_tile(a.z, b.z), plus_tile(a.n, b.n));
}

/// gates + W_hh h for the rows of h that start at h_at, in vec4s.
fn add_recurrent(before: TileGates, h_at: Places, units: vec4<u32>) -> TileGates {
    var gates = before;
    let depth = quads(params.hidden);
    let n = params.unit_len;
    for (var block = 0u; block < depth; block += BLOCK) {
        var s = TileGates();
        for (var k = block; k < min(block + BLOCK, depth); k++) {
            let x = states_before(h_at, k);
            let at = k * 3u * n + units;
            s.r = fma_tile(recurrent_weights(at), x, s.r);
            s.z = fma_tile(recurrent_weights(at + n), x, s.z);
            s.n = fma_tile(recurrent_weights(at + 2u * n), x, s.n);
        }
        gates = plus_tiles(gates, s);
    }
    return gates;
}

/// Ends the step for each of the tile's rows, a quad after the other.
fn finish(gates: TileGates, n_input: Tile, row: u32, first: u32) {
    let r = quads_of(gates.r);
    let z = quads_of(gates.z);
    let n = quads_of(gates.n);
    let x = quads_of(n_input);
    finish_row(row, first, QuadGates(r.low[0], z.low[0], n.low[0]), x.low[0]);
    finish_row(row + 1u, first, QuadGates(r.low[1], z.low[1], n.low[1]), x.low[1]);
    finish_row(row + 2u, first, QuadGates(r.low[2], z.low[2], n.low[2]), x.low[2]);
    finish_row(row + 3u, first, QuadGates(r.low[3], z.low[3], n.low[3]), x.low[3]);
    finish_row(row + 4u, first, QuadGates(r.high[0], z.high[0], n.high[0]), x.high[0]);
    finish_row(row + 5u, first, QuadGates(r.high[1], z.high[1], n.high[1]), x.high[1]);
    finish_row(row + 6u, first, QuadGates(r.high[2], z.high[2], n.high[2]), x.high[2]);
    finish_row(row + 7u, first, QuadGates(r.high[3], z.high[3], n.high[3]), x.high[3]);
}
