// y = x w^T + bias for few rows: a workgroup computes 16 columns of one row, its 16 slices take a block of k each.

/// Block sums [slice][column].
var<workgroup> block_sums: array<f32, 256>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let columns = params.groups * params.n_len;
    let depth = quads(params.inputs);
    let blocks = (depth + BLOCK - 1u) / BLOCK;
    let slice = lane / 16u;
    let q = group.x * 16u + lane % 16u;
    let w_at = min(q, columns - 1u);
    let x_at = (params.x_row + group.y) * depth;

    var total = bias_of(w_at);
    for (var round = 0u; round < blocks; round += 16u) {
        let first = (round + slice) * BLOCK;
        var sum = 0.0;
        for (var k = first; k < min(first + BLOCK, depth); k++) {
            sum = fma4(load_weight(w[k * columns + w_at]), x[x_at + k], sum);
        }
        block_sums[lane] = sum;
        workgroupBarrier();
        if slice == 0u {
            for (var s = 0u; s < min(16u, blocks - round); s++) {
                total += block_sums[s * 16u + lane];
            }
        }
        workgroupBarrier();
    }
    if slice == 0u {
        store(q, group.y, total);
    }
}
