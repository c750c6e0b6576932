// d_query[r] = sum over places of d_scores times the key, or v (1 - tanh^2); an invocation takes four numbers of a row.

@group(0) @binding(0) var<storage, read> d_scores: array<f32>;
@group(0) @binding(1) var<storage, read> query: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> keys: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> lengths: array<u32>;
@group(0) @binding(4) var<storage, read> v: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> d_query: array<vec4<f32>>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let depth = quads(params.width);
    let i = fold(group) * 64u + lane;
    let row = i / depth;
    let j = i % depth;
    if row >= params.rows {
        return;
    }
    let places = source_of(row);
    let at = weights_at(row);
    let q = query[(params.query_row + row) * depth + j];
    var sums = vec4(0.0);
    for (var block = 0u; block < places.len; block += PLACES) {
        var sum = vec4(0.0);
        for (var s = block; s < min(block + PLACES, places.len); s++) {
            var slope = keys[(places.first + s * params.stride) * depth + j];
            if params.score == ADDITIVE {
                let u = safe_tanh4(q + slope);
                slope = v[j] * (1.0 - u * u);
            }
            sum = fma(vec4(d_scores[at + s]), slope, sum);
        }
        sums += sum;
    }
    d_query[(params.weights_row + row) * depth + j] = sums;
}
