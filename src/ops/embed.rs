//! Embedding lookup.
//!
//! ```text
//! y[y_row + m, :] = table[ids[ids_row + m], :]        ids [*] u32, table [V, E] or [1, V, E], y [*, E], m < M = rows
//! ```
//! Bytes: 8 M E + 4 M. No arithmetic. An id outside [0, V) must have been refused before; its row is not written.

use super::typical;
use crate::plan::{
    Affine, Args, Builder, Caps, Case, Cost, Dim, Fill, OpRow, Operand, Param, Real, Requires, Role, ShardedAxes,
    TensorId, Variant, folded,
};

/// Operands of [`record`].
#[derive(Clone, Copy, Debug)]
pub struct Embed {
    /// `[*]` u32.
    pub ids: TensorId,
    /// `[V, E]` or `[1, V, E]`.
    pub table: TensorId,
    /// `[*, E]`.
    pub y: TensorId,
}

/// Where ids and rows begin.
#[derive(Clone, Copy, Debug)]
pub struct EmbedOffsets {
    /// The first id.
    pub ids: Affine,
    /// The first row of `y`.
    pub y: Affine,
}

/// Records the op; `rows` ids are looked up.
pub fn record(b: &mut Builder, op: Embed, rows: Dim, at: EmbedOffsets) {
    let Embed { ids, table, y } = op;
    let width = *b.tensor(table).shape.last().expect("table is [V, E]");
    assert_eq!(b.tensor(y).shape.last(), Some(&width), "embed: y and table have one width");
    b.push(&ROW, &[ids, table, y], &[rows.into(), width.into(), at.y, at.ids]);
}

/// The table row.
pub static ROW: OpRow = OpRow {
    name: "embed",
    operands: &[Operand::read_u32("ids").typical(typical::tokens), Operand::read("table"), Operand::write("y")],
    params: &[Param::size("rows"), Param::size("width"), Param::offset("y_row"), Param::offset("ids_row")],
    shards: &[ShardedAxes { name: "table", axes: &[(1, 0)], multiple: 1 }],
    carry_words: 0,
    passes: |_| 1,
    reference_f32: reference::<f32>,
    reference_f64: reference::<f64>,
    variants: &[Variant::new(crate::kernel!("embed", "base"), Requires::invocations(64))
        .groups(|w| folded((w["rows"] * w["width"].div_ceil(4)).div_ceil(64)))],
    cases,
    cost: |w| {
        let (m, e) = (w.f64("rows"), w.f64("width"));
        Cost { flops: 0.0, bytes: 8.0 * m * e + 4.0 * m }
    },
};

fn reference<F: Real>(args: &mut Args<F>) {
    let [rows, width, y_row, ids_row] = args.sizes();
    let [ids, table, y] = args.all();
    for m in 0..rows {
        let from = ids.word()[ids_row + m] as usize * width;
        let to = (y_row + m) * width;
        y.real_mut()[to..to + width].copy_from_slice(&table.real()[from..from + width]);
    }
}

fn cases() -> Vec<Case> {
    [(1, 1, 1), (67, 9, 5), (5, 1000, 3), (3, 65, 130), (2000, 65, 64), (20_000, 3, 2)]
        .into_iter()
        .map(|(rows, vocab, width)| {
            Case::new(
                format!("rows={rows} vocab={vocab} width={width}"),
                |b, fills| {
                    let ids = b.u32(Role::Io, "ids", &[(rows + 3).into()]);
                    let table = b.f32(Role::Weight, "table", &[vocab.into(), width.into()]);
                    let y = b.f32(Role::Scratch, "y", &[(rows + 2).into(), width.into()]);
                    let group = b.shard_group();
                    b.shard(table, 0, group);
                    fills.extend([(ids, Fill::Ids(vocab as u32)), (table, Fill::Normal(1.0))]);
                    Embed { ids, table, y }
                },
                |b, op| record(b, op, rows.into(), EmbedOffsets { ids: 3.into(), y: 2.into() }),
            )
            .caps(Caps::EXACT)
        })
        .collect()
}
