// One GRU step with its input product, in registers alone: an invocation computes a quad of units of eight rows.
// Rows whose input row lies in another part of the source are computed and not written.
// import: index, math, product, decode_tile, gru_tile, gru_decode

/// The units of a row that an invocation computes.
alias Units = vec4<f32>;

/// b_ih + W_ih x for the input rows that start at x_at, in vec4s.
fn input_gates(x_at: Places, quad: u32, units: vec4<u32>) -> TileGates {
    let stride = quads(params.hidden);
    var gates = TileGates(same_rows(b_ih[quad]), same_rows(b_ih[stride + quad]), same_rows(b_ih[2u * stride + quad]));
    let depth = quads(params.inputs);
    let n = params.unit_len;
    for (var block = 0u; block < depth; block += BLOCK) {
        var s = TileGates();
        for (var k = block; k < min(block + BLOCK, depth); k++) {
            let x = inputs(x_at, k);
            let at = k * 3u * n + units;
            s.r = fma_tile(input_weights(at), x, s.r);
            s.z = fma_tile(input_weights(at + n), x, s.z);
            s.n = fma_tile(input_weights(at + 2u * n), x, s.n);
        }
        gates = plus_tiles(gates, s);
    }
    return gates;
}

fn finish_row(row: u32, first: u32, gates: QuadGates, n_input: vec4<f32>) {
    if writes(row) {
        write_state(new_state(gates, n_input, row, first).h, row, first);
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
    let depth = quads(params.hidden);
    let input = input_gates(inputs_at(rows), quad, units);
    let start = TileGates(
        plus_tile(input.r, same_rows(b_hh[quad])),
        plus_tile(input.z, same_rows(b_hh[depth + quad])),
        same_rows(b_hh[2u * depth + quad]),
    );
    let gates = add_recurrent(start, places(rows, params.h_read_row, depth), units);
    finish(gates, input.n, group.y * 8u, first);
}
