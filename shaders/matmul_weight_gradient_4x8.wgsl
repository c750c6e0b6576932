// dw (+)= dy^T x, in registers only: an invocation computes four outputs n of two vec4s of k, eight vec4s apart.
// A workgroup covers 32 n and 64 k of a group.

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let width = quads(params.inputs);
    let k = vec2(group.x * 16u + lane % 8u) + vec2(0u, 8u);
    let n4 = group.y * 8u + lane / 8u;
    let g = group.z;
    if n4 >= quads(params.n_len) || k.x >= width {
        return;
    }
    let x_k = min(k, vec2(width - 1u));

    var left = start(g, n4 * 4u, k.x);
    var right = start(g, n4 * 4u, k.y);
    var d_at = dy_at(0u, g) + n4;
    var x_at = params.x_row * width;
    for (var block = 0u; block < params.rows; block += 4u * BLOCK) {
        var a = mat4x4<f32>();
        var b = mat4x4<f32>();
        for (var m = block; m < min(block + 4u * BLOCK, params.rows); m++) {
            let d = dy[d_at];
            a = add_outer(d, x[x_at + x_k.x], a);
            b = add_outer(d, x[x_at + x_k.y], b);
            d_at += dy_step();
            x_at += width;
        }
        left += a;
        right += b;
    }
    store(g, n4 * 4u, k.x, left);
    store(g, n4 * 4u, k.y, right);
}
