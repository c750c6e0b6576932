// y = x - lse, or its exponential. A workgroup writes 256 elements of a row, an invocation four.

struct Params {
    rows: u32,
    vocab: u32,
    log: u32,
    n_first: u32,
    n_len: u32,
    flags: u32,
}

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> lse: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<vec4<f32>>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let groups_a_row = (params.n_len + 255u) / 256u;
    let row = fold(group) / groups_a_row;
    let i = fold(group) % groups_a_row * 64u + lane;
    let width = quads(params.n_len);
    if row >= params.rows || i >= width {
        return;
    }
    let log_probability = x[row * width + i] - lse[row];
    var result = log_probability;
    if params.log == 0u {
        result = exp(log_probability);
    }
    // The padding of a row stays zero.
    let live = vec4(i * 4u) + vec4(0u, 1u, 2u, 3u) < vec4(params.n_len);
    y[row * width + i] = select(vec4(0.0), result, live);
}
