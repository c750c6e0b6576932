// d_memory[s, m] (+)= sum over steps of a factor times a row; an invocation takes one number of a place.

@group(0) @binding(0) var<storage, read> factors: array<f32>;
@group(0) @binding(1) var<storage, read> from_rows: array<f32>;
@group(0) @binding(2) var<storage, read> lengths: array<u32>;
@group(0) @binding(3) var<storage, read_write> d_memory: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = fold(group) * 64u + lane;
    let place = i / params.outputs;
    let j = i % params.outputs;
    let m = place % params.batch;
    let s = place / params.batch;
    if s >= params.source {
        return;
    }
    let at = place * quads(params.outputs) * 4u + j;
    var sums = 0.0;
    if params.accumulate == 1u {
        sums = d_memory[at];
    }
    if s < source_of(m).len {
        let steps = (params.rows + params.batch - 1u - m) / params.batch;
        for (var block = 0u; block < steps; block += PLACES) {
            var sum = 0.0;
            for (var t = block; t < min(block + PLACES, steps); t++) {
                let row = t * params.batch + m;
                sum = fma(factors[weights_at(row) + s], from_rows[context_at(row) + j], sum);
            }
            sums += sum;
        }
    }
    d_memory[at] = sums;
}
