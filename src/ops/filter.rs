//! The tokens that each row keeps: top-k, then top-p, then min-p, as one limit of keys that `sample` compares with.
//!
//! ```text
//! key[m, n]   of scaled[m, n] and n: see filters; penalties and bans come first, then the temperature
//! top-k       the k largest keys
//! top-p       of these, the fewest largest keys whose mass is top_p of their whole mass at least;
//!             mass[n] = exp(scaled[n] - max scaled)
//! min-p       scaled[n] >= max scaled + ln min_p                          in f32: exact
//! limit[m]    = the largest of the three filters' smallest keys; a word each of table[m]
//! logits [M, 1, V], table [M, 32] u32 (see rows), token_flags [M, V] u32 (see filters)
//! ```
//! Rows that are idle, forced, or without any of these options keep their limit as it is; a filter that a row does not
//! have keeps all. top-k and min-p are exact. top-p sums masses of units of 2^-40 as whole numbers, in any order: what
//! it keeps has mass top_p - 1e-5 at least, and less than top_p + 1e-5 without its last token.
//!
//! A device finds a limit by its digits, 8 bits a round: four rounds for the scaled logit, one to four for the id, by
//! counts (top-k); then as many by masses (top-p). Logits that are sharded have to be looked at shard by shard in
//! every round, a pass each. Where they are whole, one dispatch runs all rounds.
//! Bytes: 4 M V a round, 8 M V where a row reads its token flags; from caches, where a row is whole.

use super::filters::{BANNED, MIN_P, TOKEN_FLAGS, TOP_K, TOP_P, adjusted, key, ordered};
use super::rows::{ROW_WORDS, Row, halves};
use super::typical;
use crate::plan::{
    Args, Builder, Caps, Case, Cost, Dim, Fill, OpRow, Operand, Param, Real, Requires, Role, ShardedAxes, TensorId,
    Variant, folded,
};

/// Records the op on `rows` rows.
pub fn record(b: &mut Builder, logits: TensorId, table: TensorId, token_flags: TensorId, rows: Dim) {
    let vocab = *b.tensor(logits).shape.last().expect("logits is [M, 1, V]");
    b.expect_shape("filter", table, &[rows, ROW_WORDS.into()]);
    b.expect_shape("filter", token_flags, &[rows, vocab]);
    b.push(&ROW, &[logits, table, token_flags], &[rows.into(), vocab.into(), 0.into()]);
}

/// Rounds of a search by counts and one by masses: `levels` of `shaders/lib/digits.wgsl`, twice.
fn rounds(vocab: u32) -> u32 {
    let id_bits = u32::BITS - (vocab - 1).leading_zeros();
    2 * (4 + id_bits.div_ceil(8).max(1))
}

/// The table row.
pub static ROW: OpRow = OpRow {
    name: "filter",
    operands: &[
        Operand::read("logits"),
        Operand::write_u32("table").typical(typical::records),
        Operand::read_u32("token_flags"),
    ],
    params: &[Param::size("rows"), Param::size("vocab"), Param::pass("round")],
    shards: &[ShardedAxes { name: "n", axes: &[(0, 2), (2, 1)], multiple: 4 }],
    carry_words: 2 * 256 + 8,
    passes: |w| rounds(w["vocab"]),
    reference_f32: reference::<f32>,
    reference_f64: reference::<f64>,
    variants: &[Variant::new(
        crate::kernel!("filter", "base", "row", "wide", "filters", "bins", "digits"),
        Requires::invocations(256).with_memory(4260),
    )
    .groups(|w| folded(w["rows"]))],
    cases,
    cost: |w| {
        let (m, v) = (w.f64("rows"), w.f64("vocab"));
        Cost { flops: 2.0 * m * v, bytes: 4.0 * m * v }
    },
};

fn reference<F: Real>(args: &mut Args<F>) {
    let [rows, vocab] = args.sizes();
    let [logits, table, token_flags] = args.all();
    for m in 0..rows {
        let record = &mut table.word_mut()[m * ROW_WORDS..][..ROW_WORDS];
        let mut row = Row::from_words(record);
        if row.is_limited() {
            let here = m * vocab..(m + 1) * vocab;
            row.limit = halves(limit(&logits.real()[here.clone()], &token_flags.word()[here], &row));
            record.copy_from_slice(&row.to_words());
        }
    }
}

/// The limit of one row, from all its tokens in order.
fn limit<F: Real>(logits: &[F], token_flags: &[u32], row: &Row) -> u64 {
    let scaled = |n: usize| {
        let logit = logits[n].to_f64() as f32;
        row.scaled(if row.filters & TOKEN_FLAGS != 0 { adjusted(row, logit, token_flags[n]) } else { logit })
    };
    let mut tokens: Vec<(u64, f32)> = (0..logits.len()).map(|n| (key(scaled(n), n as u32), scaled(n))).collect();
    tokens.sort_by_key(|token| std::cmp::Reverse(token.0));
    let most = tokens[0].1;
    let mut limit = 0;
    if row.filters & TOP_K != 0 {
        tokens.truncate(row.top_k as usize);
        limit = tokens.last().expect("k is 1 at least").0;
    }
    if row.filters & TOP_P != 0 {
        let mass = |token: &(u64, f32)| (f64::from(token.1) - f64::from(most)).exp();
        let wanted = tokens.iter().map(mass).sum::<f64>() * f64::from(row.top_p) / 4_294_967_296.0;
        let mut reached = 0.0;
        let last = tokens.iter().find(|token| {
            reached += mass(token);
            reached >= wanted
        });
        limit = last.unwrap_or(&tokens[tokens.len() - 1]).0;
    }
    if row.filters & MIN_P != 0 {
        limit = limit.max(u64::from(ordered(most + row.ln_min_p)) << 32);
    }
    limit
}

