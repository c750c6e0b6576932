// Where a quad of columns of a matrix product begins and ends.
// import: matmul, quad

/// Four k of a quad's columns.
fn weights(at: vec4<u32>) -> mat4x4<f32> {
    return mat4x4<f32>(w[at.x], w[at.y], w[at.z], w[at.w]);
}

/// What a quad's sums start from.
fn biases(q: vec4<u32>) -> vec4<f32> {
    return vec4(bias_of(q.x), bias_of(q.y), bias_of(q.z), bias_of(q.w));
}

/// Where column q of row 0 of this op lies in y, and the step from row to row.
fn y_at(q: u32) -> vec2<u32> {
    // Where y is cut, the part's columns are the buffer's.
    let is_cut = (params.flags & 4u) != 0u;
    let stride = quads(select(params.outputs, params.n_len, is_cut)) * 4u;
    let step = params.groups * stride;
    let n = q % params.n_len + select(params.n_first, 0u, is_cut);
    return vec2(params.y_row * step + q / params.n_len * stride + n, step);
}

/// Writes one column of a row, if there are such.
fn store(q: u32, row: u32, value: f32) {
    if q < params.groups * params.n_len && row < params.rows {
        let at = y_at(q);
        y[at.x + row * at.y] = value;
    }
}
