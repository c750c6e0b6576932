// The mean of a sequence's steps, or its gradient spread over them; an invocation takes one number.

struct Params {
    batch: u32,
    steps: u32,
    width: u32,
    lengths_row: u32,
    spread: u32,
    accumulate: u32,
}

@group(0) @binding(0) var<storage, read> from_rows: array<f32>;
@group(0) @binding(1) var<storage, read> lengths: array<u32>;
@group(0) @binding(2) var<storage, read_write> to_rows: array<f32>;

/// Steps of a block of a sum.
const STEPS: u32 = 64u;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = fold(group) * 64u + lane;
    let row = i / params.width;
    let j = i % params.width;
    let m = row % params.batch;
    let s = row / params.batch;
    if s >= select(1u, params.steps, params.spread == 1u) {
        return;
    }
    let stride = quads(params.width) * 4u;
    let len = min(lengths[params.lengths_row + m], params.steps);
    if params.spread == 1u {
        var value = 0.0;
        if params.accumulate == 1u {
            value = to_rows[row * stride + j];
        }
        if s < len {
            value += from_rows[m * stride + j] / f32(len);
        }
        to_rows[row * stride + j] = value;
        return;
    }
    var total = 0.0;
    for (var block = 0u; block < len; block += STEPS) {
        var sum = 0.0;
        for (var step = block; step < min(block + STEPS, len); step++) {
            sum += from_rows[(step * params.batch + m) * stride + j];
        }
        total += sum;
    }
    to_rows[m * stride + j] = total / f32(len);
}
