// A backward step in registers alone: an invocation computes four quads of units of eight rows; a column of a tile is a
// row here. See backward.

/// The start values of the sums of eight rows of a quad.
fn starts(row: u32, quad: u32) -> Tile {
    return Tile(
        mat4x4<f32>(start_at(row, quad), start_at(row + 1u, quad), start_at(row + 2u, quad), start_at(row + 3u, quad)),
        mat4x4<f32>(start_at(row + 4u, quad), start_at(row + 5u, quad), start_at(row + 6u, quad), start_at(row + 7u, quad)),
    );
}

fn is_live(row: u32, quad: u32) -> bool {
    return row < params.rows && quad < quads(params.hidden);
}

fn start_at(row: u32, quad: u32) -> vec4<f32> {
    if is_live(row, quad) {
        return start_of(row, quad);
    }
    return vec4(0.0);
}

/// Where a gate of the later step begins for four rows.
fn laters_at(rows: vec4<u32>, g: u32) -> vec4<u32> {
    return vec4(later_at(rows.x, g), later_at(rows.y, g), later_at(rows.z, g), later_at(rows.w, g));
}

fn later_rows(g: u32, at: vec4<u32>) -> mat4x4<f32> {
    return mat4x4<f32>(later(g, at.x), later(g, at.y), later(g, at.z), later(g, at.w));
}

/// Leaves eight rows' sums in dh, from where `finish` goes on with them.
fn hand_over(row: u32, quad: u32, sums: Tile) {
    hand_over_row(row, quad, sums.low[0]);
    hand_over_row(row + 1u, quad, sums.low[1]);
    hand_over_row(row + 2u, quad, sums.low[2]);
    hand_over_row(row + 3u, quad, sums.low[3]);
    hand_over_row(row + 4u, quad, sums.high[0]);
    hand_over_row(row + 5u, quad, sums.high[1]);
    hand_over_row(row + 6u, quad, sums.high[2]);
    hand_over_row(row + 7u, quad, sums.high[3]);
}

fn hand_over_row(row: u32, quad: u32, sum: vec4<f32>) {
    if is_live(row, quad) {
        dh[row * quads(params.hidden) + quad] = sum;
    }
}

fn step_backward(row: u32, quad: u32) {
    let last = quads(params.hidden) - 1u;
    let rows = tile_rows(row, params.rows);
    let depth = quads(params.n_len);
    var t0 = starts(row, quad);
    var t1 = starts(row, quad + 1u);
    var t2 = starts(row, quad + 2u);
    var t3 = starts(row, quad + 3u);
    for (var item = 0u; item < items(); item++) {
        let g = item % GATES;
        let first = item / GATES * BLOCK;
        let low = laters_at(params.next_row + rows.low, g);
        let high = laters_at(params.next_row + rows.high, g);
        var s0 = Tile();
        var s1 = Tile();
        var s2 = Tile();
        var s3 = Tile();
        for (var k = first; k < min(first + BLOCK, depth); k++) {
            let d = Tile(later_rows(g, low + k), later_rows(g, high + k));
            s0 = add_terms(d, w_rows(g, 4u * k, quad), s0);
            s1 = add_terms(d, w_rows(g, 4u * k, min(quad + 1u, last)), s1);
            s2 = add_terms(d, w_rows(g, 4u * k, min(quad + 2u, last)), s2);
            s3 = add_terms(d, w_rows(g, 4u * k, min(quad + 3u, last)), s3);
        }
        t0 = plus_tile(t0, s0);
        t1 = plus_tile(t1, s1);
        t2 = plus_tile(t2, s2);
        t3 = plus_tile(t3, s3);
    }
    hand_over(row, quad, t0);
    hand_over(row, quad + 1u, t1);
    hand_over(row, quad + 2u, t2);
    hand_over(row, quad + 3u, t3);
    for (var m = row; m < min(row + 8u, params.rows); m++) {
        for (var q = quad; q < min(quad + 4u, last + 1u); q++) {
            finish(m, q, dh[m * (last + 1u) + q]);
        }
    }
}

@compute @workgroup_size(8)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let quad = (group.x * 8u + lane) * 4u;
    if quad < quads(params.hidden) {
        step_backward(group.y * 8u, quad);
    }
}
