// d_x (+)= dy w, in registers only: an invocation computes four rows of two vec4s of k, eight vec4s apart.
// A workgroup covers 32 rows and 64 k.

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let width = quads(params.inputs);
    let k = vec2(group.x * 16u + lane % 8u) + vec2(0u, 8u);
    let row = group.y * 32u + lane / 8u * 4u;
    if row >= params.rows || k.x >= width {
        return;
    }
    let w_k = min(k, vec2(width - 1u));
    let terms = quads(params.n_len);

    var l0 = start(row, k.x);
    var l1 = start(row + 1u, k.x);
    var l2 = start(row + 2u, k.x);
    var l3 = start(row + 3u, k.x);
    var r0 = start(row, k.y);
    var r1 = start(row + 1u, k.y);
    var r2 = start(row + 2u, k.y);
    var r3 = start(row + 3u, k.y);
    for (var g = 0u; g < params.groups; g++) {
        // Rows beyond the last repeat it; their sums are not stored.
        let rows = min(vec4(row) + vec4(0u, 1u, 2u, 3u), vec4(params.rows - 1u));
        let at = dy_at(0u, g) + rows * dy_step();
        let first = w_row(g);
        for (var block = 0u; block < terms; block += BLOCK) {
            var a0 = vec4(0.0);
            var a1 = vec4(0.0);
            var a2 = vec4(0.0);
            var a3 = vec4(0.0);
            var b0 = vec4(0.0);
            var b1 = vec4(0.0);
            var b2 = vec4(0.0);
            var b3 = vec4(0.0);
            for (var n4 = block; n4 < min(block + BLOCK, terms); n4++) {
                let n = min(vec4(n4 * 4u) + vec4(0u, 1u, 2u, 3u), vec4(params.n_len - 1u));
                let w_at = (first + n) * width;
                let left = w_rows(w_at, w_k.x);
                let right = w_rows(w_at, w_k.y);
                let d0 = dy[at.x + n4];
                let d1 = dy[at.y + n4];
                let d2 = dy[at.z + n4];
                let d3 = dy[at.w + n4];
                a0 = fma4_rows(d0, left, a0);
                a1 = fma4_rows(d1, left, a1);
                a2 = fma4_rows(d2, left, a2);
                a3 = fma4_rows(d3, left, a3);
                b0 = fma4_rows(d0, right, b0);
                b1 = fma4_rows(d1, right, b1);
                b2 = fma4_rows(d2, right, b2);
                b3 = fma4_rows(d3, right, b3);
            }
            l0 += a0;
            l1 += a1;
            l2 += a2;
            l3 += a3;
            r0 += b0;
            r1 += b1;
            r2 += b2;
            r3 += b3;
        }
    }
    store(row, k.x, l0);
    store(row + 1u, k.x, l1);
    store(row + 2u, k.x, l2);
    store(row + 3u, k.x, l3);
    store(row, k.y, r0);
    store(row + 1u, k.y, r1);
    store(row + 2u, k.y, r2);
    store(row + 3u, k.y, r3);
}
