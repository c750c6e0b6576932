//! The token flags of rows that start a sequence: its bans, and what was read of its prompt so far.
//!
//! ```text
//! token_flags[m, :] = 0, then token_flags[m, edits[i, 0]] = edits[i, 1]      edits_first[m] <= i < edits_end[m]
//!                                            where places[m] is not KEEP_ROW and row m reads its token flags
//! table [M, 32] u32 (see rows), places [M] u32 (see admit), edits [E, 2] u32: token, mark; token_flags [M, V] u32
//! ```
//! The tokens of a row's edits differ. Bytes: 4 V a row that starts, and 12 an edit.

use super::filters::{BANNED, TOKEN_FLAGS};
use super::place_rows::{KEEP_ROW, ZERO_ROW};
use super::rows::{ROW_WORDS, Row};
use super::typical;
use crate::plan::{
    Args, Builder, Caps, Case, Cost, Dim, Fill, OpRow, Operand, Param, Real, Requires, Role, ShardedAxes, TensorId,
    Variant, folded,
};

/// Operands of [`record`].
#[derive(Clone, Copy, Debug)]
pub struct StartTokenFlags {
    /// `[M, 32]` u32.
    pub table: TensorId,
    /// `[M]` u32.
    pub places: TensorId,
    /// `[E, 2]` u32.
    pub edits: TensorId,
    /// `[M, V]` u32.
    pub token_flags: TensorId,
}

/// Records the op on `rows` rows.
pub fn record(b: &mut Builder, op: StartTokenFlags, rows: Dim) {
    let vocab = *b.tensor(op.token_flags).shape.last().expect("token_flags is [M, V]");
    b.expect_shape("start_token_flags", op.table, &[rows, ROW_WORDS.into()]);
    b.expect_shape("start_token_flags", op.places, &[rows]);
    b.expect_shape("start_token_flags", op.token_flags, &[rows, vocab]);
    assert_eq!(b.tensor(op.edits).shape.last(), Some(&2.into()), "start_token_flags: edits is [E, 2]");
    b.push(&ROW, &[op.table, op.places, op.edits, op.token_flags], &[rows.into(), vocab.into()]);
}

/// The table row.
pub static ROW: OpRow = OpRow {
    name: "start_token_flags",
    operands: &[
        Operand::read_u32("table").typical(typical::records),
        Operand::read_u32("places"),
        Operand::read_u32("edits"),
        Operand::write_u32("token_flags"),
    ],
    params: &[Param::size("rows"), Param::size("vocab")],
    shards: &[ShardedAxes { name: "n", axes: &[(3, 1)], multiple: 4 }],
    carry_words: 0,
    passes: |_| 1,
    reference_f32: reference::<f32>,
    reference_f64: reference::<f64>,
    variants: &[Variant::new(crate::kernel!("start_token_flags", "base", "row"), Requires::invocations(256))
        .groups(|w| folded(w["rows"]))],
    cases,
    cost: |w| Cost { flops: 0.0, bytes: 4.0 * w.f64("rows") * w.f64("vocab") },
};

fn reference<F: Real>(args: &mut Args<F>) {
    let [rows, vocab] = args.sizes();
    let [table, places, edits, token_flags] = args.all();
    for m in (0..rows).filter(|m| places.word()[*m] != KEEP_ROW) {
        let row = Row::from_words(&table.word()[m * ROW_WORDS..]);
        if row.filters & TOKEN_FLAGS != 0 {
            let token_flags = &mut token_flags.word_mut()[m * vocab..][..vocab];
            token_flags.fill(0);
            for edit in edits.word().chunks(2).take(row.edits_end as usize).skip(row.edits_first as usize) {
                token_flags[edit[0] as usize] = edit[1];
            }
        }
    }
}

fn cases() -> Vec<Case> {
    [(1, 1), (3, 65), (67, 1000), (130, 3), (6, 50_257)].into_iter().map(|(rows, vocab)| case(rows, vocab)).collect()
}

/// A third of the rows start; of these, some have filters without token flags, and some no edits.
fn case(rows: usize, vocab: usize) -> Case {
    let name = format!("rows={rows} vocab={vocab}");
    let each = vocab.min(5);
    let declare = |b: &mut Builder, fills: &mut Vec<(TensorId, Fill)>| {
        let op = StartTokenFlags {
            table: b.u32(Role::State, "table", &[rows.into(), ROW_WORDS.into()]),
            places: b.u32(Role::State, "places", &[rows.into()]),
            edits: b.u32(Role::Io, "edits", &[(rows * each).into(), 2.into()]),
            token_flags: b.u32(Role::State, "token_flags", &[rows.into(), vocab.into()]),
        };
        let group = b.shard_group();
        b.shard(op.token_flags, 1, group);
        let row = |m: usize| Row {
            running: 1,
            filters: if m % 4 == 3 { 1 } else { TOKEN_FLAGS },
            edits_first: (m * each) as u32,
            edits_end: (m * each + m % (each + 1)) as u32,
            ..Row::IDLE
        };
        let place = |m: usize| [ZERO_ROW, KEEP_ROW, m as u32][m % 3];
        let edit = |i: usize| [(i % each * (vocab / each)) as u32, if i.is_multiple_of(2) { BANNED | 3 } else { 2 }];
        fills.push((op.table, Fill::Words((0..rows).flat_map(|m| row(m).to_words()).collect())));
        fills.push((op.places, Fill::Words((0..rows).map(place).collect())));
        fills.push((op.edits, Fill::Words((0..rows * each).flat_map(edit).collect())));
        fills.push((op.token_flags, Fill::Words((0..(rows * vocab) as u32).map(|i| i % 7).collect())));
        op
    };
    Case::new(name, declare, |b, op| record(b, op, rows.into())).caps(Caps::EXACT)
}
