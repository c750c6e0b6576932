// y = x w^T + bias through workgroup memory: a workgroup of 64 computes 64 rows of 64 columns, an invocation eight
// rows of eight columns, eight apart. Sixteen k at a time lie in workgroup memory.

/// vec4s of k that lie in workgroup memory.
const DEPTH: u32 = 4u;
/// [row][k4]
var<workgroup> x_tile: array<vec4<f32>, 256>;
/// [k4][column]
var<workgroup> w_tile: array<vec4<f32>, 256>;

/// Sums of one column for eight rows.
struct Column {
    low: vec4<f32>,
    high: vec4<f32>,
}

fn add_products(w4: vec4<f32>, low: mat4x4<f32>, high: mat4x4<f32>, sums: Column) -> Column {
    return Column(fma4_rows(w4, low, sums.low), fma4_rows(w4, high, sums.high));
}

fn plus(a: Column, b: Column) -> Column {
    return Column(a.low + b.low, a.high + b.high);
}

/// The bias of a column: what its sums start from.
fn start(q: u32) -> Column {
    let b = bias_of(min(q, params.groups * params.n_len - 1u));
    return Column(vec4(b), vec4(b));
}

fn store_column(q: u32, row: u32, sums: Column) {
    store_rows(q, row, sums.low);
    store_rows(q, row + 4u, sums.high);
}

/// Loads x[64 rows, 16 k] and w[16 k, 64 columns]; zeros beyond the last k, the last row and column repeated.
fn load(first_row: u32, first_column: u32, k4: u32, depth: u32, lane: u32) {
    let columns = params.groups * params.n_len;
    for (var i = lane; i < 256u; i += 64u) {
        let x_k = k4 + i % DEPTH;
        let row = params.x_row + min(first_row + i / DEPTH, params.rows - 1u);
        var x4 = vec4(0.0);
        if x_k < depth {
            x4 = x[row * depth + x_k];
        }
        x_tile[i] = x4;
        let w_k = k4 + i / 64u;
        var w4 = vec4(0.0);
        if w_k < depth {
            w4 = load_weight(w[w_k * columns + min(first_column + i % 64u, columns - 1u)]);
        }
        w_tile[i] = w4;
    }
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let depth = quads(params.inputs);
    let first_row = group.y * 64u;
    let first_column = group.x * 64u;
    let own_row = lane / 8u * 8u;
    let own_column = lane % 8u;
    let q = first_column + own_column;

    var y0 = start(q);
    var y1 = start(q + 8u);
    var y2 = start(q + 16u);
    var y3 = start(q + 24u);
    var y4 = start(q + 32u);
    var y5 = start(q + 40u);
    var y6 = start(q + 48u);
    var y7 = start(q + 56u);
    for (var block = 0u; block < depth; block += BLOCK) {
        var s0 = Column();
        var s1 = Column();
        var s2 = Column();
        var s3 = Column();
        var s4 = Column();
        var s5 = Column();
        var s6 = Column();
        var s7 = Column();
        for (var k4 = block; k4 < min(block + BLOCK, depth); k4 += DEPTH) {
            load(first_row, first_column, k4, depth, lane);
            workgroupBarrier();
            for (var k = 0u; k < DEPTH; k++) {
                let at = own_row * DEPTH + k;
                let low = by_k(x_tile[at], x_tile[at + 4u], x_tile[at + 8u], x_tile[at + 12u]);
                let high = by_k(x_tile[at + 16u], x_tile[at + 20u], x_tile[at + 24u], x_tile[at + 28u]);
                let w_at = k * 64u + own_column;
                s0 = add_products(w_tile[w_at], low, high, s0);
                s1 = add_products(w_tile[w_at + 8u], low, high, s1);
                s2 = add_products(w_tile[w_at + 16u], low, high, s2);
                s3 = add_products(w_tile[w_at + 24u], low, high, s3);
                s4 = add_products(w_tile[w_at + 32u], low, high, s4);
                s5 = add_products(w_tile[w_at + 40u], low, high, s5);
                s6 = add_products(w_tile[w_at + 48u], low, high, s6);
                s7 = add_products(w_tile[w_at + 56u], low, high, s7);
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
    let row = first_row + own_row;
    store_column(q, row, y0);
    store_column(q + 8u, row, y1);
    store_column(q + 16u, row, y2);
    store_column(q + 24u, row, y3);
    store_column(q + 32u, row, y4);
    store_column(q + 40u, row, y5);
    store_column(q + 48u, row, y6);
    store_column(q + 56u, row, y7);
}
