// The parameters as they arrived, fma, and the shared tanh and sigmoid at arguments that drivers get wrong.

struct Params {
    w0: u32,
    w1: u32,
    w2: u32,
    w3: u32,
    w4: u32,
    w5: u32,
    w6: u32,
    w7: u32,
    w8: u32,
    w9: u32,
    w10: u32,
    w11: u32,
    w12: u32,
    w13: u32,
    w14: u32,
    w15: u32,
}

@group(0) @binding(0) var<storage, read> a: array<f32>;
@group(0) @binding(1) var<storage, read> b: array<f32>;
@group(0) @binding(2) var<storage, read> x: array<f32>;
@group(0) @binding(3) var<storage, read_write> words: array<vec4<u32>>;
@group(0) @binding(4) var<storage, read_write> sums: array<f32>;
@group(0) @binding(5) var<storage, read_write> tanhs: array<f32>;
@group(0) @binding(6) var<storage, read_write> sigmoids: array<f32>;

@compute @workgroup_size(16)
fn main(@builtin(local_invocation_index) i: u32) {
    if i == 0u {
        words[0] = vec4(params.w0, params.w1, params.w2, params.w3);
        words[1] = vec4(params.w4, params.w5, params.w6, params.w7);
        words[2] = vec4(params.w8, params.w9, params.w10, params.w11);
        words[3] = vec4(params.w12, params.w13, params.w14, params.w15);
    }
    sums[i] = fma(a[i], a[i], b[i]);
    tanhs[i] = safe_tanh(x[i]);
    sigmoids[i] = sigmoid(x[i]);
}
