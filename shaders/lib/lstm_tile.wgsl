// The recurrent products of a quad of units of eight rows, and what follows from them. The kernel declares h and
// w_hh: array<vec4<f32>> and parameters hidden and unit_len, and `finish_row(row, first, gates)`.
// import: recurrent, lstm_quads

struct TileGates {
    i: Tile,
    f: Tile,
    g: Tile,
    o: Tile,
}

fn plus_tiles(a: TileGates, b: TileGates) -> TileGates {
    return TileGates(plus_tile(a.i, b.i), plus_tile(a.f, b.f), plus_tile(a.g, b.g), plus_tile(a.o, b.o));
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
            let at = k * 4u * n + units;
            s.i = fma_tile(recurrent_weights(at), x, s.i);
            s.f = fma_tile(recurrent_weights(at + n), x, s.f);
            s.g = fma_tile(recurrent_weights(at + 2u * n), x, s.g);
            s.o = fma_tile(recurrent_weights(at + 3u * n), x, s.o);
        }
        gates = plus_tiles(gates, s);
    }
    return gates;
}

/// Ends the step for each of the tile's rows, a quad after the other.
fn finish(gates: TileGates, row: u32, first: u32) {
    let i = quads_of(gates.i);
    let f = quads_of(gates.f);
    let g = quads_of(gates.g);
    let o = quads_of(gates.o);
    finish_row(row, first, QuadGates(i.low[0], f.low[0], g.low[0], o.low[0]));
    finish_row(row + 1u, first, QuadGates(i.low[1], f.low[1], g.low[1], o.low[1]));
    finish_row(row + 2u, first, QuadGates(i.low[2], f.low[2], g.low[2], o.low[2]));
    finish_row(row + 3u, first, QuadGates(i.low[3], f.low[3], g.low[3], o.low[3]));
    finish_row(row + 4u, first, QuadGates(i.high[0], f.high[0], g.high[0], o.high[0]));
    finish_row(row + 5u, first, QuadGates(i.high[1], f.high[1], g.high[1], o.high[1]));
    finish_row(row + 6u, first, QuadGates(i.high[2], f.high[2], g.high[2], o.high[2]));
    finish_row(row + 7u, first, QuadGates(i.high[3], f.high[3], g.high[3], o.high[3]));
}
