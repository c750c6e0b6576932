// The search for a key digit by digit: in each round the tokens that agree with the digits found so far go into 256
// bins, by their next digit, and the bin in which the wanted count or mass is reached is the digit.

/// The state of a row's search between rounds.
struct Search {
    /// The digits of this search, low word first.
    found: vec2<u32>,
    /// Count or mass that is still to be reached, below the tokens that lie above the digits found.
    rest: vec2<u32>,
    /// The result of the search by counts: the search by masses is among the tokens from there up.
    kept: vec2<u32>,
    /// The largest high word of a key.
    most: u32,
    reserved: u32,
}

var<workgroup> search: Search;
var<workgroup> most: atomic<u32>;
/// The largest high word that a lane has seen.
var<private> largest: u32;

/// Digits of 8 bits that tell the ids of a vocabulary apart.
fn id_digits() -> u32 {
    return (39u - countLeadingZeros((params.vocab - 1u) | 1u)) / 8u;
}

/// Digits of a key: four of the scaled logit, then the id's.
fn levels() -> u32 {
    return 4u + id_digits();
}

/// Where the digit of a level begins in its word.
fn shift_of(level: u32) -> u32 {
    return select(8u * (3u - level), 8u * (levels() - 1u - level), level >= 4u);
}

/// The bits above a digit.
fn above(shift: u32) -> u32 {
    return select(0xffffff00u << (shift & 31u), 0u, shift == 24u);
}

/// e^(scaled - largest scaled) in units of 2^-40.
fn weight(high: u32) -> vec2<u32> {
    if high == search.most {
        return vec2(0u, 256u);
    }
    let x = unordered(high) - unordered(search.most);
    if !(x > -27.8) {
        return vec2(0u);
    }
    let e = exp(x) * 256.0;
    let whole = floor(e);
    return vec2(u32((e - whole) * 4294967296.0), u32(whole));
}

/// Counts a token in this round, or weighs it.
fn take(key: vec2<u32>, round: u32) {
    let level = round % levels();
    largest = max(largest, key.y);
    let shift = shift_of(level);
    let in_low = level >= 4u;
    let word = select(key.y, key.x, in_low);
    let known = select(search.found.y, search.found.x, in_low);
    if ((word ^ known) & above(shift)) != 0u || (in_low && key.y != search.found.y) {
        return;
    }
    var amount = vec2(1u, 0u);
    if round >= levels() {
        if !at_least(key, search.kept) {
            return;
        }
        amount = weight(key.y);
    }
    add_to_bin((word >> shift) & 255u, amount);
}

/// The share of a total, in units of 2^-32, that is to be reached: something of it at least.
fn share(total: vec2<u32>, fraction: u32) -> vec2<u32> {
    let whole = vec2(total.y * fraction, mul_hi(total.y, fraction));
    let reached = wide_add(whole, vec2(mul_hi(total.x, fraction), 0u));
    return select(reached, vec2(1u, 0u), reached.x == 0u && reached.y == 0u);
}

/// Begins a search, by counts or among what one by counts has kept: one lane calls it, in a search's first round.
fn begin_search(kept: vec2<u32>) {
    let id_bits = 8u * id_digits();
    search.kept = kept;
    search.found = vec2(select(0xffffffffu << (id_bits & 31u), 0u, id_bits == 32u), 0u);
}

/// Finds the digit of a round: all lanes call it. `top_k` and `top_p` say what a search has to reach. Without `works`
/// a lane only keeps step: FXC takes what is read from a buffer as different from lane to lane, and wants every
/// barrier outside of such branches.
fn settle(works: bool, lane: u32, round: u32, top_k: u32, top_p: u32) {
    let level = round % levels();
    var rest = search.rest;
    sum_up_bins(works, lane);
    if !works {
        return;
    }
    if level == 0u {
        rest = vec2(top_k, 0u);
        if round >= levels() {
            rest = share(sum_of_blocks(0u), top_p);
        }
    }
    let higher = sum_above(lane);
    if at_least(wide_add(higher, bins[lane]), rest) && !at_least(higher, rest) {
        let digit = lane << shift_of(level);
        search.rest = wide_sub(rest, higher);
        search.found |= select(vec2(0u, digit), vec2(digit, 0u), level >= 4u);
    }
}
