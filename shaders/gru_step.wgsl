// One GRU step whose input product is there. A workgroup computes 64 units of four rows, an invocation one unit.
// import: index, math, product, gru, gru_recurrent, state_rows, gru_step_units

/// The units of a row that an invocation computes.
alias Units = f32;

/// Input product of one gate and four rows.
fn gate(number: u32, rows: vec4<u32>, unit: u32) -> vec4<f32> {
    let at = ((params.gx_row + rows) * 3u + number) * (quads(params.hidden) * 4u) + unit;
    return vec4(gates[at.x], gates[at.y], gates[at.z], gates[at.w]);
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let live = group.x * 64u + lane < params.unit_len;
    // Lanes beyond the last unit repeat it; they take part in writing h.
    let local = min(group.x * 64u + lane, params.unit_len - 1u);
    let rows = own_rows(group);
    let unit = params.unit_first + local;
    let input = Gates(gate(0u, rows, unit), gate(1u, rows, unit), gate(2u, rows, unit));
    let state = new_state(input, rows, local);
    if params.keep_gates == 1u && live {
        let q = state.candidate;
        keep(group.y * 4u, unit, vec3(state.cell.r.x, state.cell.z.x, state.cell.n.x), q.x);
        keep(group.y * 4u + 1u, unit, vec3(state.cell.r.y, state.cell.z.y, state.cell.n.y), q.y);
        keep(group.y * 4u + 2u, unit, vec3(state.cell.r.z, state.cell.z.z, state.cell.n.z), q.z);
        keep(group.y * 4u + 3u, unit, vec3(state.cell.r.w, state.cell.z.w, state.cell.n.w), q.w);
    }
    store_h(group, lane, select(vec4(0.0), state.cell.h, live));
}
