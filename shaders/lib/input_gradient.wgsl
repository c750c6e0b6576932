// The bindings and functions that the kernels of matmul_input_gradient share; the op's file has the equation.

@group(0) @binding(1) var<storage, read> w: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> d_x: array<vec4<f32>>;

/// The first row of the part of w that belongs to a group.
fn w_row(g: u32) -> u32 {
    let n = select(params.outputs, params.n_len, is_cut(1u));
    return (params.w_group + g) * n + select(params.n_first, 0u, is_cut(1u));
}

/// Rows n of w as far as there are any, at one vec4 of k. Terms beyond the last n are zeros times its weights.
fn w_rows(w_at: vec4<u32>, k: u32) -> mat4x4<f32> {
    return mat4x4<f32>(w[w_at.x + k], w[w_at.y + k], w[w_at.z + k], w[w_at.w + k]);
}

/// The start value of the sums of a vec4 of k.
fn start(row: u32, k: u32) -> vec4<f32> {
    let adds = params.accumulate != 0u || (params.flags & FIRST_PART) == 0u;
    if adds && row < params.rows && k < quads(params.inputs) {
        return d_x[(params.x_row + row) * quads(params.inputs) + k];
    }
    return vec4(0.0);
}

fn store(row: u32, k: u32, sums: vec4<f32>) {
    if row < params.rows && k < quads(params.inputs) {
        d_x[(params.x_row + row) * quads(params.inputs) + k] = sums;
    }
}
