// The recurrent products of one row and the new state, for the kernels of few rows. The kernel declares h and
// w_hh: array<vec4<f32>>, b_hh: array<f32> and parameters hidden and unit_len.

/// What the first slice's lanes have of their unit.
struct NewState {
    r: f32,
    z: f32,
    n: f32,
    /// The recurrent part of n.
    candidate: f32,
    h: f32,
}

/// Gates and h' of the first slice's units from the input parts r z n.
fn new_state(input: vec3<f32>, group: vec3<u32>, local: u32, lane: u32) -> NewState {
    let depth = quads(params.hidden);
    let unit = params.unit_first + local;
    let h_at = (params.h_read_row + group.y) * depth;
    let start = vec4(input.x + b_hh[unit], input.y + b_hh[depth * 4u + unit], b_hh[depth * 8u + unit], 0.0);
    let gates = add_recurrent(start, h_at, local, lane);
    let before = vec4(component(h[h_at + unit / 4u], unit % 4u));
    let cell = gru_cell(vec4(gates.x), vec4(gates.y), vec4(input.z), vec4(gates.z), before);
    return NewState(cell.r.x, cell.z.x, cell.n.x, gates.z, cell.h.x);
}

/// gates + W_hh h for the row of h that starts at h_at, in vec4s.
fn add_recurrent(before: vec4<f32>, h_at: u32, local: u32, lane: u32) -> vec4<f32> {
    var gates = before;
    let depth = quads(params.hidden);
    let units = params.unit_len;
    let blocks = blocks_of(params.hidden);
    for (var round = 0u; round < blocks; round += 16u) {
        let first = (round + lane / 16u) * BLOCK;
        var s = vec4(0.0);
        for (var k = first; k < min(first + BLOCK, depth); k++) {
            let at = k * 3u * units + local;
            let h4 = h[h_at + k];
            s.x = fma4(w_hh[at], h4, s.x);
            s.y = fma4(w_hh[at + units], h4, s.y);
            s.z = fma4(w_hh[at + 2u * units], h4, s.z);
        }
        gates = add_blocks(gates, s, min(16u, blocks - round), lane);
    }
    return gates;
}
