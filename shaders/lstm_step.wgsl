// One LSTM step whose input product is there. A workgroup computes 64 units of four rows, an invocation one unit.
// import: index, math, product, lstm, lstm_recurrent, lstm_finish, state_rows, lstm_step_units

/// The units of a row that an invocation computes.
alias Units = f32;

/// Input product + b_hh of one gate and four rows.
fn gate(number: u32, rows: vec4<u32>, unit: u32) -> vec4<f32> {
    let stride = quads(params.hidden) * 4u;
    let at = ((params.gx_row + rows) * 4u + number) * stride + unit;
    return vec4(gates[at.x], gates[at.y], gates[at.z], gates[at.w]) + b_hh[number * stride + unit];
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let live = group.x * 64u + lane < params.unit_len;
    // Lanes beyond the last unit repeat it; they take part in writing h.
    let local = min(group.x * 64u + lane, params.unit_len - 1u);
    let unit = params.unit_first + local;
    let rows = own_rows(group);
    let input = Gates(gate(0u, rows, unit), gate(1u, rows, unit), gate(2u, rows, unit), gate(3u, rows, unit));
    let own = activated(add_recurrent(input, (params.h_read_row + rows) * quads(params.hidden), local));
    if params.keep_gates == 1u && live {
        keep(group.y * 4u, unit, vec4(own.i.x, own.f.x, own.g.x, own.o.x));
        keep(group.y * 4u + 1u, unit, vec4(own.i.y, own.f.y, own.g.y, own.o.y));
        keep(group.y * 4u + 2u, unit, vec4(own.i.z, own.f.z, own.g.z, own.o.z));
        keep(group.y * 4u + 3u, unit, vec4(own.i.w, own.f.w, own.g.w, own.o.w));
    }
    finish(own, group, lane, live, params.c_read_row, params.c_write_row);
}
