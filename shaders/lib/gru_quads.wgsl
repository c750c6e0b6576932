// From a quad of units' pre-activations to the new state. The kernel declares h: array<vec4<f32>> and parameters hidden,
// unit_first, unit_len, h_read_row, h_write_row.
// import: gru, quad

/// A quad of one row: all of r and z, and of n either the input part or the recurrent one.
struct QuadGates {
    r: vec4<f32>,
    z: vec4<f32>,
    n: vec4<f32>,
}

fn plus_quads(a: QuadGates, b: QuadGates) -> QuadGates {
    return QuadGates(a.r + b.r, a.z + b.z, a.n + b.n);
}

/// Gates and h' of a row; `n_input` is the input part of n, gates.n the recurrent one.
fn new_state(gates: QuadGates, n_input: vec4<f32>, row: u32, first: u32) -> GruCell {
    let quad = (params.unit_first + first) / 4u;
    let before = h[(params.h_read_row + row) * quads(params.hidden) + quad];
    return gru_cell(gates.r, gates.z, n_input, gates.n, before);
}

/// Writes h' of a row; units behind the last one become 0, the padding.
fn write_state(new_h: vec4<f32>, row: u32, first: u32) {
    let quad = (params.unit_first + first) / 4u;
    let at = (params.h_write_row + row) * quads(params.hidden) + quad;
    h[at] = select(vec4(0.0), new_h, live(first, params.unit_len));
}
