//! Moves rows: states of sequences that change their slot, several samples of one prompt, beams; and copies of
//! whole states between tensors.
//!
//! ```text
//! to[to_row + m, :] = from[from_row + index[m], :]  (gather = 1)   or   from[from_row + m, :]
//! from, to [*, W], index [M] u32; m < M = rows
//! ```
//! Bytes: 8 M W. No arithmetic. An index outside the tensor must have been refused before.

use super::typical;
use crate::plan::{
    Affine, Args, Builder, Caps, Case, Cost, Dim, Fill, OpRow, Operand, Param, Real, Requires, Role, TensorId, Variant,
    folded,
};

/// Operands of [`record`].
#[derive(Clone, Copy, Debug)]
pub struct GatherRows {
    /// `[*, W]`.
    pub from: TensorId,
    /// `[M]` u32.
    pub index: TensorId,
    /// `[*, W]`, another tensor than `from`.
    pub to: TensorId,
}

/// Where rows come from and go to.
#[derive(Clone, Copy, Debug)]
pub struct GatherRowsOffsets {
    /// First row of `from`.
    pub from: Affine,
    /// First row of `to`.
    pub to: Affine,
    /// Rows are taken by `index`; else in order.
    pub gather: bool,
}

/// Records the op on `rows` rows.
pub fn record(b: &mut Builder, op: GatherRows, rows: Dim, at: GatherRowsOffsets) {
    let width = *b.tensor(op.from).shape.last().expect("from is [*, W]");
    assert_eq!(b.tensor(op.to).shape.last(), Some(&width), "gather_rows: one width");
    let params = [rows.into(), width.into(), at.from, at.to, usize::from(at.gather).into()];
    b.push(&ROW, &[op.from, op.index, op.to], &params);
}

/// The table row.
pub static ROW: OpRow = OpRow {
    name: "gather_rows",
    operands: &[
        Operand::read("from_rows"),
        Operand::read_u32("index").typical(typical::row_numbers),
        Operand::write("to_rows"),
    ],
    params: &[
        Param::size("rows"),
        Param::size("width"),
        Param::offset("from_row"),
        Param::offset("to_row"),
        Param::flag("gather"),
    ],
    shards: &[],
    carry_words: 0,
    passes: |_| 1,
    reference_f32: reference::<f32>,
    reference_f64: reference::<f64>,
    variants: &[Variant::new(crate::kernel!("gather_rows", "base"), Requires::invocations(64))
        .groups(|w| folded((w["rows"] * w["width"].div_ceil(4)).div_ceil(64)))],
    cases,
    cost: |w| Cost { flops: 0.0, bytes: 8.0 * w.f64("rows") * w.f64("width") },
};

fn reference<F: Real>(args: &mut Args<F>) {
    let [rows, width, from_row, to_row, gather] = args.sizes();
    let [from, index, to] = args.all();
    for m in 0..rows {
        let row = from_row + if gather == 1 { index.word()[m] as usize } else { m };
        to.real_mut()[(to_row + m) * width..][..width].copy_from_slice(&from.real()[row * width..][..width]);
    }
}

fn cases() -> Vec<Case> {
    [(1, 1, true), (67, 3, true), (2, 1000, false), (67, 65, false), (5, 64, true)]
        .into_iter()
        .map(|(rows, width, gather)| {
            Case::new(
                format!("rows={rows} width={width} gather={gather}"),
                |b, fills| {
                    let from = b.f32(Role::State, "from", &[(rows + 1).into(), width.into()]);
                    let index = b.u32(Role::Io, "index", &[rows.into()]);
                    let to = b.f32(Role::State, "to", &[(rows + 3).into(), width.into()]);
                    fills.extend([(from, Fill::Normal(1.0)), (index, Fill::Ids(rows as u32))]);
                    GatherRows { from, index, to }
                },
                |b, op| record(b, op, rows.into(), GatherRowsOffsets { from: 1.into(), to: 2.into(), gather }),
            )
            .caps(Caps::EXACT)
        })
        .collect()
}
