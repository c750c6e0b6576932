// Columns of rows are copied or added, in order or from the end of a sequence on; an invocation takes one number.

struct Params {
    rows: u32,
    batch: u32,
    width: u32,
    from_width: u32,
    to_width: u32,
    from_column: u32,
    to_column: u32,
    from_row: u32,
    to_row: u32,
    lengths_row: u32,
    order: u32,
    add: u32,
}

@group(0) @binding(0) var<storage, read> from_rows: array<f32>;
@group(0) @binding(1) var<storage, read> lengths: array<u32>;
@group(0) @binding(2) var<storage, read_write> to_rows: array<f32>;

const REVERSED: u32 = 2u;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = fold(group) * 64u + lane;
    let m = i / params.width;
    let j = i % params.width;
    if m >= params.rows {
        return;
    }
    let t = m / params.batch;
    let b = m % params.batch;
    var len = params.rows;
    if params.order != 0u {
        len = lengths[params.lengths_row + b];
    }
    var value = 0.0;
    if t < len {
        let row = select(m, (len - 1u - t) * params.batch + b, params.order == REVERSED);
        value = from_rows[(params.from_row + row) * quads(params.from_width) * 4u + params.from_column + j];
    }
    let at = (params.to_row + m) * quads(params.to_width) * 4u + params.to_column + j;
    if params.add == 1u {
        value += to_rows[at];
    }
    to_rows[at] = value;
}
