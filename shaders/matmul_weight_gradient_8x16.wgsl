// dw (+)= dy^T x in registers alone: an invocation computes eight outputs n of four vec4s of k.

/// Eight outputs n of four vec4s of k: `low` has the first four n.
struct Sums {
    low0: mat4x4<f32>,
    low1: mat4x4<f32>,
    low2: mat4x4<f32>,
    low3: mat4x4<f32>,
    high0: mat4x4<f32>,
    high1: mat4x4<f32>,
    high2: mat4x4<f32>,
    high3: mat4x4<f32>,
}

/// The sums of one block of rows, from zero.
fn block_sums(d_first: u32, x_first: u32, count: u32, k: vec4<u32>, d_high: u32) -> Sums {
    var s = Sums();
    var d_at = d_first;
    var x_at = x_first;
    for (var m = 0u; m < count; m++) {
        let low = dy[d_at];
        let high = dy[d_at + d_high];
        let x0 = x[x_at + k.x];
        s.low0 = add_outer(low, x0, s.low0);
        s.high0 = add_outer(high, x0, s.high0);
        let x1 = x[x_at + k.y];
        s.low1 = add_outer(low, x1, s.low1);
        s.high1 = add_outer(high, x1, s.high1);
        let x2 = x[x_at + k.z];
        s.low2 = add_outer(low, x2, s.low2);
        s.high2 = add_outer(high, x2, s.high2);
        let x3 = x[x_at + k.w];
        s.low3 = add_outer(low, x3, s.low3);
        s.high3 = add_outer(high, x3, s.high3);
        d_at += dy_step();
        x_at += quads(params.inputs);
    }
    return s;
}

@compute @workgroup_size(8)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let width = quads(params.inputs);
    let k = (group.x * 8u + lane) * 4u;
    let n = group.y * 8u;
    let g = group.z;
    if k >= width {
        return;
    }
    let x_k = min(k + vec4(0u, 1u, 2u, 3u), vec4(width - 1u));
    // Where there is no second quad of outputs the first is repeated; its sums are not stored.
    let d_high = select(0u, 1u, n + 4u < params.n_len);

    var low0 = start(g, n, k);
    var low1 = start(g, n, k + 1u);
    var low2 = start(g, n, k + 2u);
    var low3 = start(g, n, k + 3u);
    var high0 = start(g, n + 4u, k);
    var high1 = start(g, n + 4u, k + 1u);
    var high2 = start(g, n + 4u, k + 2u);
    var high3 = start(g, n + 4u, k + 3u);
    for (var m = 0u; m < params.rows; m += 4u * BLOCK) {
        let d_at = dy_at(m, g) + n / 4u;
        let s = block_sums(d_at, (params.x_row + m) * width, min(4u * BLOCK, params.rows - m), x_k, d_high);
        low0 += s.low0;
        low1 += s.low1;
        low2 += s.low2;
        low3 += s.low3;
        high0 += s.high0;
        high1 += s.high1;
        high2 += s.high2;
        high3 += s.high3;
    }
    store(g, n, k, low0);
    store(g, n, k + 1u, low1);
    store(g, n, k + 2u, low2);
    store(g, n, k + 3u, low3);
    store(g, n + 4u, k, high0);
    store(g, n + 4u, k + 1u, high1);
    store(g, n + 4u, k + 2u, high2);
    store(g, n + 4u, k + 3u, high3);
}
