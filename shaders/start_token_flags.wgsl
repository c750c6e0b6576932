// Token flags of rows that start; src/ops/start_token_flags.rs has the rules. A workgroup takes a row, of this part of the token flags.

struct Params {
    rows: u32,
    vocab: u32,
    n_first: u32,
    n_len: u32,
    flags: u32,
}

@group(0) @binding(0) var<storage, read> table: array<Row>;
@group(0) @binding(1) var<storage, read> places: array<u32>;
@group(0) @binding(2) var<storage, read> edits: array<vec2<u32>>;
@group(0) @binding(3) var<storage, read_write> token_flags: array<u32>;

const KEEP_ROW: u32 = 0xffffffffu;
const TOKEN_FLAGS: u32 = 8u;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let m = fold(group);
    if m >= params.rows {
        return;
    }
    // Rows that do not start change nothing, but all lanes come to the barrier.
    let starts = places[m] != KEEP_ROW && (table[m].filters & TOKEN_FLAGS) != 0u;
    let width = select(0u, params.n_len, starts);
    for (var n = lane; n < width; n += 256u) {
        token_flags[m * params.n_len + n] = 0u;
    }
    storageBarrier();
    let end = select(0u, table[m].edits_end, starts);
    for (var i = table[m].edits_first + lane; i < end; i += 256u) {
        // Tokens in front of this part also lie past its end: the difference wraps.
        let n = edits[i].x - params.n_first;
        if n < params.n_len {
            token_flags[m * params.n_len + n] = edits[i].y;
        }
    }
}
