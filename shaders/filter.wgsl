// The limits of rows, by a search for their digits; src/ops/filter.rs has the equations and the rounds. A workgroup
// takes a row. Sums are whole numbers, so no order of them matters. One dispatch runs all rounds where the logits are
// in one part; else each round comes part by part, and what is known goes along in `carry`.

struct Params {
    rows: u32,
    vocab: u32,
    round: u32,
    n_first: u32,
    n_len: u32,
    flags: u32,
}

/// The state that a row carries from shard to shard and from round to round.
struct Carried {
    low: array<u32, 256>,
    high: array<u32, 256>,
    search: Search,
}

@group(0) @binding(0) var<storage, read> logits: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> table: array<Row>;
@group(0) @binding(2) var<storage, read> token_flags: array<u32>;
@group(0) @binding(3) var<storage, read_write> carry: array<Carried>;

/// Whether a row with these filters has anything to do in a round.
fn has_work(wanted: u32, round: u32) -> bool {
    let needs = select(select(TOP_P, TOP_K, round < levels()), LIMITS, round == 0u);
    return (wanted & needs) != 0u;
}

/// Empties the bins, or takes them from the part before.
fn begin(wanted: u32, m: u32, lane: u32, round: u32) {
    let is_first = ((params.flags & FIRST_PART) != 0u);
    if is_first {
        atomicStore(&bins_low[lane], 0u);
        atomicStore(&bins_high[lane], 0u);
    } else {
        atomicStore(&bins_low[lane], carry[m].low[lane]);
        atomicStore(&bins_high[lane], carry[m].high[lane]);
    }
    if lane == 0u {
        atomicStore(&most, search.most);
        if is_first && round % levels() == 0u {
            begin_search(select(vec2(0u), search.found, round > 0u && (wanted & TOP_K) != 0u));
        }
    }
}

/// Takes four neighbouring tokens in.
fn look_at(row: Row, m: u32, i: u32, round: u32) {
    let left = params.n_len - i * 4u;
    let four = logits[m * quads(params.n_len) + i];
    let mark = four_marks(row.filters, m * params.n_len + i * 4u, left);
    let low = ~(params.n_first + i * 4u);
    take(vec2(low, key_high(row, four.x, mark.x)), round);
    if left > 1u { take(vec2(low - 1u, key_high(row, four.y, mark.y)), round); }
    if left > 2u { take(vec2(low - 2u, key_high(row, four.z, mark.z)), round); }
    if left > 3u { take(vec2(low - 3u, key_high(row, four.w, mark.w)), round); }
}

/// Takes the tokens of this part in, if there is work. The loop is as long for a row without any: FXC allows no barrier
/// in a loop around one whose length hangs on a buffer or a lane.
fn look(works: bool, row: Row, m: u32, lane: u32, round: u32) {
    let width = quads(params.n_len);
    for (var first = 0u; first < width; first += 256u) {
        if works && first + lane < width {
            look_at(row, m, first + lane, round);
        }
    }
    if works {
        give_up_pending();
        atomicMax(&most, largest);
    }
}

/// The limit, once the last digits are known.
fn limit_of(row: Row) -> vec2<u32> {
    var limit = vec2(0u);
    if (row.filters & (TOP_K | TOP_P)) != 0u {
        limit = search.found;
    }
    let least = ordered(unordered(search.most) + row.ln_min_p);
    if (row.filters & MIN_P) != 0u && least > limit.y {
        limit = vec2(0u, least);
    }
    return limit;
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let m = fold(group);
    if m >= params.rows {
        return;
    }
    let row = table[m];
    let wanted = select(0u, row.filters & LIMITS, row.running != 0u && !row_is_forced(row));
    let is_first = ((params.flags & FIRST_PART) != 0u);
    let is_last = ((params.flags & LAST_PART) != 0u);
    let is_whole = is_first && is_last;
    let rounds = 2u * levels();
    let end = select(params.round + 1u, rounds, is_whole);
    if lane == 0u && params.round == 0u && is_first {
        search = Search(vec2(0u), vec2(0u), vec2(0u), 0u, 0u);
    } else if lane == 0u && !is_whole {
        search = carry[m].search;
    }
    for (var round = params.round; round < end; round++) {
        let works = has_work(wanted, round);
        workgroupBarrier();
        if works {
            begin(wanted, m, lane, round);
        }
        workgroupBarrier();
        look(works, row, m, lane, round);
        workgroupBarrier();
        if works && lane == 0u {
            search.most = atomicLoad(&most);
        }
        if is_last {
            settle(works, lane, round, row.top_k, row.top_p);
        } else if works {
            carry[m].low[lane] = atomicLoad(&bins_low[lane]);
            carry[m].high[lane] = atomicLoad(&bins_high[lane]);
        }
    }
    workgroupBarrier();
    if wanted == 0u || lane != 0u {
        return;
    }
    if end == rounds && is_last {
        let limit = limit_of(row);
        table[m].limit_low = limit.x;
        table[m].limit_high = limit.y;
    }
    if !is_whole {
        carry[m].search = search;
    }
}
