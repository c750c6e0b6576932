// token_flags[m, tokens[m]] += 1 for rows that run: an invocation a row. Each part of the token flags takes the tokens it holds.

struct Params {
    rows: u32,
    vocab: u32,
    n_first: u32,
    n_len: u32,
    flags: u32,
}

@group(0) @binding(0) var<storage, read> table: array<Row>;
@group(0) @binding(1) var<storage, read> tokens: array<u32>;
@group(0) @binding(2) var<storage, read_write> token_flags: array<u32>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let m = fold(group) * 64u + lane;
    if m >= params.rows || table[m].running == 0u {
        return;
    }
    // After the shard's end also where the token stands before its first one: the difference wraps.
    let n = tokens[m] - params.n_first;
    if n < params.n_len {
        token_flags[m * params.n_len + n] += 1u;
    }
}
