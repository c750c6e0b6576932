// One LSTM step with its input product. A workgroup computes 64 units of four rows, an invocation one unit.
// Rows whose input row lies in another part of the source are computed and not written.
// import: index, math, product, lstm, lstm_recurrent, lstm_finish, state_rows, lstm_decode

/// The units of a row that an invocation computes.
alias Units = f32;

/// A bias' four gates of a unit.
fn input_bias(unit: u32) -> Gates {
    let stride = quads(params.hidden) * 4u;
    return gates_of(b_ih[unit], b_ih[stride + unit], b_ih[2u * stride + unit], b_ih[3u * stride + unit]);
}

fn recurrent_bias(unit: u32) -> Gates {
    let stride = quads(params.hidden) * 4u;
    return gates_of(b_hh[unit], b_hh[stride + unit], b_hh[2u * stride + unit], b_hh[3u * stride + unit]);
}

/// gates + W_ih x for the input rows that start at x_at, in vec4s.
fn add_input(before: Gates, x_at: vec4<u32>, unit: u32) -> Gates {
    var gates = before;
    let depth = quads(params.inputs);
    let units = params.unit_len;
    for (var block = 0u; block < depth; block += BLOCK) {
        var s = Gates();
        for (var k = block; k < min(block + BLOCK, depth); k++) {
            let xs = by_k(source[x_at.x + k], source[x_at.y + k], source[x_at.z + k], source[x_at.w + k]);
            let at = k * 4u * units + unit;
            s.i = fma4_rows(w_ih[at], xs, s.i);
            s.f = fma4_rows(w_ih[at + units], xs, s.f);
            s.g = fma4_rows(w_ih[at + 2u * units], xs, s.g);
            s.o = fma4_rows(w_ih[at + 3u * units], xs, s.o);
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
    let unit = params.unit_first + local;
    let rows = own_rows(group);
    let x_at = vec4(input_at(rows.x), input_at(rows.y), input_at(rows.z), input_at(rows.w));
    let input = plus(add_input(input_bias(unit), x_at, local), recurrent_bias(unit));
    let gates = add_recurrent(input, (params.h_read_row + rows) * quads(params.hidden), local);
    finish(activated(gates), group, lane, live, params.c_row, params.c_row);
}
