// The bindings and functions that the kernels of matmul_weight_gradient share; the op's file has the equation. Sums of
// four outputs n of one vec4 of k are a matrix: a column for each n.

@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> dw: array<vec4<f32>>;

/// sums + d x^T: one row's products.
fn add_outer(d: vec4<f32>, x: vec4<f32>, sums: mat4x4<f32>) -> mat4x4<f32> {
    return mat4x4<f32>(
        fma(vec4(d.x), x, sums[0]),
        fma(vec4(d.y), x, sums[1]),
        fma(vec4(d.z), x, sums[2]),
        fma(vec4(d.w), x, sums[3]),
    );
}

/// Where output n of the part lies.
fn dw_at(g: u32, n: u32, k: u32) -> u32 {
    let outputs = select(params.outputs, params.n_len, is_cut(2u));
    let first = select(params.n_first, 0u, is_cut(2u));
    return ((params.w_group + g) * outputs + first + n) * quads(params.inputs) + k;
}

/// The start values of the sums of outputs n .. n + 3.
fn start(g: u32, n: u32, k: u32) -> mat4x4<f32> {
    if params.accumulate == 0u || n >= params.n_len || k >= quads(params.inputs) {
        return mat4x4<f32>();
    }
    // Outputs beyond the last repeat it; their sums are not stored.
    let last = params.n_len - 1u;
    return mat4x4<f32>(
        dw[dw_at(g, n, k)],
        dw[dw_at(g, min(n + 1u, last), k)],
        dw[dw_at(g, min(n + 2u, last), k)],
        dw[dw_at(g, min(n + 3u, last), k)],
    );
}

fn store(g: u32, n: u32, k: u32, sums: mat4x4<f32>) {
    if n >= params.n_len || k >= quads(params.inputs) {
        return;
    }
    let left = params.n_len - n;
    dw[dw_at(g, n, k)] = sums[0];
    if left > 1u { dw[dw_at(g, n + 1u, k)] = sums[1]; }
    if left > 2u { dw[dw_at(g, n + 2u, k)] = sums[2]; }
    if left > 3u { dw[dw_at(g, n + 3u, k)] = sums[3]; }
}
