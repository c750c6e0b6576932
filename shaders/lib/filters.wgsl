// The filters' arithmetic on a logit, and the order in which they keep tokens: the counterpart of src/ops/filters.rs.
// Kernels bind `token_flags`.

const TOP_K: u32 = 1u;
const TOP_P: u32 = 2u;
const MIN_P: u32 = 4u;
const LIMITS: u32 = 7u;
const TOKEN_FLAGS: u32 = 8u;
const BANNED: u32 = 0x80000000u;
/// The ordered word of minus infinity.
const NOTHING: u32 = 0x007fffffu;

/// The token flags of four tokens, from index `at` on; 0 for those past the end of a row, and where no filter needs them.
fn four_marks(filters: u32, at: u32, left: u32) -> vec4<u32> {
    if (filters & TOKEN_FLAGS) == 0u {
        return vec4(0u);
    }
    var four = vec4(token_flags[at], 0u, 0u, 0u);
    if left > 1u { four.y = token_flags[at + 1u]; }
    if left > 2u { four.z = token_flags[at + 2u]; }
    if left > 3u { four.w = token_flags[at + 3u]; }
    return four;
}

/// The penalised logit of a token that is not banned.
fn adjusted(row: Row, logit: f32, mark: u32) -> f32 {
    if (mark & ~BANNED) == 0u {
        return logit;
    }
    let repeated = select(row.repetition, row.inverse_repetition, logit > 0.0);
    let present = pinned(row, pinned(row, logit * repeated) - row.presence);
    return pinned(row, present - pinned(row, row.frequency * f32(mark & ~BANNED)));
}

/// The same float, through bits that no compiler can foresee: it may not take this step of arithmetic together with the
/// next, in one kernel thus and in another not. `filter` and `sample` must find the same logits.
fn pinned(row: Row, x: f32) -> f32 {
    return bitcast<f32>(bitcast<u32>(x) ^ row.zero);
}

/// A float as a word that orders like it; both zeros are one.
fn ordered(x: f32) -> u32 {
    let bits = bitcast<u32>(x);
    let negative = bits > 0x80000000u;
    return select((bits & 0x7fffffffu) | 0x80000000u, ~bits, negative);
}

/// The float of an ordered word.
fn unordered(word: u32) -> f32 {
    return bitcast<f32>(select(~word, word & 0x7fffffffu, (word >> 31u) == 1u));
}

/// The high word of a token's key; the low one is ~id.
fn key_high(row: Row, logit: f32, mark: u32) -> u32 {
    if (mark & BANNED) != 0u {
        return NOTHING;
    }
    let scale = select(row.inverse_temperature, 1.0, row.inverse_temperature == 0.0);
    return ordered(adjusted(row, logit, mark) * scale);
}
