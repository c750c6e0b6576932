// dw (+)= dy^T x for few weights and many rows: a workgroup of 256 computes 16 outputs n of 16 k of a group. Each of its
// 16 slices sums block s of each round of 16 blocks of rows; the first slice adds the block sums, block after block.

/// [slice][n4][k4]
var<workgroup> block_sums: array<mat4x4<f32>, 256>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let width = quads(params.inputs);
    let k = group.x * 4u + lane % 4u;
    let n4 = group.y * 4u + lane / 4u % 4u;
    let g = group.z;
    let is_first = lane < 16u;
    // Beyond the last n4 and k4 they are repeated; their sums are not stored.
    let d_at = dy_at(0u, g) + min(n4, quads(params.n_len) - 1u);
    let x_at = params.x_row * width + min(k, width - 1u);

    var total = start(g, n4 * 4u, k);
    let blocks = (params.rows + 4u * BLOCK - 1u) / (4u * BLOCK);
    for (var round = 0u; round < blocks; round += 16u) {
        let first = (round + lane / 16u) * 4u * BLOCK;
        var sum = mat4x4<f32>();
        for (var m = first; m < min(first + 4u * BLOCK, params.rows); m++) {
            sum = add_outer(dy[d_at + m * dy_step()], x[x_at + m * width], sum);
        }
        block_sums[lane] = sum;
        workgroupBarrier();
        if is_first {
            for (var s = 0u; s < min(16u, blocks - round); s++) {
                total += block_sums[s * 16u + lane];
            }
        }
        workgroupBarrier();
    }
    if is_first {
        store(g, n4 * 4u, k, total);
    }
}
