// From a quad of units' pre-activations to their new states. The kernel declares h, c: array<vec4<f32>> and parameters
// hidden, unit_first, unit_len, h_write_row.
// import: lstm, quad

/// A quad of one row: pre-activations, then activated gates.
struct QuadGates {
    i: vec4<f32>,
    f: vec4<f32>,
    g: vec4<f32>,
    o: vec4<f32>,
}

fn plus_quads(a: QuadGates, b: QuadGates) -> QuadGates {
    return QuadGates(a.i + b.i, a.f + b.f, a.g + b.g, a.o + b.o);
}

fn activated(gates: QuadGates) -> QuadGates {
    return QuadGates(sigmoid4(gates.i), sigmoid4(gates.f), safe_tanh4(gates.g), sigmoid4(gates.o));
}

/// Computes c' and h' of a row from activated gates and writes them; units behind the last one become 0, the padding.
fn write_states(own: QuadGates, row: u32, first: u32, c_read: u32, c_write: u32) {
    let depth = quads(params.hidden);
    let quad = (params.unit_first + first) / 4u;
    let is_live = live(first, params.unit_len);
    let state = lstm_cell(own.i, own.f, own.g, own.o, c[(c_read + row) * depth + quad]);
    c[(c_write + row) * depth + quad] = select(vec4(0.0), state.c, is_live);
    h[(params.h_write_row + row) * depth + quad] = select(vec4(0.0), state.h, is_live);
}
