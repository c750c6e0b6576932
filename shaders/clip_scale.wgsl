// clips[slot] = [norm, scale]: the root of the sum of partial sums, and what limits the norm to max_norm. One workgroup;
// lane i takes the vec4s i, i + 256, ...

struct Params {
    count: u32,
    slot: u32,
    max_norm: f32,
}

@group(0) @binding(0) var<storage, read> partials: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> clips: array<vec4<f32>>;

@compute @workgroup_size(256)
fn main(@builtin(local_invocation_index) lane: u32) {
    var sum = 0.0;
    for (var i = lane; i < quads(params.count); i += 256u) {
        let four = live_part(partials[i], i, params.count);
        sum = (((sum + four.x) + four.y) + four.z) + four.w;
    }
    let total = tree_sum(lane, sum);
    if lane != 0u {
        return;
    }
    let norm = sqrt(total);
    let ratio = params.max_norm / (norm + 1e-6);
    let scale = select(min(ratio, 1.0), 1.0, params.max_norm == 0.0);
    // Compilers may take for granted that nothing is NaN; the bits say it, and NaN goes on as it came.
    let is_nan = (bitcast<u32>(total) & 0x7fffffffu) > 0x7f800000u;
    clips[params.slot] = select(vec4(norm, scale, 0.0, 0.0), vec4(total, total, 0.0, 0.0), is_nan);
}
