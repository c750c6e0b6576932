// From four rows of gates to the new states. The kernel declares c: array<f32>, h, parameters rows and
// hidden, and `writes(row)`: whether this dispatch writes a row's state.

fn activated(gates: Gates) -> Gates {
    return Gates(sigmoid4(gates.i), sigmoid4(gates.f), safe_tanh4(gates.g), sigmoid4(gates.o));
}

/// Computes c' and h' from activated gates and writes them. Rows of c start at c_read and c_write; lanes that are not `live` pad h with 0.
fn finish(gates: Gates, group: vec3<u32>, lane: u32, live: bool, c_read: u32, c_write: u32) {
    let stride = quads(params.hidden) * 4u;
    let unit = params.unit_first + min(group.x * 64u + lane, params.unit_len - 1u);
    let rows = own_rows(group);
    let from_c = (c_read + rows) * stride + unit;
    let before = vec4(c[from_c.x], c[from_c.y], c[from_c.z], c[from_c.w]);
    let state = lstm_cell(gates.i, gates.f, gates.g, gates.o, before);
    let row = group.y * 4u;
    let at = (c_write + row) * stride + unit;
    if live && writes(row) { c[at] = state.c.x; }
    if live && writes(row + 1u) { c[at + stride] = state.c.y; }
    if live && writes(row + 2u) { c[at + 2u * stride] = state.c.z; }
    if live && writes(row + 3u) { c[at + 3u * stride] = state.c.w; }
    store_h(group, lane, select(vec4(0.0), state.h, live));
}
