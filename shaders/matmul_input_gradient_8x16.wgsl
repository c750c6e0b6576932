// d_x (+)= dy w in registers alone: an invocation computes eight rows of four vec4s of k. Column r of a tile is a row here.

/// Four n of eight rows of dy.
fn gradients(at: Places, n4: u32) -> Tile {
    return Tile(
        mat4x4<f32>(dy[at.low.x + n4], dy[at.low.y + n4], dy[at.low.z + n4], dy[at.low.w + n4]),
        mat4x4<f32>(dy[at.high.x + n4], dy[at.high.y + n4], dy[at.high.z + n4], dy[at.high.w + n4]),
    );
}

/// The start values of the sums of eight rows.
fn starts(row: u32, k: u32) -> Tile {
    return Tile(
        mat4x4<f32>(start(row, k), start(row + 1u, k), start(row + 2u, k), start(row + 3u, k)),
        mat4x4<f32>(start(row + 4u, k), start(row + 5u, k), start(row + 6u, k), start(row + 7u, k)),
    );
}

fn store_tile(row: u32, k: u32, sums: Tile) {
    store(row, k, sums.low[0]);
    store(row + 1u, k, sums.low[1]);
    store(row + 2u, k, sums.low[2]);
    store(row + 3u, k, sums.low[3]);
    store(row + 4u, k, sums.high[0]);
    store(row + 5u, k, sums.high[1]);
    store(row + 6u, k, sums.high[2]);
    store(row + 7u, k, sums.high[3]);
}

@compute @workgroup_size(8)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let width = quads(params.inputs);
    let k = (group.x * 8u + lane) * 4u;
    let row = group.y * 8u;
    if k >= width {
        return;
    }
    let w_k = min(k + vec4(0u, 1u, 2u, 3u), vec4(width - 1u));
    let rows = tile_rows(row, params.rows);
    let terms = quads(params.n_len);

    var x0 = starts(row, k);
    var x1 = starts(row, k + 1u);
    var x2 = starts(row, k + 2u);
    var x3 = starts(row, k + 3u);
    for (var g = 0u; g < params.groups; g++) {
        let first_d = dy_at(0u, g);
        let at = Places(first_d + rows.low * dy_step(), first_d + rows.high * dy_step());
        let first_w = w_row(g);
        for (var block = 0u; block < terms; block += BLOCK) {
            var s0 = Tile();
            var s1 = Tile();
            var s2 = Tile();
            var s3 = Tile();
            for (var n4 = block; n4 < min(block + BLOCK, terms); n4++) {
                let n = min(vec4(n4 * 4u) + vec4(0u, 1u, 2u, 3u), vec4(params.n_len - 1u));
                let w_at = (first_w + n) * width;
                let d = gradients(at, n4);
                s0 = add_terms(d, w_rows(w_at, w_k.x), s0);
                s1 = add_terms(d, w_rows(w_at, w_k.y), s1);
                s2 = add_terms(d, w_rows(w_at, w_k.z), s2);
                s3 = add_terms(d, w_rows(w_at, w_k.w), s3);
            }
            x0 = plus_tile(x0, s0);
            x1 = plus_tile(x1, s1);
            x2 = plus_tile(x2, s2);
            x3 = plus_tile(x3, s3);
        }
    }
    store_tile(row, k, x0);
    store_tile(row, k + 1u, x1);
    store_tile(row, k + 2u, x2);
    store_tile(row, k + 3u, x3);
}
