// One LSTM step whose input product is there, in registers alone: an invocation computes a quad of units of eight rows.
// import: index, math, product, lstm_tile, lstm_step_quads

/// The units of a row that an invocation computes.
alias Units = vec4<f32>;

/// Input product + b_hh of one gate.
fn gate(number: u32, rows: Places, quad: u32) -> Tile {
    let depth = quads(params.hidden);
    let at = places(rows, params.gx_row, 4u * depth);
    let low = at.low + number * depth + quad;
    let high = at.high + number * depth + quad;
    let input = Tile(
        by_k(gates[low.x], gates[low.y], gates[low.z], gates[low.w]),
        by_k(gates[high.x], gates[high.y], gates[high.z], gates[high.w]),
    );
    return plus_tile(input, same_rows(b_hh[number * depth + quad]));
}

@compute @workgroup_size(8)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let first = (group.x * 8u + lane) * 4u;
    if first >= params.unit_len {
        return;
    }
    let rows = tile_rows(group.y * 8u, params.rows);
    let quad = (params.unit_first + first) / 4u;
    let input = TileGates(gate(0u, rows, quad), gate(1u, rows, quad), gate(2u, rows, quad), gate(3u, rows, quad));
    let h_at = places(rows, params.h_read_row, quads(params.hidden));
    finish(add_recurrent(input, h_at, quad_units(first, params.unit_len)), group.y * 8u, first);
}
