// d_keys and the place's part of v's gradient, sums over the steps; an invocation takes four numbers of a place.

@group(0) @binding(0) var<storage, read> d_scores: array<f32>;
@group(0) @binding(1) var<storage, read> query: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> keys: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> lengths: array<u32>;
@group(0) @binding(4) var<storage, read> v: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> d_keys: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read_write> rows_of_v: array<vec4<f32>>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let depth = quads(params.width);
    let i = fold(group) * 64u + lane;
    let place = i / depth;
    let j = i % depth;
    let m = place % params.batch;
    let s = place / params.batch;
    if s >= params.source {
        return;
    }
    var of_key = vec4(0.0);
    var of_v = vec4(0.0);
    if s < source_of(m).len {
        let steps = (params.rows + params.batch - 1u - m) / params.batch;
        for (var block = 0u; block < steps; block += PLACES) {
            var key_sum = vec4(0.0);
            var v_sum = vec4(0.0);
            for (var t = block; t < min(block + PLACES, steps); t++) {
                let row = t * params.batch + m;
                let d = vec4(d_scores[weights_at(row) + s]);
                let u = safe_tanh4(query[(params.query_row + row) * depth + j] + keys[place * depth + j]);
                v_sum = fma(d, u, v_sum);
                key_sum = fma(d, 1.0 - u * u, key_sum);
            }
            of_key += key_sum;
            of_v += v_sum;
        }
    }
    d_keys[place * depth + j] = v[j] * of_key;
    rows_of_v[place * depth + j] = of_v;
}
