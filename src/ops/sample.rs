//! The next token of every row: greedy or a draw by Gumbel-max, or the next token of its prompt.
//!
//! ```text
//! kept[m, n]  = adjusted[m, n] of the row's penalties and bans (see filters) where filtered = 1, else logits[m, n];
//!               -infinity where the token's key is below the row's limit (see filter)
//! score[m, n] = kept[m, n] / temperature + gumbel(seed, sequence, position, n)       temperature 0: kept[m, n]
//! token       = forced[forced_next] while the prompt lasts, else argmax_n score[m, n]   (ties: the lower id)
//! ids[slot, m] = token,  log_probs[slot, m] = logits[m, token] - logsumexp_n logits[m, n]
//! table[m]    moves on: position, forced_next, finish, running;   tokens[m] = token
//! logits [M, 1, V], table [M, 32] u32 (see rows),
//! tokens [M] u32, forced [F] u32, ids [S, M] u32, log_probs [S, M], token_flags [M, V] u32, or [1] where filtered = 0
//! ```
//! Rows that are not running write NO_TOKEN and 0 and stay as they are. A row without filters has the same bits with
//! filtered = 1 as with 0. The log-probability is the model's own: no filter or temperature changes it. Where no
//! score is above minus infinity (only a model's own logits can bring that about: a batch refuses to ban every
//! token) the token is 0. Flops: about 5 M V (and
//! 250 M V integer operations for the noise). Bytes: 4 M V, and as many of token flags where a row looks at them.

use super::filters::{BANNED, LIMITS, MIN_P, TOKEN_FLAGS, TOP_K, TOP_P, key};
use super::logsumexp::of_row;
use super::noise::token_noise;
use super::rows::{NO_TOKEN, ROW_WORDS, Row, halves};
use super::typical;
use crate::plan::{
    Affine, Args, Builder, Case, Cost, Dim, Fill, OpRow, Operand, OrderClass, Param, Real, Requires, Role, ShardedAxes,
    TensorId, Variant, folded,
};

/// Operands of [`record`].
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// `[M, 1, V]`.
    pub logits: TensorId,
    /// `[M, 32]` u32, records of [`Row`].
    pub table: TensorId,
    /// `[M]` u32: the token that each row's next step reads.
    pub tokens: TensorId,
    /// `[F]` u32: prompt tokens of all rows.
    pub forced: TensorId,
    /// `[S, M]` u32: the tokens of the last S steps.
    pub ids: TensorId,
    /// `[S, M]`: their log-probabilities under the unfiltered model.
    pub log_probs: TensorId,
    /// The tokens' counts and bans, or that there are none.
    pub token_flags: TokenFlags,
}

/// Whether rows may have filters.
#[derive(Clone, Copy, Debug)]
pub enum TokenFlags {
    /// No row has any. The tensor is `[1]` u32, to be bound.
    Unfiltered(TensorId),
    /// `[M, V]` u32, sharded as the logits are.
    Filtered(TensorId),
}

/// Records the op on `rows` rows; results go into slot `slot` of `ids` and `log_probs`.
pub fn record(b: &mut Builder, op: Sample, rows: Dim, slot: Affine) {
    let vocab = *b.tensor(op.logits).shape.last().expect("logits is [M, 1, V]");
    b.expect_shape("sample", op.table, &[rows, ROW_WORDS.into()]);
    let (token_flags, filtered, shape) = match op.token_flags {
        TokenFlags::Unfiltered(token_flags) => (token_flags, 0, vec![1.into()]),
        TokenFlags::Filtered(token_flags) => (token_flags, 1, vec![rows, vocab]),
    };
    b.expect_shape("sample", token_flags, &shape);
    let operands = [op.logits, op.table, op.tokens, op.forced, op.ids, op.log_probs, token_flags];
    b.push(&ROW, &operands, &[rows.into(), vocab.into(), slot, filtered.into()]);
}

/// The table row.
pub static ROW: OpRow = OpRow {
    name: "sample",
    operands: &[
        Operand::read("logits"),
        Operand::write_u32("table").typical(typical::records),
        Operand::write_u32("tokens").typical(typical::tokens),
        Operand::read_u32("forced"),
        Operand::write_u32("ids"),
        Operand::write("log_probs"),
        Operand::read_u32("token_flags"),
    ],
    params: &[Param::size("rows"), Param::size("vocab"), Param::offset("slot"), Param::flag("filtered")],
    shards: &[ShardedAxes { name: "n", axes: &[(0, 2), (6, 1)], multiple: 4 }],
    carry_words: 6 * 256,
    passes: |_| 1,
    reference_f32: reference::<f32>,
    reference_f64: reference::<f64>,
    variants: &[Variant::new(
        crate::kernel!("sample", "base", "row", "advance", "softmax", "wide", "noise", "filters"),
        Requires::invocations(256).with_memory(6144),
    )
    .class(OrderClass::Lanes256)
    .groups(|w| folded(w["rows"]))],
    cases,
    cost: |w| {
        let (m, v) = (w.f64("rows"), w.f64("vocab"));
        Cost { flops: 5.0 * m * v, bytes: 4.0 * m * v }
    },
};

