// lse[m] = logsumexp of row m. A workgroup reads a row; lane i takes the vec4s i, i + 256, ... of the whole row, also
// where this shard begins elsewhere, and carries its sum from shard to shard. At the end the lanes meet in a tree.

struct Params {
    rows: u32,
    vocab: u32,
    n_first: u32,
    n_len: u32,
    flags: u32,
}

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> lse: array<f32>;
@group(0) @binding(2) var<storage, read_write> carry: array<Sum>;

var<workgroup> sums: array<Sum, 256>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let row = fold(group);
    if row >= params.rows {
        return;
    }
    var s = sum_of_nothing();
    if (params.flags & FIRST_PART) == 0u {
        s = carry[row * 256u + lane];
    }
    let first = params.n_first / 4u;
    let width = quads(params.n_len);
    for (var i = (lane - first) % 256u; i < width; i += 256u) {
        let four = x[row * width + i];
        let left = params.n_len - i * 4u;
        s = add_term(s, four.x);
        if left > 1u { s = add_term(s, four.y); }
        if left > 2u { s = add_term(s, four.z); }
        if left > 3u { s = add_term(s, four.w); }
    }
    if (params.flags & LAST_PART) == 0u {
        carry[row * 256u + lane] = s;
        return;
    }
    sums[lane] = s;
    workgroupBarrier();
    for (var half = 128u; half > 0u; half /= 2u) {
        if lane < half {
            sums[lane] = merge(sums[lane], sums[lane + half]);
        }
        workgroupBarrier();
    }
    if lane == 0u {
        lse[row] = log_of(sums[0], minus_infinity(lane));
    }
}
