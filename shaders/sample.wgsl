// The next token of every row; src/ops/sample.rs has the equations, src/ops/rows.rs the row table. A workgroup takes a
// row; lane i looks at the vec4s of logits i, i + 256, ... of the whole row and carries what it found from shard to shard.

struct Params {
    rows: u32,
    vocab: u32,
    slot: u32,
    filtered: u32,
    n_first: u32,
    n_len: u32,
    flags: u32,
}

/// The best that an invocation has found in its logits.
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
@group(0) @binding(6) var<storage, read> token_flags: array<u32>;
@group(0) @binding(7) var<storage, read_write> carry: array<Found>;

var<workgroup> found: array<Found, 256>;

/// The state of a row's search.
struct Search {
    row: Row,
    /// The row's filters, or 0 where this run has none.
    filters: u32,
    forced_token: u32,
}

/// Takes one logit in. The noise of a token that cannot win is not computed: its score would not be above the best.
fn consider(before: Found, search: Search, token: u32, logit: f32, mark: u32, bits: u32) -> Found {
    var f = before;
    f.lse = add_term(f.lse, logit);
    if token == search.forced_token {
        f.forced_logit = logit;
    }
    if (mark & BANNED) != 0u {
        return f;
    }
    let row = search.row;
    if (search.filters & LIMITS) != 0u {
        let key = vec2(~token, key_high(row, logit, mark));
        if !at_least(key, vec2(row.limit_low, row.limit_high)) {
            return f;
        }
    }
    let penalised = adjusted(row, logit, mark);
    var score = penalised;
    if row.inverse_temperature != 0.0 {
        if fma(penalised, row.inverse_temperature, gumbel_bound(bits)) <= f.score {
            return f;
        }
        score = fma(penalised, row.inverse_temperature, gumbel(bits));
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

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let m = fold(group);
    if m >= params.rows {
        return;
    }
    let row = table[m];
    // Idle rows look at nothing, but all invocations come to the barriers.
    let running = row.running != 0u;
    let is_forced = row_is_forced(row);
    var search = Search(row, select(0u, row.filters, params.filtered == 1u), NO_TOKEN);
    if is_forced {
        search.forced_token = forced[row.forced_next];
    }
    var f = Found(sum_of_nothing(), minus_infinity(m & 0u), NO_TOKEN, 0.0, 0.0);
    if (params.flags & FIRST_PART) == 0u {
        f = carry[m * 256u + lane];
    }
    let first = params.n_first / 4u;
    let width = select(0u, quads(params.n_len), running);
    for (var i = (lane - first) % 256u; i < width; i += 256u) {
        let four = logits[m * width + i];
        let bits = philox(vec4(first + i, row.position, row.sequence), row.seed);
        let token = params.n_first + i * 4u;
        let left = params.n_len - i * 4u;
        let mark = four_marks(search.filters, m * params.n_len + i * 4u, left);
        f = consider(f, search, token, four.x, mark.x, bits.x);
        if left > 1u { f = consider(f, search, token + 1u, four.y, mark.y, bits.y); }
        if left > 2u { f = consider(f, search, token + 2u, four.z, mark.z, bits.z); }
        if left > 3u { f = consider(f, search, token + 3u, four.w, mark.w, bits.w); }
    }
    if (params.flags & LAST_PART) == 0u {
        carry[m * 256u + lane] = f;
        return;
    }
    found[lane] = f;
    workgroupBarrier();
    // Invocations past the last vec4 of the row have found nothing.
    let lanes = min(quads(params.vocab), 256u);
    for (var half = (1u << (32u - countLeadingZeros(lanes - 1u))) / 2u; half > 0u; half /= 2u) {
        if lane < half {
            found[lane] = better(found[lane], found[lane + half]);
        }
        workgroupBarrier();
    }
    let out = params.slot * params.rows + m;
    let out_real = params.slot * quads(params.rows) * 4u + m;
    // The lane that saw the forced token knows its logit; without one, the first lane has the best token's.
    let teller = select(0u, search.forced_token / 4u % 256u, is_forced);
    if running && lane == teller {
        let best = found[0];
        let lse = log_of(best.lse, minus_infinity(m & 0u));
        let token = select(select(best.token, 0u, best.token == NO_TOKEN), search.forced_token, is_forced);
        ids[out] = token;
        log_probs[out_real] = select(best.logit, f.forced_logit, is_forced) - lse;
        tokens[m] = token;
        advance(m, token, is_forced);
    } else if !running && lane == 0u {
        ids[out] = NO_TOKEN;
        log_probs[out_real] = 0.0;
    }
}
