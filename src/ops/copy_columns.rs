//! Moves columns of rows: directions side by side, parts of what a layer reads, and their gradients back; and reads
//! sequences from their ends.
//!
//! ```text
//! to[to_row + m, to_column : + W] := or += from[from_row + r, from_column : + W]        m < M = rows, m = t B + b
//! r = m; behind the end, t >= lengths[lengths_row + b], zero instead      r = (len - 1 - t) B + b with the order reversed
//! from [*, F], to [*, O], lengths [*] u32
//! ```
//! Without ends every row is copied and `lengths` is not read. The reversed order is its own inverse, so the gradient of this
//! op is this op. Bytes: 8 M W, to add 12 M W.

use crate::plan::{
    Affine, Args, Builder, Caps, Case, Cost, Dim, Fill, OpRow, Operand, Param, Real, Requires, Role, TensorId, Variant,
    folded,
};

/// Operands of [`record`].
#[derive(Clone, Copy, Debug)]
pub struct CopyColumns {
    /// `[*, F]`.
    pub from: TensorId,
    /// `[*]` u32: time steps of each sequence, or any other tensor where there are no ends.
    pub lengths: TensorId,
    /// `[*, O]`, another tensor than `from`.
    pub to: TensorId,
}

/// How rows follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// As they stand.
    Plain,
    /// As they stand, with zeros behind a sequence's end.
    UpToEnd,
    /// From a sequence's end to its beginning, with zeros behind the end.
    Reversed,
}

/// Where rows and columns begin.
#[derive(Clone, Copy, Debug)]
pub struct CopyColumnsOffsets {
    /// First row of `from`.
    pub from: Affine,
    /// First row of `to`.
    pub to: Affine,
    /// First column of `from`.
    pub from_column: usize,
    /// First column of `to`.
    pub to_column: usize,
    /// W.
    pub width: usize,
    /// First of the lengths.
    pub lengths: Affine,
    /// The order.
    pub order: Order,
    /// Whether rows are added to what is there.
    pub add: bool,
}

/// Records the op on `rows` rows, which are time steps of `batch` rows each.
pub fn record(b: &mut Builder, op: CopyColumns, [rows, batch]: [Dim; 2], at: CopyColumnsOffsets) {
    let [from_width, to_width] = [op.from, op.to].map(|id| *b.tensor(id).shape.last().expect("[*, W]"));
    let fits = |whole: Dim, column: usize| whole.as_fixed().is_some_and(|whole| column + at.width <= whole);
    assert!(fits(from_width, at.from_column) && fits(to_width, at.to_column), "copy_columns: the columns are there");
    let sizes = [rows.into(), batch.into(), at.width.into(), from_width.into(), to_width.into()];
    let places = [at.from_column.into(), at.to_column.into(), at.from, at.to, at.lengths];
    let flags = [(at.order as usize).into(), usize::from(at.add).into()];
    b.push(&ROW, &[op.from, op.lengths, op.to], &[&sizes[..], &places, &flags].concat());
}

/// The table row.
pub static ROW: OpRow = OpRow {
    name: "copy_columns",
    operands: &[Operand::read("from_rows"), Operand::read_u32("lengths"), Operand::write("to_rows")],
    params: &[
        Param::size("rows"),
        Param::size("batch"),
        Param::size("width"),
        Param::size("from_width"),
        Param::size("to_width"),
        Param::offset("from_column"),
        Param::offset("to_column"),
        Param::offset("from_row"),
        Param::offset("to_row"),
        Param::offset("lengths_row"),
        Param::flag("order"),
        Param::flag("add"),
    ],
    shards: &[],
    carry_words: 0,
    passes: |_| 1,
    reference_f32: reference::<f32>,
    reference_f64: reference::<f64>,
    variants: &[Variant::new(crate::kernel!("copy_columns", "base"), Requires::invocations(64))
        .groups(|w| folded((w["rows"] * w["width"]).div_ceil(64)))],
    cases,
    cost: |w| Cost { flops: 0.0, bytes: 8.0 * w.f64("rows") * w.f64("width") },
};

fn reference<F: Real>(args: &mut Args<F>) {
    let [rows, batch, width, from_width, to_width, from_column, to_column, from_row, to_row, lengths_row, order, add] =
        args.sizes();
    let [from, lengths, to] = args.all();
    for m in 0..rows {
        let (t, b) = (m / batch, m % batch);
        let len = if order == 0 { rows } else { lengths.word()[lengths_row + b] as usize };
        let row = if order == 2 && t < len { (len - 1 - t) * batch + b } else { m };
        let from = &from.real()[(from_row + row) * from_width + from_column..];
        let to = &mut to.real_mut()[(to_row + m) * to_width + to_column..][..width];
        for (to, &x) in to.iter_mut().zip(from) {
            let value = if t < len { x } else { F::ZERO };
            *to = if add == 1 { *to + value } else { value };
        }
    }
}

fn cases() -> Vec<Case> {
    let shapes = [(1, 1, 1), (67, 3, 5), (3, 9, 130), (5, 7, 64)];
    let ways = [Order::Plain, Order::UpToEnd, Order::Reversed].into_iter().flat_map(|o| [(o, false), (o, true)]);
    let all = ways.flat_map(|way| shapes.map(|shape| (way, shape)));
    all.map(|((order, add), (batch, time, width))| {
        let rows = batch * time;
        let lengths = (0..batch + 2).map(|m| 1 + (m * 5 % time) as u32).collect();
        Case::new(
            format!("batch={batch} time={time} width={width} {order:?} add={add}"),
            |b, fills| {
                let from = b.f32(Role::Scratch, "from", &[(rows + 1).into(), (width + 3).into()]);
                let steps = b.u32(Role::Io, "lengths", &[(batch + 2).into()]);
                let to = b.f32(Role::Scratch, "to", &[(rows + 2).into(), (2 * width).into()]);
                fills.extend([(from, Fill::Normal(1.0)), (to, Fill::Normal(1.0)), (steps, Fill::Words(lengths))]);
                CopyColumns { from, lengths: steps, to }
            },
            |b, op| {
                let (from, to, lengths) = (1.into(), 2.into(), 2.into());
                let at = CopyColumnsOffsets { from, to, from_column: 2, to_column: width, width, lengths, order, add };
                record(b, op, [rows.into(), batch.into()], at);
            },
        )
        .caps(if add { Caps::F32 } else { Caps::EXACT })
    })
    .collect()
}
