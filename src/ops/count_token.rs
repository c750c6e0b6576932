//! Counts, for penalties, the token that each row reads in this step.
//!
//! ```text
//! token_flags[m, tokens[m]] += 1     where row m is running
//! table [M, 32] u32 (see rows), tokens [M] u32, token_flags [M, V] u32 (see filters)
//! ```
//! Each token is counted when it is read, not when it is drawn: then the op that counts sees every shard of a sharded
//! tensor, and a prompt's forced tokens are counted as drawn ones are. Bytes: 12 M.

use super::filters::BANNED;
use super::rows::{ROW_WORDS, Row};
use super::typical;
use crate::plan::{
    Args, Builder, Caps, Case, Cost, Dim, Fill, OpRow, Operand, Param, Real, Requires, Role, ShardedAxes, TensorId,
    Variant, folded,
};

/// Records the op on `rows` rows.
pub fn record(b: &mut Builder, table: TensorId, tokens: TensorId, token_flags: TensorId, rows: Dim) {
    let vocab = *b.tensor(token_flags).shape.last().expect("token_flags is [M, V]");
    b.expect_shape("count_token", table, &[rows, ROW_WORDS.into()]);
    b.expect_shape("count_token", tokens, &[rows]);
    b.expect_shape("count_token", token_flags, &[rows, vocab]);
    b.push(&ROW, &[table, tokens, token_flags], &[rows.into(), vocab.into()]);
}

/// The table row.
pub static ROW: OpRow = OpRow {
    name: "count_token",
    operands: &[
        Operand::read_u32("table").typical(typical::records),
        Operand::read_u32("tokens").typical(typical::tokens),
        Operand::write_u32("token_flags"),
    ],
    params: &[Param::size("rows"), Param::size("vocab")],
    shards: &[ShardedAxes { name: "n", axes: &[(2, 1)], multiple: 4 }],
    carry_words: 0,
    passes: |_| 1,
    reference_f32: reference::<f32>,
    reference_f64: reference::<f64>,
    variants: &[Variant::new(crate::kernel!("count_token", "base", "row"), Requires::invocations(64))
        .groups(|w| folded(w["rows"].div_ceil(64)))],
    cases,
    cost: |w| Cost { flops: 0.0, bytes: 12.0 * w.f64("rows") },
};

fn reference<F: Real>(args: &mut Args<F>) {
    let [rows, vocab] = args.sizes();
    let [table, tokens, token_flags] = args.all();
    for m in (0..rows).filter(|m| Row::from_words(&table.word()[m * ROW_WORDS..]).running == 1) {
        token_flags.word_mut()[m * vocab + tokens.word()[m] as usize] += 1;
    }
}

fn cases() -> Vec<Case> {
    [(1, 1), (3, 65), (67, 1000), (130, 3), (6, 50_257)].into_iter().map(|(rows, vocab)| case(rows, vocab)).collect()
}

/// Every fifth row is idle; every seventh mark is a ban.
fn case(rows: usize, vocab: usize) -> Case {
    let name = format!("rows={rows} vocab={vocab}");
    let declare = |b: &mut Builder, fills: &mut Vec<(TensorId, Fill)>| {
        let table = b.u32(Role::State, "table", &[rows.into(), ROW_WORDS.into()]);
        let tokens = b.u32(Role::State, "tokens", &[rows.into()]);
        let token_flags = b.u32(Role::State, "token_flags", &[rows.into(), vocab.into()]);
        let group = b.shard_group();
        b.shard(token_flags, 1, group);
        let row = |m: usize| Row { running: u32::from(m % 5 != 3), ..Row::IDLE };
        let mark = |i: usize| (i as u32 % 3) | if i.is_multiple_of(7) { BANNED } else { 0 };
        fills.push((table, Fill::Words((0..rows).flat_map(|m| row(m).to_words()).collect())));
        fills.push((tokens, Fill::Ids(vocab as u32)));
        fills.push((token_flags, Fill::Words((0..rows * vocab).map(mark).collect())));
        (table, tokens, token_flags)
    };
    Case::new(name, declare, |b, (table, tokens, token_flags)| record(b, table, tokens, token_flags, rows.into()))
        .caps(Caps::EXACT)
}
