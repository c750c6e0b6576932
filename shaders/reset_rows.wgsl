// x[x_row + m, :] = 0 where reset[flags_row + m] != 0; an invocation writes four elements.

struct Params {
    rows: u32,
    width: u32,
    x_row: u32,
    flags_row: u32,
}

@group(0) @binding(0) var<storage, read_write> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> reset: array<u32>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let width = quads(params.width);
    let i = fold(group) * 64u + lane;
    let m = i / width;
    if m < params.rows && reset[params.flags_row + m] != 0u {
        x[(params.x_row + m) * width + i % width] = vec4(0.0);
    }
}
