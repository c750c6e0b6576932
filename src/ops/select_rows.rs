//! Moves rows as far as sequences go: the two directions of a layer side by side, outputs past a sequence's end, and
//! states that stand still there.
//!
//! ```text
//! to[to_row + m, column : column + W] = from[from_row + m, :]                   while t < lengths[m mod B]
//!                                     = to[keep_row + m, column : column + W]   past it, with keep = 1
//!                                     = 0                                       past it, with keep = 0
//! t = time + m div B; from [*, W], lengths [B] u32, to [*, V], V >= column + W; m < M = rows
//! ```
//! Without `ragged` every row is within its sequence and `lengths` is not read. Bytes: 8 M W + 4 M.

use crate::plan::{
    Affine, Args, Builder, Caps, Case, Cost, Dim, Fill, OpRow, Operand, Param, Real, Requires, Role, TensorId, Variant,
    folded,
};

/// Operands of [`record`].
#[derive(Clone, Copy, Debug)]
pub struct SelectRows {
    /// `[*, W]`.
    pub from: TensorId,
    /// `[B]` u32: time steps of each sequence.
    pub lengths: TensorId,
    /// `[*, V]`, another tensor than `from`.
    pub to: TensorId,
}

/// The value of rows past the end of their sequence.
#[derive(Clone, Copy, Debug)]
pub enum PastEnd {
    /// There are no ends.
    Nothing,
    /// Zeros.
    Zeros,
    /// The rows of `to` from this one on.
    Keep(Affine),
}

/// Where rows come from and go to.
#[derive(Clone, Copy, Debug)]
pub struct SelectRowsOffsets {
    /// First row of `from`.
    pub from: Affine,
    /// First row of `to`.
    pub to: Affine,
    /// First column of `to`.
    pub column: usize,
    /// The time step of the first B rows.
    pub time: Affine,
}

/// Records the op on `rows` rows, which are time steps of `Dim::ROWS` rows each.
pub fn record(b: &mut Builder, op: SelectRows, rows: Dim, batch: Dim, at: SelectRowsOffsets, past_end: PastEnd) {
    let width = *b.tensor(op.from).shape.last().expect("from is [*, W]");
    let to_width = *b.tensor(op.to).shape.last().expect("to is [*, V]");
    let fits = width.as_fixed().zip(to_width.as_fixed()).is_some_and(|(w, v)| at.column + w <= v);
    assert!(fits, "select_rows: rows of `to` have room for those of `from`");
    b.expect_shape("select_rows", op.lengths, &[batch]);
    let (ragged, keep, keep_row) = match past_end {
        PastEnd::Nothing => (0, 0, 0.into()),
        PastEnd::Zeros => (1, 0, 0.into()),
        PastEnd::Keep(row) => (1, 1, row),
    };
    let words = [rows.into(), batch.into(), width.into(), to_width.into(), at.column.into()];
    let places = [at.from, at.to, at.time, ragged.into(), keep.into(), keep_row];
    b.push(&ROW, &[op.from, op.lengths, op.to], &[&words[..], &places].concat());
}

/// The table row.
pub static ROW: OpRow = OpRow {
    name: "select_rows",
    operands: &[Operand::read("from_rows"), Operand::read_u32("lengths"), Operand::write("to_rows")],
    params: &[
        Param::size("rows"),
        Param::size("batch"),
        Param::size("width"),
        Param::size("to_width"),
        Param::offset("column"),
        Param::offset("from_row"),
        Param::offset("to_row"),
        Param::offset("time"),
        Param::flag("ragged"),
        Param::flag("keep"),
        Param::offset("keep_row"),
    ],
    shards: &[],
    carry_words: 0,
    passes: |_| 1,
    reference_f32: reference::<f32>,
    reference_f64: reference::<f64>,
    variants: &[Variant::new(crate::kernel!("select_rows", "base"), Requires::invocations(64))
        .groups(|w| folded((w["rows"] * w["width"]).div_ceil(64)))],
    cases,
    cost: |w| Cost { flops: 0.0, bytes: 4.0 * w.f64("rows") * (2.0 * w.f64("width") + 1.0) },
};

fn reference<F: Real>(args: &mut Args<F>) {
    let [rows, batch, width, to_width, column, from_row, to_row, time, ragged, keep, keep_row] = args.sizes();
    let [from, lengths, to] = args.all();
    for m in 0..rows {
        let within = ragged == 0 || time + m / batch < lengths.word()[m % batch] as usize;
        for j in 0..width {
            let value = match (within, keep) {
                (true, _) => from.real()[(from_row + m) * width + j],
                (false, 1) => to.real()[(keep_row + m) * to_width + column + j],
                (false, _) => F::ZERO,
            };
            to.real_mut()[(to_row + m) * to_width + column + j] = value;
        }
    }
}

fn cases() -> Vec<Case> {
    let shapes = [(1, 1, 1), (67, 1, 3), (2, 3, 1000), (5, 7, 17), (3, 4, 65)];
    let behind = |keep: usize| [PastEnd::Nothing, PastEnd::Zeros, PastEnd::Keep(keep.into())];
    let all = shapes.into_iter().flat_map(|s| behind(s.0 * s.1 + 1).map(|b| (s, b)));
    all.map(|((batch, time, width), behind)| {
        let kind = match behind {
            PastEnd::Nothing => "all",
            PastEnd::Zeros => "zeros",
            PastEnd::Keep(_) => "keep",
        };
        let rows = batch * time;
        let lengths = (0..batch).map(|m| (m * 5 % (time + 2)) as u32).collect();
        Case::new(
            format!("batch={batch} time={time} width={width} {kind}"),
            |b, fills| {
                let from = b.f32(Role::Scratch, "from", &[(rows + 1).into(), width.into()]);
                let ends = b.u32(Role::Io, "lengths", &[batch.into()]);
                let to = b.f32(Role::Scratch, "to", &[(2 * rows + 1).into(), (2 * width + 1).into()]);
                fills.extend([(from, Fill::Normal(1.0)), (ends, Fill::Words(lengths)), (to, Fill::Normal(1.0))]);
                SelectRows { from, lengths: ends, to }
            },
            |b, op| {
                let at = SelectRowsOffsets { from: 1.into(), to: 1.into(), column: width, time: 1.into() };
                record(b, op, rows.into(), batch.into(), at, behind);
            },
        )
        .caps(Caps::EXACT)
    })
    .collect()
}
