// One LSTM step with its input product for few rows: a workgroup computes 16 units of one row in 16 slices.
// A row whose input row lies in another part of the source is computed and not written.
// import: index, math, product, lstm, slices, lstm_slices, state_row, lstm_decode

/// The units of a row that an invocation computes.
alias Units = f32;

fn input_bias(unit: u32) -> vec4<f32> {
    let stride = quads(params.hidden) * 4u;
    return vec4(b_ih[unit], b_ih[stride + unit], b_ih[2u * stride + unit], b_ih[3u * stride + unit]);
}

fn recurrent_bias(unit: u32) -> vec4<f32> {
    let stride = quads(params.hidden) * 4u;
    return vec4(b_hh[unit], b_hh[stride + unit], b_hh[2u * stride + unit], b_hh[3u * stride + unit]);
}

/// gates + W_ih x for the input row that starts at x_at, in vec4s.
fn add_input(before: vec4<f32>, x_at: u32, unit: u32, lane: u32) -> vec4<f32> {
    var gates = before;
    let depth = quads(params.inputs);
    let units = params.unit_len;
    let blocks = blocks_of(params.inputs);
    for (var round = 0u; round < blocks; round += 16u) {
        let first = (round + lane / 16u) * BLOCK;
        var s = vec4(0.0);
        for (var k = first; k < min(first + BLOCK, depth); k++) {
            let at = k * 4u * units + unit;
            let x4 = source[x_at + k];
            s.x = fma4(w_ih[at], x4, s.x);
            s.y = fma4(w_ih[at + units], x4, s.y);
            s.z = fma4(w_ih[at + 2u * units], x4, s.z);
            s.w = fma4(w_ih[at + 3u * units], x4, s.w);
        }
        gates = add_blocks(gates, s, min(16u, blocks - round), lane);
    }
    return gates;
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let local = min(group.x * 16u + lane % 16u, params.unit_len - 1u);
    let unit = params.unit_first + local;
    let row = group.y;
    let input = add_input(input_bias(unit), input_at(row), local, lane) + recurrent_bias(unit);
    let gates = add_recurrent(input, (params.h_read_row + row) * quads(params.hidden), local, lane);
    finish(activated(gates), group, lane, params.c_row, params.c_row);
}