fn reference<F: Real>(args: &mut Args<F>) {
    let [rows, vocab, slot, filtered] = args.sizes();
    let [logits, table, tokens, forced, ids, log_probs, token_flags] = args.all();
    for m in 0..rows {
        let record = &mut table.word_mut()[m * ROW_WORDS..][..ROW_WORDS];
        let mut row = Row::from_words(record);
        let out = slot * rows + m;
        if row.running == 0 {
            ids.word_mut()[out] = NO_TOKEN;
            log_probs.real_mut()[out] = F::ZERO;
            continue;
        }
        let logits = &logits.real()[m * vocab..][..vocab];
        let is_forced = row.is_forced();
        let token = match (is_forced, filtered) {
            (true, _) => forced.word()[row.forced_next as usize],
            (false, 0) => draw(logits, &row),
            (false, _) => draw(&kept_of(logits, &token_flags.word()[m * vocab..][..vocab], &row), &row),
        };
        ids.word_mut()[out] = token;
        log_probs.real_mut()[out] = logits[token as usize] - of_row(logits);
        tokens.word_mut()[m] = token;
        row.advance(token, is_forced);
        record.copy_from_slice(&row.to_words());
    }
}

/// A row's logits after the filters: adjusted, and minus infinity where a token is dropped.
fn kept_of<F: Real>(logits: &[F], token_flags: &[u32], row: &Row) -> Vec<F> {
    let kept = |((logit, mark), id): ((&F, &u32), u32)| F::of(row.kept(logit.to_f64() as f32, *mark, id));
    logits.iter().zip(token_flags).zip(0..).map(kept).collect()
}

/// The token with the highest score; the first of equals.
fn draw<F: Real>(logits: &[F], row: &Row) -> u32 {
    let (mut best, mut token) = (F::NEG_INFINITY, 0);
    for (n, &logit) in logits.iter().enumerate() {
        let score = if row.inverse_temperature == 0.0 {
            logit
        } else {
            let noise = token_noise(row.seed, row.sequence, row.position, n as u32);
            logit.mul_add(F::of(row.inverse_temperature), F::of(noise))
        };
        if score > best {
            (best, token) = (score, n as u32);
        }
    }
    token
}

fn cases() -> Vec<Case> {
    let plain = [(1, 1, 0.0), (1, 1, 1.0), (67, 2, 1.0), (1, 256, 0.0), (2, 257, 0.7), (67, 65, 1.0), (3, 50_257, 1.0)];
    let mut cases: Vec<Case> = plain
        .into_iter()
        .map(|(rows, vocab, temperature)| {
            let name = format!("rows={rows} vocab={vocab} temperature={temperature}");
            let row = |m: usize| sampled_row(m, temperature);
            case(name, vocab, Fill::Normal(2.0), (0..rows).map(row).collect())
        })
        .collect();
    let tied = Fill::Floats([[1.0f32; 300], std::array::from_fn(|n| if n % 7 == 3 { 5.0 } else { 0.0 })].concat());
    cases.push(case("ties, greedy".into(), 300, tied.clone(), vec![sampled_row(0, 0.0), sampled_row(1, 0.0)]));
    cases.push(case("ties, drawn".into(), 300, tied, vec![sampled_row(0, 1.0), sampled_row(1, 1.0)]));
    let masked = (0..900).map(|n| if n % 300 == 123 { 0.5 } else { f32::NEG_INFINITY }).collect();
    let rows = vec![sampled_row(0, 0.0), sampled_row(1, 1.0), sampled_row(2, 0.1)];
    cases.push(case("one token left".into(), 300, Fill::Floats(masked), rows));
    cases.push(case("mixed rows".into(), 65, Fill::Normal(2.0), mixed_rows()));
    for vocab in [1, 65, 1000, 50_257] {
        let logits = Fill::Normal(2.0);
        cases.push(filtered_case(format!("filtered vocab={vocab}"), vocab, logits, filtered_rows(vocab)));
    }
    let flat = Fill::Floats(vec![1.5; 7 * 300]);
    cases.push(filtered_case("filtered, all equal".into(), 300, flat, filtered_rows(300)));
    cases
}

