//! Sets the states of some rows to zero: a slot that is given to a new sequence.
//!
//! ```text
//! x[x_row + m, :] = 0   where flags[flags_row + m] != 0        x [*, W], flags [*] u32; m < M = rows
//! ```
//! Bytes: at most 4 M W + 4 M. No arithmetic.

use super::typical;
use crate::plan::{
    Affine, Args, Builder, Caps, Case, Cost, Dim, Fill, OpRow, Operand, Param, Real, Requires, Role, TensorId, Variant,
    folded,
};

/// Where rows and flags begin.
#[derive(Clone, Copy, Debug)]
pub struct ResetRowsOffsets {
    /// First row of `x`.
    pub x: Affine,
    /// First flag.
    pub flags: Affine,
}

/// Records the op on `rows` rows of `x`.
pub fn record(b: &mut Builder, x: TensorId, flags: TensorId, rows: Dim, at: ResetRowsOffsets) {
    let width = *b.tensor(x).shape.last().expect("x is [*, W]");
    b.push(&ROW, &[x, flags], &[rows.into(), width.into(), at.x, at.flags]);
}

/// The table row.
pub static ROW: OpRow = OpRow {
    name: "reset_rows",
    operands: &[Operand::write("x"), Operand::read_u32("reset").typical(typical::flags)],
    params: &[Param::size("rows"), Param::size("width"), Param::offset("x_row"), Param::offset("flags_row")],
    shards: &[],
    carry_words: 0,
    passes: |_| 1,
    reference_f32: reference::<f32>,
    reference_f64: reference::<f64>,
    variants: &[Variant::new(crate::kernel!("reset_rows", "base"), Requires::invocations(64))
        .groups(|w| folded((w["rows"] * w["width"].div_ceil(4)).div_ceil(64)))],
    cases,
    cost: |w| Cost { flops: 0.0, bytes: 4.0 * w.f64("rows") * (w.f64("width") + 1.0) },
};

fn reference<F: Real>(args: &mut Args<F>) {
    let [rows, width, x_row, flags_row] = args.sizes();
    let [x, reset] = args.all();
    for m in (0..rows).filter(|&m| reset.word()[flags_row + m] != 0) {
        x.real_mut()[(x_row + m) * width..][..width].fill(F::ZERO);
    }
}

fn cases() -> Vec<Case> {
    [(1, 1), (67, 3), (2, 1000), (67, 65)]
        .into_iter()
        .map(|(rows, width)| {
            Case::new(
                format!("rows={rows} width={width}"),
                |b, fills| {
                    let x = b.f32(Role::State, "x", &[(rows + 2).into(), width.into()]);
                    let reset = b.u32(Role::Io, "reset", &[(rows + 2).into()]);
                    fills.extend([(x, Fill::Normal(1.0)), (reset, Fill::Ids(2))]);
                    (x, reset)
                },
                |b, (x, reset)| record(b, x, reset, rows.into(), ResetRowsOffsets { x: 1.into(), flags: 2.into() }),
            )
            .caps(Caps::EXACT)
        })
        .collect()
}
