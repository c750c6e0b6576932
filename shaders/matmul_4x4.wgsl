// y = x w^T + bias, in registers only: an invocation computes four rows of four columns, sixteen apart.
// A workgroup covers 16 rows and 64 columns. Columns q count through all gates of the part: q = g n_len + n.

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let columns = params.groups * params.n_len;
    let depth = quads(params.inputs);
    let q = vec4(group.x * 64u + lane % 16u) + vec4(0u, 16u, 32u, 48u);
    let row = group.y * 16u + lane / 16u * 4u;
    if row >= params.rows || q.x >= columns {
        return;
    }
    // Rows and columns beyond the last repeat it; their sums are not stored.
    let rows = params.x_row + min(vec4(row) + vec4(0u, 1u, 2u, 3u), vec4(params.rows - 1u));
    let x_at = rows * depth;
    let w_at = min(q, vec4(columns - 1u));

    var y0 = vec4(bias_of(w_at.x));
    var y1 = vec4(bias_of(w_at.y));
    var y2 = vec4(bias_of(w_at.z));
    var y3 = vec4(bias_of(w_at.w));
    for (var block = 0u; block < depth; block += BLOCK) {
        var s0 = vec4(0.0);
        var s1 = vec4(0.0);
        var s2 = vec4(0.0);
        var s3 = vec4(0.0);
        let end = min(block + BLOCK, depth);
        for (var k = block; k < end; k++) {
            let xs = by_k(x[x_at.x + k], x[x_at.y + k], x[x_at.z + k], x[x_at.w + k]);
            let at = k * columns;
            s0 = fma4_rows(load_weight(w[at + w_at.x]), xs, s0);
            s1 = fma4_rows(load_weight(w[at + w_at.y]), xs, s1);
            s2 = fma4_rows(load_weight(w[at + w_at.z]), xs, s2);
            s3 = fma4_rows(load_weight(w[at + w_at.w]), xs, s3);
        }
        y0 += s0;
        y1 += s1;
        y2 += s2;
        y3 += s3;
    }
    store_rows(q.x, row, y0);
    store_rows(q.y, row, y1);
    store_rows(q.z, row, y2);
    store_rows(q.w, row, y3);
}
