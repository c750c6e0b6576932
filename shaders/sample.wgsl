// The next token of every row; src/ops/sample.rs has the equations, src/ops/rows.rs the row table. A workgroup takes a
// row; lane i looks at the vec4s of logits i, i + 256, ... of the whole row and carries what it found from part to part.
// import: index, softmax, noise

struct Params {
    rows: u32,
    vocab: u32,
    slot: u32,
    n_first: u32,
    n_len: u32,
    flags: u32,
}

struct Row {
    running: u32,
    position: u32,
    sequence: vec2<u32>,
    seed: vec2<u32>,
    inverse_temperature: f32,
    end_position: u32,
    forced_next: u32,
    forced_end: u32,
    stop0: u32,
    stop1: u32,
    stop2: u32,
    stop3: u32,
    finish: u32,
    reserved: u32,
}

/// What a lane has found in its logits.
struct Found {
    lse: Sum,
    score: f32,
    token: u32,
    /// The logit of that token.
    logit: f32,
    /// The logit of the forced token, if this lane saw it.
    forced_logit: f32,
}

@group(0) @binding(0) var<storage, read> logits: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> table: array<Row>;
@group(0) @binding(2) var<storage, read_write> tokens: array<u32>;
@group(0) @binding(3) var<storage, read> forced: array<u32>;
@group(0) @binding(4) var<storage, read_write> ids: array<u32>;
@group(0) @binding(5) var<storage, read_write> log_probs: array<f32>;
@group(0) @binding(6) var<storage, read_write> carry: array<Found>;

const NO_TOKEN: u32 = 0xffffffffu;

var<workgroup> found: array<Found, 256>;

/// Takes one logit in. The noise of a token that cannot win is not computed: its score would not be above the best.
fn consider(before: Found, row: Row, forced_token: u32, token: u32, logit: f32, bits: u32) -> Found {
    var f = before;
    f.lse = add_term(f.lse, logit);
    if token == forced_token {
        f.forced_logit = logit;
    }
    var score = logit;
    if row.inverse_temperature != 0.0 {
        if fma(logit, row.inverse_temperature, gumbel_bound(bits)) <= f.score {
            return f;
        }
        score = fma(logit, row.inverse_temperature, gumbel(bits));
    }
    if score > f.score {
        f.score = score;
        f.token = token;
        f.logit = logit;
    }
    return f;
}

/// The better of two finds, the lower id of equals; their sums together.
fn better(a: Found, b: Found) -> Found {
    let b_wins = b.score > a.score || (b.score == a.score && b.token < a.token);
    var best = a;
    if b_wins {
        best = b;
    }
    best.lse = merge(a.lse, b.lse);
    return best;
}

/// Moves a row on by a token: the twin of `Row::advance`.
fn advance(before: Row, token: u32, is_forced: bool) -> Row {
    var row = before;
    row.position += 1u;
    row.forced_next += select(0u, 1u, is_forced);
    let stops = token == row.stop0 || token == row.stop1 || token == row.stop2 || token == row.stop3;
    if !is_forced && stops {
        row.finish = 1u;
    } else if row.position >= row.end_position {
        row.finish = 2u;
    }
    row.running = select(0u, 1u, row.finish == 0u);
    return row;
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let m = fold(group);
    if m >= params.rows {
        return;
    }
    let row = table[m];
    // Rows that draw nothing look at nothing, but all lanes come to the barriers.
    let running = row.running != 0u;
    let is_forced = row.forced_next < row.forced_end;
    var forced_token = NO_TOKEN;
    if is_forced {
        forced_token = forced[row.forced_next];
    }
    var f = Found(sum_of_nothing(), minus_infinity(m & 0u), NO_TOKEN, 0.0, 0.0);
    if (params.flags & 1u) == 0u {
        f = carry[m * 256u + lane];
    }
    let first = params.n_first / 4u;
    let width = quads(params.n_len);
    let looked_at = select(0u, width, running);
    for (var i = (lane - first) % 256u; i < looked_at; i += 256u) {
        let four = logits[m * width + i];
        let bits = philox(vec4(first + i, row.position, row.sequence), row.seed);
        let token = params.n_first + i * 4u;
        let left = params.n_len - i * 4u;
        f = consider(f, row, forced_token, token, four.x, bits.x);
        if left > 1u { f = consider(f, row, forced_token, token + 1u, four.y, bits.y); }
        if left > 2u { f = consider(f, row, forced_token, token + 2u, four.z, bits.z); }
        if left > 3u { f = consider(f, row, forced_token, token + 3u, four.w, bits.w); }
    }
    if (params.flags & 2u) == 0u {
        carry[m * 256u + lane] = f;
        return;
    }
    found[lane] = f;
    workgroupBarrier();
    for (var half = 128u; half > 0u; half /= 2u) {
        if lane < half {
            found[lane] = better(found[lane], found[lane + half]);
        }
        workgroupBarrier();
    }
    let out = params.slot * params.rows + m;
    let out_real = params.slot * quads(params.rows) * 4u + m;
    // The lane that saw the forced token knows its logit; without one, the first lane has the best token's.
    let teller = select(0u, forced_token / 4u % 256u, is_forced);
    if running && lane == teller {
        let best = found[0];
        let lse = log_of(best.lse, minus_infinity(m & 0u));
        let token = select(select(best.token, 0u, best.token == NO_TOKEN), forced_token, is_forced);
        ids[out] = token;
        log_probs[out_real] = select(best.logit, f.forced_logit, is_forced) - lse;
        tokens[m] = token;
        table[m] = advance(row, token, is_forced);
    } else if !running && lane == 0u {
        ids[out] = NO_TOKEN;
        log_probs[out_real] = 0.0;
    }
}
