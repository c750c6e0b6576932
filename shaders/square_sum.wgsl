// partials[b] = the sum of squares of 1024 elements. A workgroup takes a block, an invocation a vec4.

struct Params {
    n_first: u32,
    n_len: u32,
    flags: u32,
}

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> partials: array<f32>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let block = fold(group);
    let i = block * 256u + lane;
    var square = 0.0;
    if i < quads(params.n_len) {
        let four = live_part(x[i], i, params.n_len);
        square = fma(four.w, four.w, fma(four.z, four.z, fma(four.y, four.y, four.x * four.x)));
    }
    let total = tree_sum(lane, square);
    if lane == 0u && block * 1024u < params.n_len {
        partials[params.n_first / 1024u + block] = total;
    }
}
