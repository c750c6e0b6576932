// The bindings of a matrix product, where its sums start and where they go; src/ops/matmul.rs has the equation. Columns
// q count through all gates of the shard: q = g n_len + n.

struct Params {
    rows: u32,
    inputs: u32,
    groups: u32,
    outputs: u32,
    x_row: u32,
    y_row: u32,
    n_first: u32,
    n_len: u32,
    flags: u32,
}

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> w: array<Stored>;
@group(0) @binding(2) var<storage, read> bias: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

/// The bias of column q: what its sums start from.
fn bias_of(q: u32) -> f32 {
    let g = q / params.n_len;
    return bias[g * quads(params.outputs) * 4u + params.n_first + q % params.n_len];
}

/// Where column q of row 0 of this op lies in y, and the step from row to row.
fn y_at(q: u32) -> vec2<u32> {
    // Where y is sharded, the shard's columns are the buffer's.
    let is_cut = (params.flags & OUTPUT_CUT) != 0u;
    let stride = quads(select(params.outputs, params.n_len, is_cut)) * 4u;
    let step = params.groups * stride;
    let n = q % params.n_len + select(params.n_first, 0u, is_cut);
    return vec2(params.y_row * step + q / params.n_len * stride + n, step);
}

/// Writes one column of a row, as far as there are such.
fn store(q: u32, row: u32, value: f32) {
    if q < params.groups * params.n_len && row < params.rows {
        let at = y_at(q);
        y[at.x + row * at.y] = value;
    }
}

/// The same for four rows.
fn store_rows(q: u32, row: u32, sums: vec4<f32>) {
    store(q, row, sums.x);
    store(q, row + 1u, sums.y);
    store(q, row + 2u, sums.z);
    store(q, row + 3u, sums.w);
}
