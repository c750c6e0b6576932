// The recurrent products of a quad of units of one row. The kernel declares h and w_hh: array<vec4<f32>> and parameter
// hidden; w_hh lies in panels.
// import: recurrent, lstm_quads, panels

/// gates + W_hh h for the row of h that starts at h_at, in vec4s.
fn add_recurrent(before: QuadGates, h_at: u32, first: u32) -> QuadGates {
    var gates = before;
    let depth = quads(params.hidden);
    let width = panel_width(first);
    let w_at = panel_at(first, depth, 4u);
    for (var block = 0u; block < depth; block += BLOCK) {
        var s = QuadGates();
        for (var k = block; k < min(block + BLOCK, depth); k++) {
            let h4 = h[h_at + k];
            let at = w_at + k * 4u * width;
            s.i = fma_quad(recurrent_weights(at), h4, s.i);
            s.f = fma_quad(recurrent_weights(at + width), h4, s.f);
            s.g = fma_quad(recurrent_weights(at + 2u * width), h4, s.g);
            s.o = fma_quad(recurrent_weights(at + 3u * width), h4, s.o);
        }
        gates = plus_quads(gates, s);
    }
    return gates;
}
