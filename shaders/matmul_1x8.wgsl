// y = x w^T + bias in registers alone: an invocation computes two quads of columns of one row.

fn store_quad(q: u32, row: u32, sums: vec4<f32>) {
    store(q, row, sums.x);
    store(q + 1u, row, sums.y);
    store(q + 2u, row, sums.z);
    store(q + 3u, row, sums.w);
}

@compute @workgroup_size(8)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let columns = params.groups * params.n_len;
    let depth = quads(params.inputs);
    let q = (group.x * 8u + lane) * 8u;
    let row = group.y;
    if q >= columns {
        return;
    }
    let x_at = (params.x_row + row) * depth;
    let left = quad_units(q, columns);
    let right = quad_units(q + 4u, columns);
    var y_left = biases(left);
    var y_right = biases(right);
    for (var block = 0u; block < depth; block += BLOCK) {
        var s_left = vec4(0.0);
        var s_right = vec4(0.0);
        for (var k = block; k < min(block + BLOCK, depth); k++) {
            let x4 = x[x_at + k];
            s_left = fma_quad(weights(k * columns + left), x4, s_left);
            s_right = fma_quad(weights(k * columns + right), x4, s_right);
        }
        y_left += s_left;
        y_right += s_right;
    }
    store_quad(q, row, y_left);
    store_quad(q + 4u, row, y_right);
}
