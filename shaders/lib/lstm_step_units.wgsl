// What stays of an LSTM step for the way backwards, in the kernels whose invocations compute one unit.
// import: lstm_step

/// Leaves the activated gates of one row and unit where their input product was.
fn keep(row: u32, unit: u32, ifgo: vec4<f32>) {
    if writes(row) {
        let stride = quads(params.hidden) * 4u;
        let at = (params.gx_row + row) * 4u * stride + unit;
        gates[at] = ifgo.x;
        gates[at + stride] = ifgo.y;
        gates[at + 2u * stride] = ifgo.z;
        gates[at + 3u * stride] = ifgo.w;
    }
}
