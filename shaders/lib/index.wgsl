// Rows of a float tensor start at multiples of four elements; what lies between is zero.

/// vec4s that hold n elements.
fn quads(n: u32) -> u32 {
    return (n + 3u) / 4u;
}

/// The number of a workgroup in a grid that was folded into x and y.
fn fold(group: vec3<u32>) -> u32 {
    return group.y * 65535u + group.x;
}

/// v[i] without a run-time index, which some compilers refuse.
fn component(v: vec4<f32>, i: u32) -> f32 {
    return select(select(v.x, v.y, i == 1u), select(v.z, v.w, i == 3u), i > 1u);
}
