// The end of a GRU step, in the kernels whose invocations compute a quad of units.
// import: gru_step, gru_quads

/// Writes h' of a row from its pre-activations and, where they are wanted, the activated gates over the input product
/// and the recurrent part of n.
fn finish_row(row: u32, first: u32, before: QuadGates, n_input: vec4<f32>) {
    if !writes(row) {
        return;
    }
    let cell = new_state(before, n_input, row, first);
    if params.keep_gates == 1u {
        let depth = quads(params.hidden);
        let quad = (params.unit_first + first) / 4u;
        let at = (params.gx_row + row) * 3u * depth + quad;
        let is_live = live(first, params.unit_len);
        gates[at] = select(vec4(0.0), cell.r, is_live);
        gates[at + depth] = select(vec4(0.0), cell.z, is_live);
        gates[at + 2u * depth] = select(vec4(0.0), cell.n, is_live);
        candidate[(params.gx_row + row) * depth + quad] = select(vec4(0.0), before.n, is_live);
    }
    write_state(cell.h, row, first);
}
