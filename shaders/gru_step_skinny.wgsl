// One GRU step for few rows, its input product there: a workgroup computes 16 units of one row in 16 slices.
// import: index, math, product, gru, slices, gru_slices, state_row, gru_step_units

/// The units of a row that an invocation computes.
alias Units = f32;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let local = min(group.x * 16u + lane % 16u, params.unit_len - 1u);
    let stride = quads(params.hidden) * 4u;
    let at = (params.gx_row + group.y) * 3u * stride + params.unit_first + local;
    let input = vec3(gates[at], gates[at + stride], gates[at + 2u * stride]);
    let state = new_state(input, group, local, lane);
    let live = group.x * 16u + lane % 16u < params.unit_len;
    if params.keep_gates == 1u && live && lane < 16u {
        keep(group.y, params.unit_first + local, vec3(state.r, state.z, state.n), state.candidate);
    }
    store_h(group, lane, select(0.0, state.h, live));
}
