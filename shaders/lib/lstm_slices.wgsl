// The recurrent products of one row and the new states, for the kernels of few rows. The kernel declares h and
// w_hh: array<vec4<f32>>, c: array<f32>, parameters hidden and unit_len, and `writes(row)`.

/// gates + W_hh h for the row of h that starts at h_at, in vec4s.
fn add_recurrent(before: vec4<f32>, h_at: u32, unit: u32, lane: u32) -> vec4<f32> {
    var gates = before;
    let depth = quads(params.hidden);
    let units = params.unit_len;
    let blocks = blocks_of(params.hidden);
    for (var round = 0u; round < blocks; round += 16u) {
        let first = (round + lane / 16u) * BLOCK;
        var s = vec4(0.0);
        for (var k = first; k < min(first + BLOCK, depth); k++) {
            let at = k * 4u * units + unit;
            let h4 = h[h_at + k];
            s.x = fma4(w_hh[at], h4, s.x);
            s.y = fma4(w_hh[at + units], h4, s.y);
            s.z = fma4(w_hh[at + 2u * units], h4, s.z);
            s.w = fma4(w_hh[at + 3u * units], h4, s.w);
        }
        gates = add_blocks(gates, s, min(16u, blocks - round), lane);
    }
    return gates;
}

fn activated(gates: vec4<f32>) -> vec4<f32> {
    return vec4(sigmoid(gates.x), sigmoid(gates.y), safe_tanh(gates.z), sigmoid(gates.w));
}

/// Computes c' and h' of the first slice's units from activated gates and writes them.
fn finish(gates: vec4<f32>, group: vec3<u32>, lane: u32, c_read: u32, c_write: u32) {
    let stride = quads(params.hidden) * 4u;
    let local = group.x * 16u + lane % 16u;
    let live = lane < 16u && local < params.unit_len;
    let at = group.y * stride + params.unit_first + min(local, params.unit_len - 1u);
    let before = vec4(c[c_read * stride + at]);
    let state = lstm_cell(vec4(gates.x), vec4(gates.y), vec4(gates.z), vec4(gates.w), before);
    if live && writes(group.y) {
        c[c_write * stride + at] = state.c.x;
    }
    store_h(group, lane, select(0.0, state.h.x, live));
}
