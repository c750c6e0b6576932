// The recurrent products of a quad of units of one row. The kernel declares h and w_hh: array<vec4<f32>> and parameter
// hidden; w_hh lies in panels.
// import: recurrent, gru_quads, panels

/// gates + W_hh h for the row of h that starts at h_at, in vec4s.
fn add_recurrent(before: QuadGates, h_at: u32, first: u32) -> QuadGates {
    var gates = before;
    let depth = quads(params.hidden);
    let width = panel_width(first);
    let w_at = panel_at(first, depth, 3u);
    for (var block = 0u; block < depth; block += BLOCK) {
        var s = QuadGates();
        for (var k = block; k < min(block + BLOCK, depth); k++) {
            let h4 = h[h_at + k];
            let at = w_at + k * 3u * width;
            s.r = fma_quad(recurrent_weights(at), h4, s.r);
            s.z = fma_quad(recurrent_weights(at + width), h4, s.z);
            s.n = fma_quad(recurrent_weights(at + 2u * width), h4, s.n);
        }
        gates = plus_quads(gates, s);
    }
    return gates;
}
