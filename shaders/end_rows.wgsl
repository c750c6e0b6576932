// Rows where sequences end: gathered (kind 0), added to (kind 1), or added where a step is the end (kind 2). An invocation
// takes one number.

struct Params {
    rows: u32,
    width: u32,
    from_width: u32,
    to_width: u32,
    from_column: u32,
    to_column: u32,
    from_row: u32,
    to_row: u32,
    lengths_row: u32,
    time: u32,
    kind: u32,
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
    let end = lengths[params.lengths_row + m] - 1u;
    let end_row = end * params.rows + m;
    let source = params.from_row + select(m, end_row, params.kind == 0u);
    let target_row = params.to_row + select(m, end_row, params.kind == 1u);
    let value = from_rows[source * quads(params.from_width) * 4u + params.from_column + j];
    let at = target_row * quads(params.to_width) * 4u + params.to_column + j;
    if params.kind == 0u {
        to_rows[at] = value;
    } else if params.kind == 1u || end == params.time {
        to_rows[at] += value;
    }
}
