// The reads of a quad of columns of a matrix product.

/// Four k of a quad's columns.
fn weights(at: vec4<u32>) -> mat4x4<f32> {
    return mat4x4<f32>(load_weight(w[at.x]), load_weight(w[at.y]), load_weight(w[at.z]), load_weight(w[at.w]));
}

/// The start values of a quad's sums.
fn biases(q: vec4<u32>) -> vec4<f32> {
    return vec4(bias_of(q.x), bias_of(q.y), bias_of(q.z), bias_of(q.w));
}
