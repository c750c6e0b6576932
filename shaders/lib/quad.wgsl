// A quad: four neighbouring units or columns of one row, in a vec4. For kernels that stay in registers. Imports product.

/// Where a quad's weights lie: units behind the last of n repeat it, and are not `live`.
fn quad_units(first: u32, n: u32) -> vec4<u32> {
    return min(first + vec4(0u, 1u, 2u, 3u), vec4(n - 1u));
}

fn live(first: u32, n: u32) -> vec4<bool> {
    return first + vec4(0u, 1u, 2u, 3u) < vec4(n);
}

/// acc + the products of four units: w[u] holds a unit's weights of four k, x the row's values there.
fn fma_quad(w: mat4x4<f32>, x: vec4<f32>, acc: vec4<f32>) -> vec4<f32> {
    return vec4(fma4(w[0], x, acc.x), fma4(w[1], x, acc.y), fma4(w[2], x, acc.z), fma4(w[3], x, acc.w));
}
