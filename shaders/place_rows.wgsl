// Rows that are put where an index says; src/ops/place_rows.rs has the meanings. An invocation copies four elements.

struct Params {
    rows: u32,
    width: u32,
    from_row: u32,
    to_row: u32,
    scatter: u32,
}

@group(0) @binding(0) var<storage, read> from_rows: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> index: array<u32>;
@group(0) @binding(2) var<storage, read_write> to_rows: array<vec4<f32>>;

const KEEP_ROW: u32 = 0xffffffffu;
const ZERO_ROW: u32 = 0xfffffffeu;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let width = quads(params.width);
    let i = fold(group) * 64u + lane;
    let m = i / width;
    let k = i % width;
    if m >= params.rows || index[m] == KEEP_ROW {
        return;
    }
    let place = index[m];
    if params.scatter == 1u {
        to_rows[(params.to_row + place) * width + k] = from_rows[(params.from_row + m) * width + k];
        return;
    }
    var four = vec4(0.0);
    if place != ZERO_ROW {
        four = from_rows[(params.from_row + place) * width + k];
    }
    to_rows[(params.to_row + m) * width + k] = four;
}
