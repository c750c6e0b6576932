// y[i] = the sum of 16 chains of multiply-adds that start from x[i]: how fast a device computes in registers.

struct Params {
    count: u32,
    rounds: u32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = fold(group) * 64u + lane;
    if i >= params.count {
        return;
    }
    let a = vec4(1023.0 / 1024.0);
    let b = vec4(1.0 / 1024.0);
    var s0 = vec4(x[i]) + vec4(0.0, 1.0, 2.0, 3.0);
    var s1 = s0 + vec4(4.0);
    var s2 = s0 + vec4(8.0);
    var s3 = s0 + vec4(12.0);
    for (var round = 0u; round < params.rounds; round += 4u) {
        s0 = fma(s0, a, b);
        s1 = fma(s1, a, b);
        s2 = fma(s2, a, b);
        s3 = fma(s3, a, b);
        s0 = fma(s0, a, b);
        s1 = fma(s1, a, b);
        s2 = fma(s2, a, b);
        s3 = fma(s3, a, b);
        s0 = fma(s0, a, b);
        s1 = fma(s1, a, b);
        s2 = fma(s2, a, b);
        s3 = fma(s3, a, b);
        s0 = fma(s0, a, b);
        s1 = fma(s1, a, b);
        s2 = fma(s2, a, b);
        s3 = fma(s3, a, b);
    }
    let s = (s0 + s1) + (s2 + s3);
    y[i] = (s.x + s.y) + (s.z + s.w);
}
