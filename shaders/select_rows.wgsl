// Columns of rows are copied or added: in order, from the end of a sequence on, of ends or to them. An invocation takes one
// number.

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
    keep_row: u32,
    lengths_row: u32,
    time: u32,
    order: u32,
    add: u32,
}

@group(0) @binding(0) var<storage, read> from_rows: array<f32>;
@group(0) @binding(1) var<storage, read> lengths: array<u32>;
@group(0) @binding(2) var<storage, read_write> to_rows: array<f32>;

const PLAIN: u32 = 0u;
const KEEP: u32 = 2u;
const REVERSED: u32 = 3u;
const ENDS: u32 = 4u;
const AT_END: u32 = 5u;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = fold(group) * 64u + lane;
    let m = i / params.width;
    let j = i % params.width;
    if m >= params.rows {
        return;
    }
    let t = params.time + m / params.batch;
    let b = m % params.batch;
    var last = t;
    if params.order != PLAIN {
        last = lengths[params.lengths_row + b] - 1u;
    }
    var within = t <= last;
    var row = m;
    if params.order == REVERSED {
        row = (last - t) * params.batch + b;
    } else if params.order == ENDS {
        within = true;
        row = last * params.batch + b;
    } else if params.order == AT_END {
        within = t == last;
        row = b;
    }
    let stride = quads(params.to_width) * 4u;
    var value = 0.0;
    if within {
        value = from_rows[(params.from_row + row) * quads(params.from_width) * 4u + params.from_column + j];
    } else if params.order == KEEP {
        value = to_rows[(params.keep_row + m) * stride + params.to_column + j];
    }
    let at = (params.to_row + m) * stride + params.to_column + j;
    if params.add == 1u {
        value += to_rows[at];
    }
    to_rows[at] = value;
}
