//! Moves columns of rows as far as sequences go: directions side by side, parts of what a layer reads, sequences from their
//! ends, final states, and the gradients of all these, which are this op again.
//!
//! ```text
//! to[to_row + m, to_column : + W] := or += value        m < M = rows, b = m mod B, t = time + m div B, len = lengths[lengths_row + b]
//! plain      from[from_row + m, from_column : + W]
//! up_to_end  the same while t < len; behind the end 0
//! keep       the same while t < len; behind the end to[keep_row + m, ..]
//! reversed   from[from_row + (len - 1 - t) B + b, ..] while t < len; behind the end 0
//! ends       from[from_row + (len - 1) B + b, ..]
//! at_end     from[from_row + b, ..] where t = len - 1, else 0
//! from [*, F], to [*, O], lengths [*] u32, each at least 1 and at most the steps there are
//! ```
//! Without ends `lengths` is not read. The reversed order is its own inverse; that of ends is at_end. Bytes: 8 M W, to add 12 M W.

use crate::plan::{
    Affine, Args, Builder, Caps, Case, Cost, Dim, Fill, OpRow, Operand, Param, Real, Requires, Role, TensorId, Variant,
    folded,
};

/// Operands of [`record`].
#[derive(Clone, Copy, Debug)]
pub struct SelectRows {
    /// `[*, F]`.
    pub from: TensorId,
    /// `[*]` u32: time steps of each sequence, or any other tensor where there are no ends.
    pub lengths: TensorId,
    /// `[*, O]`, another tensor than `from`.
    pub to: TensorId,
}

/// Which row comes where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowOrder {
    /// As they stand.
    Plain,
    /// As they stand, with zeros behind a sequence's end.
    UpToEnd,
    /// As they stand, and behind a sequence's end the rows of `to` from this one on.
    Keep(Affine),
    /// From a sequence's end to its beginning, with zeros behind the end.
    Reversed,
    /// The row at each sequence's end.
    Ends,
    /// A row for each sequence, where it ends; else zeros.
    AtEnd,
}

/// Where rows and columns begin.
#[derive(Clone, Copy, Debug)]
pub struct SelectRowsOffsets {
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
    /// The time step of the first B rows.
    pub time: Affine,
    /// The order.
    pub order: RowOrder,
    /// Whether rows are added to what is there.
    pub add: bool,
}

impl SelectRowsOffsets {
    /// The first columns of all rows as they stand.
    pub fn plain(width: usize) -> SelectRowsOffsets {
        let (first, order) = (Affine::constant(0), RowOrder::Plain);
        let (from_column, to_column, add) = (0, 0, false);
        SelectRowsOffsets {
            from: first,
            to: first,
            from_column,
            to_column,
            width,
            lengths: first,
            time: first,
            order,
            add,
        }
    }
}

/// Records the op on `rows` rows, which are time steps of `batch` rows each.
pub fn record(b: &mut Builder, op: SelectRows, [rows, batch]: [Dim; 2], at: SelectRowsOffsets) {
    let [from_width, to_width] = [op.from, op.to].map(|id| *b.tensor(id).shape.last().expect("[*, W]"));
    let fits = |whole: Dim, column: usize| whole.as_fixed().is_some_and(|whole| column + at.width <= whole);
    assert!(fits(from_width, at.from_column) && fits(to_width, at.to_column), "select_rows: the columns are there");
    let (order, keep) = match at.order {
        RowOrder::Plain => (0, 0.into()),
        RowOrder::UpToEnd => (1, 0.into()),
        RowOrder::Keep(row) => (2, row),
        RowOrder::Reversed => (3, 0.into()),
        RowOrder::Ends => (4, 0.into()),
        RowOrder::AtEnd => (5, 0.into()),
    };
    let sizes = [rows.into(), batch.into(), at.width.into(), from_width.into(), to_width.into()];
    let places = [at.from_column.into(), at.to_column.into(), at.from, at.to, keep, at.lengths, at.time];
    let flags = [order.into(), usize::from(at.add).into()];
    b.push(&ROW, &[op.from, op.lengths, op.to], &[&sizes[..], &places, &flags].concat());
}

