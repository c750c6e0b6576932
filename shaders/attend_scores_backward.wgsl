// A workgroup takes a row: the weights' gradients, their mean under the weights, the scores' gradients. A lane has places
// i, i + 128, ..., then blocks of them.

@group(0) @binding(0) var<storage, read> d_context: array<f32>;
@group(0) @binding(1) var<storage, read> memory: array<f32>;
@group(0) @binding(2) var<storage, read> lengths: array<u32>;
@group(0) @binding(3) var<storage, read> weights: array<f32>;
@group(0) @binding(4) var<storage, read_write> d_scores: array<f32>;


fn product(d_at: u32, m_at: u32) -> f32 {
    var total = 0.0;
    for (var block = 0u; block < params.outputs; block += PLACES) {
        var sum = 0.0;
        for (var i = block; i < min(block + PLACES, params.outputs); i++) {
            sum = fma(d_context[d_at + i], memory[m_at + i], sum);
        }
        total += sum;
    }
    return total;
}

/// The products of weights and their gradients from place `first` on, a block's.
fn block_sum(at: u32, first: u32, len: u32) -> f32 {
    var sum = 0.0;
    for (var s = first; s < min(first + PLACES, len); s++) {
        sum = fma(weights[at + s], d_scores[at + s], sum);
    }
    return sum;
}

@compute @workgroup_size(128)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let row = fold(group);
    if row >= params.rows {
        return;
    }
    let places = source_of(row);
    let at = weights_at(row);
    let width = quads(params.outputs) * 4u;
    for (var s = lane; s < places.len; s += LANES) {
        d_scores[at + s] = product(context_at(row), (places.first + s * params.stride) * width);
    }
    storageBarrier();
    workgroupBarrier();
    let mean = sum_of_places(at, places.len, lane);
    for (var s = lane; s < params.source; s += LANES) {
        d_scores[at + s] = select(0.0, weights[at + s] * (d_scores[at + s] - mean), s < places.len);
    }
}
