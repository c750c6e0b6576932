// Rows within their sequences are copied; after them stands zero or the old row. An invocation writes one element.

struct Params {
    rows: u32,
    batch: u32,
    width: u32,
    to_width: u32,
    column: u32,
    from_row: u32,
    to_row: u32,
    time: u32,
    ragged: u32,
    keep: u32,
    keep_row: u32,
}

@group(0) @binding(0) var<storage, read> from_rows: array<f32>;
@group(0) @binding(1) var<storage, read> lengths: array<u32>;
@group(0) @binding(2) var<storage, read_write> to_rows: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = fold(group) * 64u + lane;
    let m = i / params.width;
    let j = i % params.width;
    if m >= params.rows {
        return;
    }
    let stride = quads(params.to_width) * 4u;
    var within = true;
    if params.ragged == 1u {
        within = params.time + m / params.batch < lengths[m % params.batch];
    }
    var value = 0.0;
    if within {
        value = from_rows[(params.from_row + m) * quads(params.width) * 4u + j];
    } else if params.keep == 1u {
        value = to_rows[(params.keep_row + m) * stride + params.column + j];
    }
    to_rows[(params.to_row + m) * stride + params.column + j] = value;
}
