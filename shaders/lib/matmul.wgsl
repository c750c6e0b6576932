// What a matrix product binds; src/ops/matmul.rs has the equation. Columns q count through all gates of the part:
// q = g n_len + n.

struct Params {
    rows: u32,
    inputs: u32,
    groups: u32,
    outputs: u32,
    x_row: u32,
    y_row: u32,
    n_first: u32,
    n_len: u32,
    flags: u32,
}

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> w: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> bias: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

/// The bias of column q: what its sums start from.
fn bias_of(q: u32) -> f32 {
    let g = q / params.n_len;
    return bias[g * quads(params.outputs) * 4u + params.n_first + q % params.n_len];
}
