// d_x (+)= dy w through workgroup memory: a workgroup of 64 computes 64 rows of 64 k, an invocation eight rows of two
// vec4s of k, eight vec4s apart. Sixteen n at a time lie in workgroup memory.

/// vec4s of n that lie in workgroup memory.
const DEPTH: u32 = 4u;
/// [row][n4]
var<workgroup> dy_tile: array<vec4<f32>, 256>;
/// [n][k4]
var<workgroup> w_tile: array<vec4<f32>, 256>;

/// Sums of one row.
struct Pair {
    left: vec4<f32>,
    right: vec4<f32>,
}

fn add_products(d: vec4<f32>, left: mat4x4<f32>, right: mat4x4<f32>, sums: Pair) -> Pair {
    return Pair(fma4_rows(d, left, sums.left), fma4_rows(d, right, sums.right));
}

fn plus(a: Pair, b: Pair) -> Pair {
    return Pair(a.left + b.left, a.right + b.right);
}

fn start_pair(row: u32, k: u32) -> Pair {
    return Pair(start(row, k), start(row, k + 8u));
}

fn store_pair(row: u32, k: u32, sums: Pair) {
    store(row, k, sums.left);
    store(row, k + 8u, sums.right);
}

/// Four rows n of the tile at a vec4 of k.
fn weights(n4: u32, k: u32) -> mat4x4<f32> {
    let at = n4 * 64u + k;
    return mat4x4<f32>(w_tile[at], w_tile[at + 16u], w_tile[at + 32u], w_tile[at + 48u]);
}

/// Loads dy[64 rows, 16 n] and w[16 n, 64 k]; zeros beyond the last n, the last row and k repeated.
fn load(g: u32, first_row: u32, first_k: u32, n4: u32, lane: u32) {
    let terms = quads(params.n_len);
    let width = quads(params.inputs);
    let at = dy_at(0u, g);
    let w_first = w_row(g);
    for (var i = lane; i < 256u; i += 64u) {
        var d = vec4(0.0);
        if n4 + i % DEPTH < terms {
            d = dy[at + min(first_row + i / DEPTH, params.rows - 1u) * dy_step() + n4 + i % DEPTH];
        }
        dy_tile[i] = d;
        let n = n4 * 4u + i / 16u;
        var w4 = vec4(0.0);
        if n < params.n_len {
            w4 = w[(w_first + n) * width + min(first_k + i % 16u, width - 1u)];
        }
        w_tile[i] = w4;
    }
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let own_row = lane / 8u * 8u;
    let own_k = lane % 8u;
    let row = group.y * 64u + own_row;
    let k = group.x * 16u + own_k;
    let terms = quads(params.n_len);

    var y0 = start_pair(row, k);
    var y1 = start_pair(row + 1u, k);
    var y2 = start_pair(row + 2u, k);
    var y3 = start_pair(row + 3u, k);
    var y4 = start_pair(row + 4u, k);
    var y5 = start_pair(row + 5u, k);
    var y6 = start_pair(row + 6u, k);
    var y7 = start_pair(row + 7u, k);
    for (var g = 0u; g < params.groups; g++) {
        for (var block = 0u; block < terms; block += BLOCK) {
            var s0 = Pair();
            var s1 = Pair();
            var s2 = Pair();
            var s3 = Pair();
            var s4 = Pair();
            var s5 = Pair();
            var s6 = Pair();
            var s7 = Pair();
            for (var n4 = block; n4 < min(block + BLOCK, terms); n4 += DEPTH) {
                load(g, group.y * 64u, group.x * 16u, n4, lane);
                workgroupBarrier();
                for (var n = 0u; n < DEPTH; n++) {
                    let left = weights(n, own_k);
                    let right = weights(n, own_k + 8u);
                    let at = own_row * DEPTH + n;
                    s0 = add_products(dy_tile[at], left, right, s0);
                    s1 = add_products(dy_tile[at + 4u], left, right, s1);
                    s2 = add_products(dy_tile[at + 8u], left, right, s2);
                    s3 = add_products(dy_tile[at + 12u], left, right, s3);
                    s4 = add_products(dy_tile[at + 16u], left, right, s4);
                    s5 = add_products(dy_tile[at + 20u], left, right, s5);
                    s6 = add_products(dy_tile[at + 24u], left, right, s6);
                    s7 = add_products(dy_tile[at + 28u], left, right, s7);
                }
                workgroupBarrier();
            }
            y0 = plus(y0, s0);
            y1 = plus(y1, s1);
            y2 = plus(y2, s2);
            y3 = plus(y3, s3);
            y4 = plus(y4, s4);
            y5 = plus(y5, s5);
            y6 = plus(y6, s6);
            y7 = plus(y7, s7);
        }
    }
    store_pair(row, k, y0);
    store_pair(row + 1u, k, y1);
    store_pair(row + 2u, k, y2);
    store_pair(row + 3u, k, y3);
    store_pair(row + 4u, k, y4);
    store_pair(row + 5u, k, y5);
    store_pair(row + 6u, k, y6);
    store_pair(row + 7u, k, y7);
}
