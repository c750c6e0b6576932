// One GRU step with its input product for few rows: a workgroup computes 16 units of one row in 16 slices.
// A row whose input row lies in another part of the source is computed and not written.
// import: index, math, product, gru, slices, gru_slices, state_row, gru_decode

/// The units of a row that an invocation computes.
alias Units = f32;

/// b_ih + W_ih x of one unit, for the input row that starts at x_at, in vec4s.
fn input_gates(x_at: u32, local: u32, lane: u32) -> vec4<f32> {
    let unit = params.unit_first + local;
    let stride = quads(params.hidden) * 4u;
    var gates = vec4(b_ih[unit], b_ih[stride + unit], b_ih[2u * stride + unit], 0.0);
    let depth = quads(params.inputs);
    let units = params.unit_len;
    let blocks = blocks_of(params.inputs);
    for (var round = 0u; round < blocks; round += 16u) {
        let first = (round + lane / 16u) * BLOCK;
        var s = vec4(0.0);
        for (var k = first; k < min(first + BLOCK, depth); k++) {
            let at = k * 3u * units + local;
            let x4 = source[x_at + k];
            s.x = fma4(w_ih[at], x4, s.x);
            s.y = fma4(w_ih[at + units], x4, s.y);
            s.z = fma4(w_ih[at + 2u * units], x4, s.z);
        }
        gates = add_blocks(gates, s, min(16u, blocks - round), lane);
    }
    return gates;
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let local = min(group.x * 16u + lane % 16u, params.unit_len - 1u);
    let input = input_gates(input_at(group.y), local, lane);
    let state = new_state(input.xyz, group, local, lane);
    store_h(group, lane, select(0.0, state.h, group.x * 16u + lane % 16u < params.unit_len));
}
