// A step of Adam or AdamW; an invocation takes four elements.

struct Params {
    slot: u32,
    beta1: f32,
    beta2: f32,
    one_minus_beta1: f32,
    one_minus_beta2: f32,
    epsilon: f32,
    decay: f32,
    decoupled: u32,
    n_first: u32,
    n_len: u32,
    flags: u32,
}

@group(0) @binding(0) var<storage, read_write> parameters: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> gradients: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> first: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> second: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> schedule: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read> clips: array<vec4<f32>>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = fold(group) * 64u + lane;
    if i >= quads(params.n_len) {
        return;
    }
    let now = schedule[params.slot];
    var p = parameters[i];
    var g = gradients[i] * clips[params.slot].y;
    if params.decoupled == 1u {
        p *= fma(-now.x, params.decay, 1.0);
    } else {
        g = fma(vec4(params.decay), p, g);
    }
    let m = fma(vec4(params.beta1), first[i], params.one_minus_beta1 * g);
    let v = fma(vec4(params.beta2), second[i], params.one_minus_beta2 * g * g);
    first[i] = m;
    second[i] = v;
    let root = fma(sqrt(v), vec4(now.z), vec4(params.epsilon));
    parameters[i] = fma(vec4(-now.x * now.y), m / root, p);
}
