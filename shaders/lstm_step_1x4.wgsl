// One LSTM step whose input product is there, in registers alone: an invocation computes a quad of units of one row.
// import: index, math, product, lstm_row, lstm_step_quads

/// The units of a row that an invocation computes.
alias Units = vec4<f32>;

/// Input product + b_hh of one gate.
fn gate(number: u32, row: u32, quad: u32) -> vec4<f32> {
    let depth = quads(params.hidden);
    return gates[((params.gx_row + row) * 4u + number) * depth + quad] + b_hh[number * depth + quad];
}

@compute @workgroup_size(8)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let first = (group.x * 8u + lane) * 4u;
    let row = group.y;
    if first >= params.unit_len {
        return;
    }
    let quad = (params.unit_first + first) / 4u;
    let input = QuadGates(gate(0u, row, quad), gate(1u, row, quad), gate(2u, row, quad), gate(3u, row, quad));
    let h_at = (params.h_read_row + row) * quads(params.hidden);
    finish_row(row, first, add_recurrent(input, h_at, first));
}
