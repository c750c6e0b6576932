// A workgroup takes a row: scores, their softmax, and the mean of the memory. A lane has places i, i + 128, ..., then blocks
// of them, then quads of the context; sums go block by block whichever lane takes them.

@group(0) @binding(0) var<storage, read> query: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> keys: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> memory: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> lengths: array<u32>;
@group(0) @binding(4) var<storage, read> v: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> weights: array<f32>;
@group(0) @binding(6) var<storage, read_write> context: array<f32>;

const LOWEST: f32 = -3.4e38;

/// The term of four numbers of a query and a key, both at these places.
fn term(q_at: u32, k_at: u32, i: u32, sum: f32) -> f32 {
    if params.score == ADDITIVE {
        return fma4(v[i], safe_tanh4(query[q_at + i] + keys[k_at + i]), sum);
    }
    if params.score == PRODUCT {
        return fma4(query[q_at + i], keys[k_at + i], sum);
    }
    return fma4(query[q_at + i], memory[k_at + i], sum);
}

fn score(q_at: u32, k_at: u32, depth: u32) -> f32 {
    var total = 0.0;
    for (var block = 0u; block < depth; block += BLOCK) {
        var sum = 0.0;
        for (var i = block; i < min(block + BLOCK, depth); i++) {
            sum = term(q_at, k_at, i, sum);
        }
        total += sum;
    }
    return total;
}

/// The sum of the weights from place `first` on, a block's.
fn block_sum(at: u32, first: u32, len: u32) -> f32 {
    var sum = 0.0;
    for (var s = first; s < min(first + PLACES, len); s++) {
        sum += weights[at + s];
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
    let depth = quads(params.width);
    var most = LOWEST;
    for (var s = lane; s < places.len; s += LANES) {
        let e = score((params.query_row + row) * depth, (places.first + s * params.stride) * depth, depth);
        weights[at + s] = e;
        most = max(most, e);
    }
    numbers[lane] = most;
    workgroupBarrier();
    for (var half = LANES / 2u; half > 0u; half /= 2u) {
        if lane < half {
            numbers[lane] = max(numbers[lane], numbers[lane + half]);
        }
        workgroupBarrier();
    }
    most = numbers[0];
    for (var s = lane; s < params.source; s += LANES) {
        weights[at + s] = select(0.0, exp(weights[at + s] - most), s < places.len);
    }
    storageBarrier();
    workgroupBarrier();
    let total = sum_of_places(at, places.len, lane);
    for (var s = lane; s < places.len; s += LANES) {
        weights[at + s] = weights[at + s] / total;
    }
    storageBarrier();
    workgroupBarrier();
    let width = quads(params.outputs);
    for (var j = lane; j < width; j += LANES) {
        var sums = vec4(0.0);
        for (var block = 0u; block < places.len; block += PLACES) {
            var sum = vec4(0.0);
            for (var s = block; s < min(block + PLACES, places.len); s++) {
                sum = fma(vec4(weights[at + s]), memory[(places.first + s * params.stride) * width + j], sum);
            }
            sums += sum;
        }
        for (var i = 0u; i < min(4u, params.outputs - j * 4u); i++) {
            context[context_at(row) + j * 4u + i] = component(sums, i);
        }
    }
}
