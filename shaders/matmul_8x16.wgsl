// y = x w^T + bias in registers alone: an invocation computes eight rows of sixteen columns, four tiles.

/// (base + rows) * stride
fn places(rows: Places, base: u32, stride: u32) -> Places {
    return Places((base + rows.low) * stride, (base + rows.high) * stride);
}

/// Four k of eight rows of x.
fn inputs(at: Places, k: u32) -> Tile {
    return Tile(
        by_k(x[at.low.x + k], x[at.low.y + k], x[at.low.z + k], x[at.low.w + k]),
        by_k(x[at.high.x + k], x[at.high.y + k], x[at.high.z + k], x[at.high.w + k]),
    );
}

fn store_tile(q: u32, row: u32, sums: Tile) {
    store_rows(q, row, sums.low[0]);
    store_rows(q + 1u, row, sums.low[1]);
    store_rows(q + 2u, row, sums.low[2]);
    store_rows(q + 3u, row, sums.low[3]);
    store_rows(q, row + 4u, sums.high[0]);
    store_rows(q + 1u, row + 4u, sums.high[1]);
    store_rows(q + 2u, row + 4u, sums.high[2]);
    store_rows(q + 3u, row + 4u, sums.high[3]);
}

@compute @workgroup_size(8)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let columns = params.groups * params.n_len;
    let depth = quads(params.inputs);
    let q = (group.x * 8u + lane) * 16u;
    let row = group.y * 8u;
    if q >= columns {
        return;
    }
    let x_at = places(tile_rows(row, params.rows), params.x_row, depth);
    let q0 = quad_units(q, columns);
    let q1 = quad_units(q + 4u, columns);
    let q2 = quad_units(q + 8u, columns);
    let q3 = quad_units(q + 12u, columns);

    var y0 = same_rows(biases(q0));
    var y1 = same_rows(biases(q1));
    var y2 = same_rows(biases(q2));
    var y3 = same_rows(biases(q3));
    for (var block = 0u; block < depth; block += BLOCK) {
        var s0 = Tile();
        var s1 = Tile();
        var s2 = Tile();
        var s3 = Tile();
        for (var k = block; k < min(block + BLOCK, depth); k++) {
            let xs = inputs(x_at, k);
            let at = k * columns;
            s0 = fma_tile(weights(at + q0), xs, s0);
            s1 = fma_tile(weights(at + q1), xs, s1);
            s2 = fma_tile(weights(at + q2), xs, s2);
            s3 = fma_tile(weights(at + q3), xs, s3);
        }
        y0 = plus_tile(y0, s0);
        y1 = plus_tile(y1, s1);
        y2 = plus_tile(y2, s2);
        y3 = plus_tile(y3, s3);
    }
    store_tile(q, row, y0);
    store_tile(q + 4u, row, y1);
    store_tile(q + 8u, row, y2);
    store_tile(q + 12u, row, y3);
}
