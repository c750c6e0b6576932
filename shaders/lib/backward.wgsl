// What a backward step gets from the later step: a sum over its gates g and units n with w_hh[g, n, j], row major, four
// j a vec4. In the order class `blocks64`: items of 64 n of one gate, each summed from zero with n ascending, are added
// block after block, within a block gate after gate: so parts of w_hh that are cut between blocks keep the order.
// The kernel declares w_hh: array<vec4<f32>>, GATES, parameters rows, hidden, next_row, n_first, n_len,
// `later_at(row, g)`: where a gate of the later step's row begins in its buffer for this part, in vec4s, and
// `later(g, at)`: the vec4 there.
// import: product

/// Items of this part.
fn items() -> u32 {
    return (quads(params.n_len) + BLOCK - 1u) / BLOCK * GATES;
}

/// Rows n .. n + 3 of a gate of w_hh, four units each. Beyond the last row it is repeated: its factors are padding, zero.
fn w_rows(g: u32, n: u32, quad: u32) -> mat4x4<f32> {
    let depth = quads(params.hidden);
    let at = (g * params.n_len + n) * depth + quad;
    let step = min(vec4(0u, 1u, 2u, 3u), vec4(params.n_len - 1u - n)) * depth;
    return mat4x4<f32>(w_hh[at], w_hh[at + step.y], w_hh[at + step.z], w_hh[at + step.w]);
}