/// A row with these options, drawn at a temperature.
fn limited(filters: u32, top_k: u32, top_p: f64, min_p: f64, temperature: f32) -> Row {
    Row {
        running: 1,
        end_position: 9,
        inverse_temperature: 1.0 / temperature,
        filters,
        top_k,
        top_p: (top_p * 4_294_967_296.0) as u32,
        ln_min_p: min_p.ln() as f32,
        repetition: 1.25,
        inverse_repetition: 0.8,
        presence: 0.5,
        frequency: 0.25,
        ..Row::IDLE
    }
}

/// Each filter alone and with others, at the ends of its range; idle, forced and unfiltered rows between them. Where
/// `masses` is false, top-p is left out: with many tokens of small masses, rounding decides which is the last.
fn all_kinds(vocab: usize, masses: bool) -> Vec<Row> {
    let k = (vocab as u32 / 3).max(1);
    let by_mass = if masses { TOP_P } else { 0 };
    vec![
        limited(TOP_K, 1, 0.0, 1.0, 0.7),
        limited(TOP_K | TOKEN_FLAGS, k, 0.0, 1.0, 1.3),
        Row { running: 0, ..limited(TOP_K, 1, 0.0, 1.0, 1.0) },
        limited(TOP_K, vocab as u32, 0.0, 1.0, 1.0),
        limited(by_mass, 0, 0.63, 1.0, 0.9),
        limited(TOP_P, 0, 1e-9, 1.0, 1.0),
        limited(MIN_P, 0, 0.0, 0.043, 1.1),
        limited(MIN_P, 0, 0.0, 1.0, 1.0),
        Row { forced_end: 1, ..limited(MIN_P, 0, 0.0, 1.0, 1.0) },
        limited(TOP_K | by_mass | TOKEN_FLAGS, k, 0.77, 1.0, 2.0),
        limited(TOKEN_FLAGS, 0, 0.0, 1.0, 1.0),
        limited(TOP_K | MIN_P | by_mass | TOKEN_FLAGS, k, 0.93, 0.011, 1.7),
    ]
}

fn cases() -> Vec<Case> {
    let mut cases: Vec<Case> = [1, 3, 65, 256, 257, 1000]
        .into_iter()
        .map(|vocab| case(format!("vocab={vocab}"), Fill::Normal(2.0), vocab, all_kinds(vocab, true)))
        .collect();
    cases.push(case("vocab=50257".into(), Fill::Normal(3.0), 50_257, all_kinds(50_257, false)));
    let rows = |n| all_kinds(n, true);
    let flat = Fill::Floats(vec![-2.5; 12 * 300]);
    cases.push(case("all equal".into(), flat, 300, rows(300)));
    let two: Vec<f32> = (0..12 * 300).map(|i| if i % 3 == 0 { 1.0 } else { -0.0 }).collect();
    cases.push(case("ties".into(), Fill::Floats(two), 300, rows(300)));
    let one = (0..12 * 300).map(|i| if i % 300 == 150 { 0.5 } else { f32::NEG_INFINITY }).collect();
    cases.push(case("one token left".into(), Fill::Floats(one), 300, rows(300)));
    cases.push(case("extreme".into(), Fill::Extreme(&[1e2, 1e30, -1e30, 0.0]), 300, rows(300)));
    cases.push(case("extreme, close".into(), Fill::Extreme(&[1e4, 1.0]), 300, rows(300)));
    cases
}

fn case(name: String, logits_fill: Fill, vocab: usize, table_rows: Vec<Row>) -> Case {
    let rows = table_rows.len();
    let declare = |b: &mut Builder, fills: &mut Vec<(TensorId, Fill)>| {
        let logits = b.f32(Role::Scratch, "logits", &[rows.into(), 1.into(), vocab.into()]);
        let table = b.u32(Role::State, "table", &[rows.into(), ROW_WORDS.into()]);
        let token_flags = b.u32(Role::State, "token_flags", &[rows.into(), vocab.into()]);
        let group = b.shard_group();
        b.shard(logits, 2, group);
        b.shard(token_flags, 1, group);
        let mark = |i: usize| match i * 2_654_435_769 % 1_000_003 % 5 {
            // One token of a row stays.
            0 if i % vocab != vocab / 2 => BANNED | 1,
            1 => 2,
            _ => 0,
        };
        fills.push((logits, logits_fill));
        fills.push((table, Fill::Words(table_rows.iter().flat_map(|row| row.to_words()).collect())));
        fills.push((token_flags, Fill::Words((0..rows * vocab).map(mark).collect())));
        (logits, table, token_flags)
    };
    Case::new(name, declare, |b, (logits, table, token_flags)| record(b, logits, table, token_flags, rows.into()))
        .caps(Caps::EXACT)
}
