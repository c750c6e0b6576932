//! The next token of every row: greedy or a draw by Gumbel-max, or the next token of its prompt.
//!
//! ```text
//! score[m, n] = logits[m, n] / temperature + gumbel(seed, sequence, position, n)     temperature 0: logits[m, n]
//! token       = forced[forced_next] while the prompt lasts, else argmax_n score[m, n]   (ties: the lower id)
//! ids[slot, m] = token,  log_probs[slot, m] = logits[m, token] - logsumexp_n logits[m, n]
//! table[m]    moves on: position, forced_next, finish, active;   tokens[m] = token
//! logits [M, 1, V], table [M, 16] u32 (see rows),
//! tokens [M] u32, forced [F] u32, ids [S, M] u32, log_probs [S, M]
//! ```
//! Rows that are not active write NO_TOKEN and 0 and stay as they are. Flops: about 5 M V (and 250 M V integer
//! operations for the noise). Bytes: 4 M V.

use super::case::{Case, Fill};
use super::logsumexp::of_row;
use super::noise::token_noise;
use super::rows::{NO_TOKEN, ROW_WORDS, Row, halves};
use super::variant::{OrderClass, Requires, Variant, always, folded};
use super::{Args, Cost, Cut, OpRow, Operand, Real};
use crate::cpu::{Fast, fast};
use crate::plan::{Affine, Builder, Dim, Role, TensorId};

/// Operands of [`record`].
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// `[M, 1, V]`.
    pub logits: TensorId,
    /// `[M, 16]` u32, records of [`Row`].
    pub table: TensorId,
    /// `[M]` u32: the token that each row's next step reads.
    pub tokens: TensorId,
    /// `[F]` u32: prompt tokens of all rows.
    pub forced: TensorId,
    /// `[S, M]` u32: the tokens of the last S steps.
    pub ids: TensorId,
    /// `[S, M]`: their log-probabilities under the unfiltered model.
    pub log_probs: TensorId,
}

/// Records the op on `rows` rows; results go into slot `slot` of `ids` and `log_probs`.
pub fn record(b: &mut Builder, op: Sample, rows: Dim, slot: Affine) {
    let vocab = *b.tensor(op.logits).shape.last().expect("logits is [M, 1, V]");
    b.expect_shape("sample", op.table, &[rows, ROW_WORDS.into()]);
    let operands = [op.logits, op.table, op.tokens, op.forced, op.ids, op.log_probs];
    b.push(&ROW, &operands, &[rows.into(), vocab.into(), slot]);
}

/// The table row.
pub static ROW: OpRow = OpRow {
    name: "sample",
    operands: &[
        Operand::read("logits"),
        Operand::write_u32("table"),
        Operand::write_u32("tokens"),
        Operand::read_u32("forced"),
        Operand::write_u32("ids"),
        Operand::write("log_probs"),
    ],
    params: &["rows", "vocab", "slot"],
    cuts: &[Cut { name: "n", axes: &[(0, 2)], multiple: 4 }],
    carry_words: 6 * 256,
    reference_f32: reference::<f32>,
    reference_f64: reference::<f64>,
    fast: Some(Fast { run: fast::sample, layouts: &[], class: OrderClass::Lanes16 }),
    variants: &[Variant {
        name: "sample",
        source: crate::wgsl!("sample"),
        overrides: &[],
        requires: Requires::invocations(256).with_memory(6144),
        layouts: &[],
        class: OrderClass::Lanes256,
        suits: always,
        needs_gpu: false,
        groups: |w| folded(w[0]),
    }],
    cases,
    cost: |w| {
        let (m, v) = (f64::from(w[0]), f64::from(w[1]));
        Cost { flops: 5.0 * m * v, bytes: 4.0 * m * v }
    },
};

fn reference<F: Real>(args: &mut Args<F>) {
    let [rows, vocab, slot] = args.sizes();
    let [logits, table, tokens, forced, ids, log_probs] = args.all();
    for m in 0..rows {
        let record = &mut table.word_mut()[m * ROW_WORDS..][..ROW_WORDS];
        let mut row = Row::from_words(record);
        let out = slot * rows + m;
        if row.active == 0 {
            ids.word_mut()[out] = NO_TOKEN;
            log_probs.real_mut()[out] = F::ZERO;
            continue;
        }
        let logits = &logits.real()[m * vocab..][..vocab];
        let is_forced = row.forced_next < row.forced_end;
        let token = if is_forced { forced.word()[row.forced_next as usize] } else { draw(logits, &row) };
        ids.word_mut()[out] = token;
        log_probs.real_mut()[out] = logits[token as usize] - of_row(logits);
        tokens.word_mut()[m] = token;
        row.advance(token, is_forced);
        record.copy_from_slice(&row.to_words());
    }
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
    cases
}

/// A running row with its own seed, sequence number and position, all of them beyond 16 and 32 bits.
fn sampled_row(m: usize, temperature: f32) -> Row {
    let m = m as u64;
    Row {
        active: 1,
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

fn case(name: String, vocab: usize, logits_fill: Fill, table_rows: Vec<Row>) -> Case {
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
            let group = b.split_group();
            b.split(logits, 2, group);
            let words = table_rows.iter().flat_map(|row| row.to_words()).collect();
            fills.extend([(logits, logits_fill), (table, Fill::Words(words)), (forced, Fill::Ids(vocab as u32))]);
            Sample { logits, table, tokens, forced, ids, log_probs }
        },
        |b, op| record(b, op, rows.into(), 1.into()),
    )
}
