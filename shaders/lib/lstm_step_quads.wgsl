// The end of an LSTM step, in the kernels whose invocations compute a quad of units.
// import: lstm_step, lstm_quads

/// Writes a row's states from its pre-activations and, where they are wanted, the activated gates over the input
/// product.
fn finish_row(row: u32, first: u32, before: QuadGates) {
    if !writes(row) {
        return;
    }
    let own = activated(before);
    if params.keep_gates == 1u {
        let depth = quads(params.hidden);
        let at = (params.gx_row + row) * 4u * depth + (params.unit_first + first) / 4u;
        let is_live = live(first, params.unit_len);
        gates[at] = select(vec4(0.0), own.i, is_live);
        gates[at + depth] = select(vec4(0.0), own.f, is_live);
        gates[at + 2u * depth] = select(vec4(0.0), own.g, is_live);
        gates[at + 3u * depth] = select(vec4(0.0), own.o, is_live);
    }
    write_states(own, row, first, params.c_read_row, params.c_write_row);
}
