// y = x, a vec4 an invocation: how fast bytes move.

struct Params {
    quads: u32,
}

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4<f32>>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = fold(group) * 256u + lane;
    if i < params.quads {
        y[i] = x[i];
    }
}
