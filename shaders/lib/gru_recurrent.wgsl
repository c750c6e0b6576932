// Four rows of one unit's pre-activations, and the recurrent products. The kernel declares h and
// w_hh: array<vec4<f32>>, b_hh: array<f32> and parameters hidden and unit_len.

struct Gates {
    r: vec4<f32>,
    z: vec4<f32>,
    n: vec4<f32>,
}

fn plus(a: Gates, b: Gates) -> Gates {
    return Gates(a.r + b.r, a.z + b.z, a.n + b.n);
}

struct NewState {
    cell: GruCell,
    /// The recurrent part of n.
    candidate: vec4<f32>,
}

/// Gates and h' of four rows from their input parts `input`: r and z go on from it, n has a part of its own.
fn new_state(input: Gates, rows: vec4<u32>, local: u32) -> NewState {
    let depth = quads(params.hidden);
    let unit = params.unit_first + local;
    let h_at = (params.h_read_row + rows) * depth;
    let bias = vec3(b_hh[unit], b_hh[depth * 4u + unit], b_hh[depth * 8u + unit]);
    let gates = add_recurrent(Gates(input.r + bias.x, input.z + bias.y, vec4(bias.z)), h_at, local);
    let quad = unit / 4u;
    let lane = unit % 4u;
    let before = vec4(
        component(h[h_at.x + quad], lane),
        component(h[h_at.y + quad], lane),
        component(h[h_at.z + quad], lane),
        component(h[h_at.w + quad], lane),
    );
    return NewState(gru_cell(gates.r, gates.z, input.n, gates.n, before), gates.n);
}

/// gates + W_hh h for the rows of h that start at h_at, in vec4s.
fn add_recurrent(before: Gates, h_at: vec4<u32>, local: u32) -> Gates {
    var gates = before;
    let depth = quads(params.hidden);
    let units = params.unit_len;
    for (var block = 0u; block < depth; block += BLOCK) {
        var s = Gates();
        for (var k = block; k < min(block + BLOCK, depth); k++) {
            let hs = by_k(h[h_at.x + k], h[h_at.y + k], h[h_at.z + k], h[h_at.w + k]);
            let at = k * 3u * units + local;
            s.r = fma4_rows(w_hh[at], hs, s.r);
            s.z = fma4_rows(w_hh[at + units], hs, s.z);
            s.n = fma4_rows(w_hh[at + 2u * units], hs, s.n);
        }
        gates = plus(gates, s);
    }
    return gates;
}
