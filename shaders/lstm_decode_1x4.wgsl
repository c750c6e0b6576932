// One LSTM step with its input product, in registers alone: an invocation computes a quad of units of one row.
// A row whose input row lies in another part of the source is left to the dispatch of that part.
// import: index, math, product, lstm_row, lstm_decode

/// The units of a row that an invocation computes.
alias Units = vec4<f32>;

/// One bias' four gates of a quad.
fn input_bias(quad: u32) -> QuadGates {
    let depth = quads(params.hidden);
    return QuadGates(b_ih[quad], b_ih[depth + quad], b_ih[2u * depth + quad], b_ih[3u * depth + quad]);
}

fn recurrent_bias(quad: u32) -> QuadGates {
    let depth = quads(params.hidden);
    return QuadGates(b_hh[quad], b_hh[depth + quad], b_hh[2u * depth + quad], b_hh[3u * depth + quad]);
}

/// gates + W_ih x for the input row that starts at x_at, in vec4s.
fn add_input(before: QuadGates, x_at: u32, first: u32) -> QuadGates {
    var gates = before;
    let depth = quads(params.inputs);
    let width = panel_width(first);
    let w_at = panel_at(first, depth, 4u);
    for (var block = 0u; block < depth; block += BLOCK) {
        var s = QuadGates();
        for (var k = block; k < min(block + BLOCK, depth); k++) {
            let x4 = source[x_at + k];
            let at = w_at + k * 4u * width;
            s.i = fma_quad(input_weights(at), x4, s.i);
            s.f = fma_quad(input_weights(at + width), x4, s.f);
            s.g = fma_quad(input_weights(at + 2u * width), x4, s.g);
            s.o = fma_quad(input_weights(at + 3u * width), x4, s.o);
        }
        gates = plus_quads(gates, s);
    }
    return gates;
}

@compute @workgroup_size(8)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let first = (group.x * 8u + lane) * 4u;
    let row = group.y;
    if first >= params.unit_len || !writes(row) {
        return;
    }
    let quad = (params.unit_first + first) / 4u;
    let input = plus_quads(add_input(input_bias(quad), input_at(row), first), recurrent_bias(quad));
    let gates = add_recurrent(input, (params.h_read_row + row) * quads(params.hidden), first);
    write_states(activated(gates), row, first, params.c_row, params.c_row);
}
