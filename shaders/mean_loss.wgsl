// means[slot] = token_weight * the sum of a window's losses. One workgroup; lane i takes the vec4s i, i + 256, ...

struct Params {
    rows: u32,
    slot: u32,
}

@group(0) @binding(0) var<storage, read> row_losses: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> schedule: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> means: array<f32>;

@compute @workgroup_size(256)
fn main(@builtin(local_invocation_index) lane: u32) {
    var sum = 0.0;
    for (var i = lane; i < quads(params.rows); i += 256u) {
        let four = live_part(row_losses[i], i, params.rows);
        sum = (((sum + four.x) + four.y) + four.z) + four.w;
    }
    let total = tree_sum(lane, sum);
    if lane == 0u {
        means[params.slot] = total * schedule[params.slot].w;
    }
}
