// Where a decode step finds its input rows, and their weights. The kernel declares ids: array<u32>,
// w_ih: array<vec4<f32>> and the parameters of a decode op.

/// The row of the source that is a row's input.
fn source_row(row: u32) -> u32 {
    if params.gather == 1u {
        return ids[row];
    }
    return params.x_row + row;
}

/// Whether this dispatch writes a row's state: its input row lies in this part of the source.
fn writes(row: u32) -> bool {
    return row < params.rows && (params.gather == 0u || ids[row] - params.source_first < params.source_len);
}

/// Where the input row begins in this part, in vec4s. Rows of other parts read the part's first row instead.
fn input_at(row: u32) -> u32 {
    let local = select(source_row(row) - params.source_first, 0u, !writes(row));
    return local * quads(params.inputs);
}

/// Four k of a quad's units of one gate.
fn input_weights(at: vec4<u32>) -> mat4x4<f32> {
    return mat4x4<f32>(w_ih[at.x], w_ih[at.y], w_ih[at.z], w_ih[at.w]);
}
