// One GRU step with its input product, in registers alone: an invocation computes a quad of units of one row.
// A row whose input row lies in another part of the source is left to the dispatch of that part.
// import: index, math, product, gru_row, gru_decode

/// The units of a row that an invocation computes.
alias Units = vec4<f32>;

/// b_ih + W_ih x for the input row that starts at x_at, in vec4s.
fn input_gates(x_at: u32, quad: u32, first: u32) -> QuadGates {
    let stride = quads(params.hidden);
    var gates = QuadGates(b_ih[quad], b_ih[stride + quad], b_ih[2u * stride + quad]);
    let depth = quads(params.inputs);
    let width = panel_width(first);
    let w_at = panel_at(first, depth, 3u);
    for (var block = 0u; block < depth; block += BLOCK) {
        var s = QuadGates();
        for (var k = block; k < min(block + BLOCK, depth); k++) {
            let x4 = source[x_at + k];
            let at = w_at + k * 3u * width;
            s.r = fma_quad(input_weights(at), x4, s.r);
            s.z = fma_quad(input_weights(at + width), x4, s.z);
            s.n = fma_quad(input_weights(at + 2u * width), x4, s.n);
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
    let depth = quads(params.hidden);
    let input = input_gates(input_at(row), quad, first);
    let start = QuadGates(input.r + b_hh[quad], input.z + b_hh[depth + quad], b_hh[2u * depth + quad]);
    let gates = add_recurrent(start, (params.h_read_row + row) * depth, first);
    write_state(new_state(gates, input.n, row, first).h, row, first);
}
