// Products of one row split among the 16 slices of a workgroup of 256: slice s sums block s of each round, for the
// gates of unit lane % 16; the first slice adds the block sums, block after block.

/// Gates' block sums [slice][unit].
var<workgroup> block_sums: array<vec4<f32>, 256>;

/// Adds the sums of `blocks` blocks, one a slice, to the total; only the first slice's total means anything.
fn add_blocks(total: vec4<f32>, sum: vec4<f32>, blocks: u32, lane: u32) -> vec4<f32> {
    block_sums[lane] = sum;
    workgroupBarrier();
    var result = total;
    if lane < 16u {
        for (var s = 0u; s < blocks; s++) {
            result += block_sums[s * 16u + lane];
        }
    }
    workgroupBarrier();
    return result;
}

/// Blocks that hold n elements.
fn blocks_of(n: u32) -> u32 {
    return (quads(n) + BLOCK - 1u) / BLOCK;
}
