// One GRU step with its input product. A workgroup computes 64 units of four rows, an invocation one unit.
// Rows whose input row lies in another part of the source are computed and not written.
// import: index, math, product, gru, gru_recurrent, state_rows, gru_decode

/// The units of a row that an invocation computes.
alias Units = f32;

/// b_ih + W_ih x of one unit, for the input rows that start at x_at, in vec4s.
fn input_gates(x_at: vec4<u32>, local: u32) -> Gates {
    let unit = params.unit_first + local;
    let stride = quads(params.hidden) * 4u;
    var gates = Gates(vec4(b_ih[unit]), vec4(b_ih[stride + unit]), vec4(b_ih[2u * stride + unit]));
    let depth = quads(params.inputs);
    let units = params.unit_len;
    for (var block = 0u; block < depth; block += BLOCK) {
        var s = Gates();
        for (var k = block; k < min(block + BLOCK, depth); k++) {
            let xs = by_k(source[x_at.x + k], source[x_at.y + k], source[x_at.z + k], source[x_at.w + k]);
            let at = k * 3u * units + local;
            s.r = fma4_rows(w_ih[at], xs, s.r);
            s.z = fma4_rows(w_ih[at + units], xs, s.z);
            s.n = fma4_rows(w_ih[at + 2u * units], xs, s.n);
        }
        gates = plus(gates, s);
    }
    return gates;
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let live = group.x * 64u + lane < params.unit_len;
    // Lanes beyond the last unit repeat it; they take part in writing h.
    let local = min(group.x * 64u + lane, params.unit_len - 1u);
    let rows = own_rows(group);
    let x_at = vec4(input_at(rows.x), input_at(rows.y), input_at(rows.z), input_at(rows.w));
    let state = new_state(input_gates(x_at, local), rows, local);
    store_h(group, lane, select(vec4(0.0), state.cell.h, live));
}
