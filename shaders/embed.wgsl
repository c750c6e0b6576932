// y[y_row + m, :] = table[ids[ids_row + m], :]; an invocation copies four elements. Rows of other parts are left alone.

struct Params {
    rows: u32,
    width: u32,
    y_row: u32,
    ids_row: u32,
    table_first: u32,
    table_len: u32,
    flags: u32,
}

@group(0) @binding(0) var<storage, read> ids: array<u32>;
@group(0) @binding(1) var<storage, read> table: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> y: array<vec4<f32>>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let width = quads(params.width);
    let i = fold(group) * 64u + lane;
    let m = i / width;
    let k = i % width;
    if m >= params.rows {
        return;
    }
    let local = ids[params.ids_row + m] - params.table_first;
    if local < params.table_len {
        y[(params.y_row + m) * width + k] = table[local * width + k];
    }
}
