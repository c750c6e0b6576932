// One LSTM step for few rows, its input product there: a workgroup computes 16 units of one row in 16 slices.
// import: index, math, product, lstm, slices, lstm_slices, state_row, lstm_step_units

/// The units of a row that an invocation computes.
alias Units = f32;

/// Input product + b_hh of one gate.
fn gate(number: u32, row: u32, unit: u32) -> f32 {
    let stride = quads(params.hidden) * 4u;
    return gates[((params.gx_row + row) * 4u + number) * stride + unit] + b_hh[number * stride + unit];
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let local = min(group.x * 16u + lane % 16u, params.unit_len - 1u);
    let unit = params.unit_first + local;
    let row = group.y;
    let input = vec4(gate(0u, row, unit), gate(1u, row, unit), gate(2u, row, unit), gate(3u, row, unit));
    let own = activated(add_recurrent(input, (params.h_read_row + row) * quads(params.hidden), local, lane));
    if params.keep_gates == 1u && lane < 16u && group.x * 16u + lane < params.unit_len {
        keep(row, unit, own);
    }
    finish(own, group, lane, params.c_read_row, params.c_write_row);
}
