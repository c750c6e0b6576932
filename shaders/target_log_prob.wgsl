// y[m] = x[m, targets[m]] - lse[m]; an invocation takes a row. Targets in other parts are left alone.

struct Params {
    rows: u32,
    vocab: u32,
    n_first: u32,
    n_len: u32,
    flags: u32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> lse: array<f32>;
@group(0) @binding(2) var<storage, read> targets: array<u32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let row = fold(group) * 64u + lane;
    if row >= params.rows {
        return;
    }
    let n = targets[row] - params.n_first;
    if n < params.n_len {
        y[row] = x[row * quads(params.n_len) * 4u + n] - lse[row];
    }
}
