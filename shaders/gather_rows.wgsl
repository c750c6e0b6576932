// to[to_row + m, :] = from[from_row + (gather ? index[m] : m), :]; an invocation copies four elements.

struct Params {
    rows: u32,
    width: u32,
    from_row: u32,
    to_row: u32,
    gather: u32,
}

@group(0) @binding(0) var<storage, read> from_rows: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> index: array<u32>;
@group(0) @binding(2) var<storage, read_write> to_rows: array<vec4<f32>>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let width = quads(params.width);
    let i = fold(group) * 64u + lane;
    let m = i / width;
    let k = i % width;
    if m >= params.rows {
        return;
    }
    var row = m;
    if params.gather == 1u {
        row = index[m];
    }
    to_rows[(params.to_row + m) * width + k] = from_rows[(params.from_row + row) * width + k];
}