/// Each filter alone, all together, greedy with penalties and bans, a forced token, and a row without filters.
fn filtered_rows(vocab: usize) -> Vec<Row> {
    let limit = |m: usize, filters: u32, id: u32, scaled: f32| {
        // The only token of a vocabulary stays.
        let key = key(if vocab == 1 { -9.0 } else { scaled }, id);
        Row { filters, limit: halves(key), ..sampled_row(m, 0.8) }
    };
    let marked = |row: Row| Row {
        filters: row.filters | TOKEN_FLAGS,
        repetition: 1.25,
        inverse_repetition: 0.8,
        presence: 0.5,
        frequency: 0.3,
        ..row
    };
    vec![
        limit(0, TOP_K, vocab as u32 / 2, 1.875),
        limit(1, MIN_P, u32::MAX, -1.0),
        marked(limit(2, LIMITS, 7, 0.5)),
        marked(sampled_row(3, 1.3)),
        marked(sampled_row(4, 0.0)),
        marked(Row { forced_end: 2, ..limit(5, TOP_P, 0, 2.0) }),
        sampled_row(6, 1.0),
    ]
}

/// A running row with its own seed, sequence number and position, all of them beyond 16 and 32 bits.
fn sampled_row(m: usize, temperature: f32) -> Row {
    let m = m as u64;
    Row {
        running: 1,
        position: 70_000 + m as u32,
        sequence: halves(0x1_0000_0003 * (m + 1)),
        seed: halves(0xfeed_0000_0001 + m),
        inverse_temperature: if temperature == 0.0 { 0.0 } else { 1.0 / temperature },
        end_position: u32::MAX,
        ..Row::IDLE
    }
}

/// Idle, forced, the last forced token, stopping, at the last position.
fn mixed_rows() -> Vec<Row> {
    let all_stop = |row: Row| Row { stop: [0, 1, 2, 3], ..row };
    vec![
        Row::IDLE,
        Row { forced_next: 1, forced_end: 5, ..sampled_row(1, 1.0) },
        Row { forced_next: 4, forced_end: 5, ..all_stop(sampled_row(2, 1.0)) },
        Row { end_position: 70_004, ..sampled_row(3, 0.5) },
        all_stop(sampled_row(4, 3.0)),
        Row { end_position: 70_100, ..sampled_row(5, 0.0) },
    ]
}

fn case(name: String, vocab: usize, logits: Fill, rows: Vec<Row>) -> Case {
    case_of(name, vocab, logits, rows, None)
}

/// A case with token flags: in each row some tokens occurred, some are banned, and some of these occurred too.
fn filtered_case(name: String, vocab: usize, logits: Fill, rows: Vec<Row>) -> Case {
    let mark = |i: usize| match i * 2_654_435_769 % 1_000_003 % 7 {
        // One token of a row stays.
        0 if !i.is_multiple_of(vocab) => BANNED,
        1 if !i.is_multiple_of(vocab) => BANNED | 3,
        2 => 1,
        3 => 4,
        _ => 0,
    };
    let token_flags = (0..rows.len() * vocab).map(mark).collect();
    case_of(name, vocab, logits, rows, Some(token_flags))
}

fn case_of(name: String, vocab: usize, logits_fill: Fill, table_rows: Vec<Row>, marked: Option<Vec<u32>>) -> Case {
    let rows = table_rows.len();
    Case::new(
        name,
        |b, fills| {
            let logits = b.f32(Role::Scratch, "logits", &[rows.into(), 1.into(), vocab.into()]);
            let table = b.u32(Role::State, "table", &[rows.into(), ROW_WORDS.into()]);
            let tokens = b.u32(Role::State, "tokens", &[rows.into()]);
            let forced = b.u32(Role::Io, "forced", &[8.into()]);
            let ids = b.u32(Role::Io, "ids", &[3.into(), rows.into()]);
            let log_probs = b.f32(Role::Io, "log_probs", &[3.into(), rows.into()]);
            let group = b.shard_group();
            b.shard(logits, 2, group);
            let token_flags = match marked {
                None => TokenFlags::Unfiltered(b.u32(Role::State, "token_flags", &[1.into()])),
                Some(words) => {
                    let token_flags = b.u32(Role::State, "token_flags", &[rows.into(), vocab.into()]);
                    b.shard(token_flags, 1, group);
                    fills.push((token_flags, Fill::Words(words)));
                    TokenFlags::Filtered(token_flags)
                }
            };
            let words = table_rows.iter().flat_map(|row| row.to_words()).collect();
            fills.extend([(logits, logits_fill), (table, Fill::Words(words)), (forced, Fill::Ids(vocab as u32))]);
            Sample { logits, table, tokens, forced, ids, log_probs, token_flags }
        },
        |b, op| record(b, op, rows.into(), 1.into()),
    )
}
