// One LSTM step with its input product, in registers alone: an invocation computes a quad of units of eight rows.
// Rows whose input row lies in another part of the source are computed and not written.
// import: index, math, product, decode_tile, lstm_tile, lstm_decode

/// The units of a row that an invocation computes.
alias Units = vec4<f32>;

fn input_bias(quad: u32) -> TileGates {
    let depth = quads(params.hidden);
    return TileGates(
        same_rows(b_ih[quad]),
        same_rows(b_ih[depth + quad]),
        same_rows(b_ih[2u * depth + quad]),
        same_rows(b_ih[3u * depth + quad]),
    );
}

fn recurrent_bias(quad: u32) -> TileGates {
    let depth = quads(params.hidden);
    return TileGates(
        same_rows(b_hh[quad]),
        same_rows(b_hh[depth + quad]),
        same_rows(b_hh[2u * depth + quad]),
        same_rows(b_hh[3u * depth + quad]),
    );
}

/// gates + W_ih x for the input rows that start at x_at, in vec4s.
fn add_input(before: TileGates, x_at: Places, units: vec4<u32>) -> TileGates {
    var gates = before;
    let depth = quads(params.inputs);
    let n = params.unit_len;
    for (var block = 0u; block < depth; block += BLOCK) {
        var s = TileGates();
        for (var k = block; k < min(block + BLOCK, depth); k++) {
            let x = inputs(x_at, k);
            let at = k * 4u * n + units;
            s.i = fma_tile(input_weights(at), x, s.i);
            s.f = fma_tile(input_weights(at + n), x, s.f);
            s.g = fma_tile(input_weights(at + 2u * n), x, s.g);
            s.o = fma_tile(input_weights(at + 3u * n), x, s.o);
        }
        gates = plus_tiles(gates, s);
    }
    return gates;
}

fn finish_row(row: u32, first: u32, gates: QuadGates) {
    if writes(row) {
        write_states(activated(gates), row, first, params.c_row, params.c_row);
    }
}

@compute @workgroup_size(8)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let first = (group.x * 8u + lane) * 4u;
    if first >= params.unit_len {
        return;
    }
    let rows = tile_rows(group.y * 8u, params.rows);
    let units = quad_units(first, params.unit_len);
    let quad = (params.unit_first + first) / 4u;
    let input = plus_tiles(add_input(input_bias(quad), inputs_at(rows), units), recurrent_bias(quad));
    let gates = add_recurrent(input, places(rows, params.h_read_row, quads(params.hidden)), units);
    finish(gates, group.y * 8u, first);
}
