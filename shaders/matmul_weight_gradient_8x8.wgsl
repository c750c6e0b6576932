// dw (+)= dy^T x through workgroup memory: a workgroup of 64 computes 64 outputs n of 64 k of a group, an invocation two
// quads of n of two vec4s of k, each eight apart. Sixteen rows m at a time lie in workgroup memory.

/// Rows that lie in workgroup memory.
const DEPTH: u32 = 16u;
/// [m][n4]
var<workgroup> dy_tile: array<vec4<f32>, 256>;
/// [m][k4]
var<workgroup> x_tile: array<vec4<f32>, 256>;

/// Loads dy[16 rows, 64 n] and x[16 rows, 64 k]; zeros beyond the last row, the last n4 and k4 repeated.
fn load(g: u32, first_n4: u32, first_k: u32, first_row: u32, lane: u32) {
    let width = quads(params.inputs);
    let d_at = dy_at(0u, g) + min(first_n4 + lane % 16u, quads(params.n_len) - 1u);
    let x_at = params.x_row * width + min(first_k + lane % 16u, width - 1u);
    for (var i = lane; i < 256u; i += 64u) {
        let row = first_row + i / 16u;
        var d = vec4(0.0);
        var x4 = vec4(0.0);
        if row < params.rows {
            d = dy[d_at + row * dy_step()];
            x4 = x[x_at + row * width];
        }
        dy_tile[i] = d;
        x_tile[i] = x4;
    }
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let own_n4 = lane / 8u;
    let own_k = lane % 8u;
    let n = (group.y * 16u + own_n4) * 4u;
    let k = group.x * 16u + own_k;
    let g = group.z;

    var y0 = start(g, n, k);
    var y1 = start(g, n, k + 8u);
    var y2 = start(g, n + 32u, k);
    var y3 = start(g, n + 32u, k + 8u);
    for (var block = 0u; block < params.rows; block += 4u * BLOCK) {
        var s0 = mat4x4<f32>();
        var s1 = mat4x4<f32>();
        var s2 = mat4x4<f32>();
        var s3 = mat4x4<f32>();
        for (var row = block; row < min(block + 4u * BLOCK, params.rows); row += DEPTH) {
            load(g, group.y * 16u, group.x * 16u, row, lane);
            workgroupBarrier();
            for (var m = 0u; m < DEPTH; m++) {
                let d0 = dy_tile[m * 16u + own_n4];
                let d1 = dy_tile[m * 16u + own_n4 + 8u];
                let x0 = x_tile[m * 16u + own_k];
                let x1 = x_tile[m * 16u + own_k + 8u];
                s0 = add_outer(d0, x0, s0);
                s1 = add_outer(d0, x1, s1);
                s2 = add_outer(d1, x0, s2);
                s3 = add_outer(d1, x1, s3);
            }
            workgroupBarrier();
        }
        y0 += s0;
        y1 += s1;
        y2 += s2;
        y3 += s3;
    }
    store(g, n, k, y0);
    store(g, n, k + 8u, y1);
    store(g, n + 32u, k, y2);
    store(g, n + 32u, k + 8u, y3);
}
