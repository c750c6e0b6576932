// What recurrent products in registers read. The kernel declares h and w_hh: array<vec4<f32>>.
// import: tile

/// Four k of a quad's units of one gate.
fn recurrent_weights(at: vec4<u32>) -> mat4x4<f32> {
    return mat4x4<f32>(w_hh[at.x], w_hh[at.y], w_hh[at.z], w_hh[at.w]);
}

/// Four k of eight rows of h.
fn states_before(at: Places, k: u32) -> Tile {
    return Tile(
        by_k(h[at.low.x + k], h[at.low.y + k], h[at.low.z + k], h[at.low.w + k]),
        by_k(h[at.high.x + k], h[at.high.y + k], h[at.high.z + k], h[at.high.w + k]),
    );
}
