// db (+)= sum of rows of dy: a workgroup of 256 computes 64 outputs of a group. Each of its 16 slices sums block s of
// each round of 16 blocks of 64 rows.

struct Params {
    rows: u32,
    outputs: u32,
    groups: u32,
    y_row: u32,
    y_groups: u32,
    y_group: u32,
    b_group: u32,
    accumulate: u32,
    n_first: u32,
    n_len: u32,
    flags: u32,
}

@group(0) @binding(0) var<storage, read> dy: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> db: array<vec4<f32>>;

/// Sums of blocks [slice][quad of outputs].
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

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let n4 = group.x * 16u + lane % 16u;
    let g = group.y;
    let live = lane < 16u && n4 < quads(params.n_len);
    let own = min(n4, quads(params.n_len) - 1u);
    let d_at = dy_at(0u, g) + own;
    let b_at = (params.b_group + g) * quads(params.outputs) + params.n_first / 4u + own;

    var total = vec4(0.0);
    if live && params.accumulate != 0u {
        total = db[b_at];
    }
    let blocks = (params.rows + 4u * BLOCK - 1u) / (4u * BLOCK);
    for (var round = 0u; round < blocks; round += 16u) {
        let first = (round + lane / 16u) * 4u * BLOCK;
        var sum = vec4(0.0);
        for (var m = first; m < min(first + 4u * BLOCK, params.rows); m++) {
            sum += dy[d_at + m * dy_step()];
        }
        total = add_blocks(total, sum, min(16u, blocks - round), lane);
    }
    if live {
        db[b_at] = total;
    }
}
