// One GRU step whose input product is there, in registers alone: an invocation computes a quad of units of one row.
// import: index, math, product, gru_row, gru_step_quads

/// The units of a row that an invocation computes.
alias Units = vec4<f32>;

@compute @workgroup_size(8)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let first = (group.x * 8u + lane) * 4u;
    let row = group.y;
    if first >= params.unit_len {
        return;
    }
    let depth = quads(params.hidden);
    let quad = (params.unit_first + first) / 4u;
    let gx_at = (params.gx_row + row) * 3u * depth + quad;
    let start = QuadGates(gates[gx_at] + b_hh[quad], gates[gx_at + depth] + b_hh[depth + quad], b_hh[2u * depth + quad]);
    let h_at = (params.h_read_row + row) * depth;
    let own = add_recurrent(start, h_at, first);
    finish_row(row, first, own, gates[gx_at + 2u * depth]);
}
