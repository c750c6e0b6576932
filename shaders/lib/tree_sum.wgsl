// The sum of one number from each of 256 lanes, as a tree: always the same order.

var<workgroup> sums: array<f32, 256>;

/// All lanes of a workgroup come here; lane 0 gets the sum.
fn tree_sum(lane: u32, x: f32) -> f32 {
    sums[lane] = x;
    workgroupBarrier();
    for (var half = 128u; half > 0u; half /= 2u) {
        if lane < half {
            sums[lane] += sums[lane + half];
        }
        workgroupBarrier();
    }
    return sums[0];
}

/// The vec4 i of a row of n numbers, with zeros after its end.
fn live_part(four: vec4<f32>, i: u32, n: u32) -> vec4<f32> {
    return select(vec4(0.0), four, vec4(i * 4u) + vec4(0u, 1u, 2u, 3u) < vec4(n));
}
