// losses[loss_row + m] = lse[m] - logits[m, t], and in place the gradient (softmax - target) * token_weight. With the
// gradient an invocation takes four logits of a row, a workgroup 256; without it an invocation takes a row.

struct Params {
    rows: u32,
    vocab: u32,
    target_row: u32,
    loss_row: u32,
    slot: u32,
    gradient: u32,
    smoothing: f32,
    n_first: u32,
    n_len: u32,
    flags: u32,
}

@group(0) @binding(0) var<storage, read_write> logits: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> lse: array<f32>;
@group(0) @binding(2) var<storage, read> targets: array<u32>;
@group(0) @binding(3) var<storage, read> schedule: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> losses: array<f32>;

const IGNORED: u32 = 0xffffffffu;

/// Whoever looks at vec4 i of a row writes its loss, if the wanted logit is there; an ignored row's, at the first.
fn write_loss(row: u32, wanted: u32, i: u32, four: vec4<f32>) {
    let n = wanted - params.n_first;
    if n < params.n_len && n / 4u == i {
        losses[params.loss_row + row] = lse[row] - component(four, n % 4u);
    } else if wanted == IGNORED && i == 0u && ((params.flags & FIRST_PART) != 0u) {
        losses[params.loss_row + row] = 0.0;
    }
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let width = quads(params.n_len);
    let groups_a_row = (params.n_len + 255u) / 256u;
    var row = fold(group) * 64u + lane;
    var i = 0u;
    if params.gradient == 1u {
        row = fold(group) / groups_a_row;
        i = fold(group) % groups_a_row * 64u + lane;
    }
    if row >= params.rows || i >= width {
        return;
    }
    let wanted = targets[params.target_row + row];
    let n = wanted - params.n_first;
    if params.gradient == 0u {
        i = select(0u, n / 4u, n < params.n_len);
    }
    let four = logits[row * width + i];
    write_loss(row, wanted, i, four);
    if params.gradient == 0u {
        return;
    }
    let log_probability = four - lse[row];
    // A driver's exp may be anything far out; NaN stays NaN.
    let probability = select(exp(log_probability), vec4(0.0), log_probability < vec4(-104.0));
    let place = vec4(i * 4u) + vec4(0u, 1u, 2u, 3u);
    let uniform = params.smoothing / f32(params.vocab);
    let wanted_share = select(vec4(uniform), vec4(1.0 - params.smoothing + uniform), place == vec4(n));
    let result = (probability - wanted_share) * schedule[params.slot].w;
    // The padding of a row stays zero.
    let live = place < vec4(select(params.n_len, 0u, wanted == IGNORED));
    logits[row * width + i] = select(vec4(0.0), result, live);
}
