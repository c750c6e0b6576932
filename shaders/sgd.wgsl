// A step of gradient descent with momentum; an invocation takes four elements.

struct Params {
    slot: u32,
    mu: f32,
    decay: f32,
    n_first: u32,
    n_len: u32,
    flags: u32,
}

@group(0) @binding(0) var<storage, read_write> parameters: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> gradients: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> momentum: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> schedule: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> clips: array<vec4<f32>>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = fold(group) * 64u + lane;
    if i >= quads(params.n_len) {
        return;
    }
    let p = parameters[i];
    let g = fma(vec4(params.decay), p, gradients[i] * clips[params.slot].y);
    let velocity = fma(vec4(params.mu), momentum[i], g);
    momentum[i] = velocity;
    parameters[i] = fma(vec4(-schedule[params.slot].x), velocity, p);
}
