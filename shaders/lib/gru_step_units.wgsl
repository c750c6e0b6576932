// What stays of a GRU step for the way backwards, in the kernels whose invocations compute one unit.
// import: gru_step

/// Leaves the activated gates of one row and unit where their input product was, and the recurrent part of n.
fn keep(row: u32, unit: u32, rzn: vec3<f32>, recurrent: f32) {
    if writes(row) {
        let stride = quads(params.hidden) * 4u;
        let at = (params.gx_row + row) * 3u * stride + unit;
        gates[at] = rzn.x;
        gates[at + stride] = rzn.y;
        gates[at + 2u * stride] = rzn.z;
        candidate[(params.gx_row + row) * stride + unit] = recurrent;
    }
}