/// The table row.
pub static ROW: OpRow = OpRow {
    name: "select_rows",
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
        Param::offset("keep_row"),
        Param::offset("lengths_row"),
        Param::offset("time"),
        Param::flag("order"),
        Param::flag("add"),
    ],
    shards: &[],
    carry_words: 0,
    passes: |_| 1,
    reference_f32: reference::<f32>,
    reference_f64: reference::<f64>,
    variants: &[Variant::new(crate::kernel!("select_rows", "base"), Requires::invocations(64))
        .groups(|w| folded((w["rows"] * w["width"]).div_ceil(64)))],
    cases,
    cost: |w| Cost { flops: 0.0, bytes: 8.0 * w.f64("rows") * w.f64("width") },
};

fn reference<F: Real>(args: &mut Args<F>) {
    let [rows, batch, width, from_width, to_width, from_column, to_column, from_row, to_row, keep_row] = args.sizes();
    let [lengths_row, time, order, add] = ["lengths_row", "time", "order", "add"].map(|name| args.words[name] as usize);
    let [from, lengths, to] = args.all();
    for m in 0..rows {
        let (t, b) = (time + m / batch, m % batch);
        let len = if order == 0 { t + 1 } else { lengths.word()[lengths_row + b] as usize };
        let row = match order {
            3 if t < len => Some((len - 1 - t) * batch + b),
            4 => Some((len - 1) * batch + b),
            5 => (t + 1 == len).then_some(b),
            _ => (t < len).then_some(m),
        };
        for j in 0..width {
            let value = match row {
                Some(row) => from.real()[(from_row + row) * from_width + from_column + j],
                None if order == 2 => to.real()[(keep_row + m) * to_width + to_column + j],
                None => F::ZERO,
            };
            let to = &mut to.real_mut()[(to_row + m) * to_width + to_column + j];
            *to = if add == 1 { *to + value } else { value };
        }
    }
}

fn cases() -> Vec<Case> {
    // batch, steps, width
    let shapes = [(1, 1, 1), (67, 3, 5), (3, 9, 130), (5, 7, 64)];
    let orders = [RowOrder::Plain, RowOrder::UpToEnd, RowOrder::Reversed, RowOrder::Ends, RowOrder::AtEnd];
    let ways = orders.into_iter().flat_map(|order| [(order, false), (order, true)]);
    let keep = (RowOrder::Keep(0.into()), false);
    let all = ways.chain([keep]).flat_map(|way| shapes.map(|shape| (way, shape)));
    all.map(|((order, add), (batch, steps, width))| {
        let all = batch * steps;
        let (order, name) = match order {
            RowOrder::Keep(_) => (RowOrder::Keep((all + 2).into()), "Keep".to_string()),
            order => (order, format!("{order:?}")),
        };
        let rows = if order == RowOrder::Ends { batch } else { all };
        // Plain, kept and final rows may begin at a later step.
        let time = usize::from(matches!(order, RowOrder::UpToEnd | RowOrder::AtEnd));
        let lengths = (0..batch + 2).map(|m| 1 + (m * 5 % steps) as u32).collect();
        Case::new(
            format!("batch={batch} steps={steps} width={width} {name} add={add}"),
            |b, fills| {
                let from = b.f32(Role::Scratch, "from", &[(all + 1).into(), (width + 3).into()]);
                let of = b.u32(Role::Io, "lengths", &[(batch + 2).into()]);
                let to = b.f32(Role::Scratch, "to", &[(2 * all + 2).into(), (2 * width).into()]);
                fills.extend([(from, Fill::Normal(1.0)), (to, Fill::Normal(1.0)), (of, Fill::Words(lengths))]);
                SelectRows { from, lengths: of, to }
            },
            |b, op| {
                let (from_column, to_column, lengths) = (2, width, 2.into());
                let plain = SelectRowsOffsets::plain(width);
                let at =
                    SelectRowsOffsets { from: 1.into(), to: 2.into(), time: time.into(), lengths, order, add, ..plain };
                record(b, op, [rows.into(), batch.into()], SelectRowsOffsets { from_column, to_column, ..at });
            },
        )
        .caps(if add { Caps::F32 } else { Caps::EXACT })
    })
    .collect()
}
