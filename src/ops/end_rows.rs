//! The rows where sequences end: final states of rows of unequal lengths, and their gradients on the way back.
//!
//! ```text
//! m < B = rows; the end of row m is step lengths[lengths_row + m] - 1, the end row from_row or to_row + (that step) B + m
//! gather   to[to_row + m, to_column : + W] = from[end row, from_column : + W]
//! scatter  to[end row, to_column : + W] += from[from_row + m, from_column : + W]
//! inject   to[to_row + m, ..] += from[from_row + m, ..] where step `time` is the end of row m
//! from [*, F], to [*, O], lengths [*] u32
//! ```
//! Bytes: 12 B W. Flops: B W but to gather.

use crate::plan::{
    Affine, Args, Builder, Caps, Case, Cost, Dim, Fill, OpRow, Operand, Param, Real, Requires, Role, TensorId, Variant,
    folded,
};

/// Operands of [`record`].
#[derive(Clone, Copy, Debug)]
pub struct EndRows {
    /// `[*, F]`.
    pub from: TensorId,
    /// `[*]` u32: time steps of each row, at least one.
    pub lengths: TensorId,
    /// `[*, O]`, another tensor than `from`.
    pub to: TensorId,
}

/// Which side the ends are on.
#[derive(Clone, Copy, Debug)]
pub enum Ends {
    /// Rows are taken from there.
    Gather,
    /// Rows are added to what is there.
    Scatter,
    /// Rows that end with this step are added to others.
    Inject(Affine),
}

/// Where rows and columns begin.
#[derive(Clone, Copy, Debug)]
pub struct EndRowsOffsets {
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
}

/// Records the op on `rows` rows.
pub fn record(b: &mut Builder, op: EndRows, rows: Dim, at: EndRowsOffsets, ends: Ends) {
    let [from_width, to_width] = [op.from, op.to].map(|id| *b.tensor(id).shape.last().expect("[*, W]"));
    let fits = |whole: Dim, column: usize| whole.as_fixed().is_some_and(|whole| column + at.width <= whole);
    assert!(fits(from_width, at.from_column) && fits(to_width, at.to_column), "end_rows: the columns are there");
    let (kind, time) = match ends {
        Ends::Gather => (0, 0.into()),
        Ends::Scatter => (1, 0.into()),
        Ends::Inject(time) => (2, time),
    };
    let widths = [rows.into(), at.width.into(), from_width.into(), to_width.into()];
    let places = [at.from_column.into(), at.to_column.into(), at.from, at.to, at.lengths, time, kind.into()];
    b.push(&ROW, &[op.from, op.lengths, op.to], &[&widths[..], &places].concat());
}

/// The table row.
pub static ROW: OpRow = OpRow {
    name: "end_rows",
    operands: &[Operand::read("from_rows"), Operand::read_u32("lengths"), Operand::write("to_rows")],
    params: &[
        Param::size("rows"),
        Param::size("width"),
        Param::size("from_width"),
        Param::size("to_width"),
        Param::offset("from_column"),
        Param::offset("to_column"),
        Param::offset("from_row"),
        Param::offset("to_row"),
        Param::offset("lengths_row"),
        Param::offset("time"),
        Param::flag("kind"),
    ],
    shards: &[],
    carry_words: 0,
    passes: |_| 1,
    reference_f32: reference::<f32>,
    reference_f64: reference::<f64>,
    variants: &[Variant::new(crate::kernel!("end_rows", "base"), Requires::invocations(64))
        .groups(|w| folded((w["rows"] * w["width"]).div_ceil(64)))],
    cases,
    cost: |w| Cost { flops: w.f64("rows") * w.f64("width"), bytes: 12.0 * w.f64("rows") * w.f64("width") },
};

fn reference<F: Real>(args: &mut Args<F>) {
    let [rows, width, from_width, to_width, from_column, to_column, from_row, to_row, lengths_row, time, kind] =
        args.sizes();
    let [from, lengths, to] = args.all();
    for m in 0..rows {
        let end = lengths.word()[lengths_row + m] as usize - 1;
        let end_row = end * rows + m;
        let (source, target) = match kind {
            0 => (from_row + end_row, to_row + m),
            1 => (from_row + m, to_row + end_row),
            _ if end == time => (from_row + m, to_row + m),
            _ => continue,
        };
        let from = &from.real()[source * from_width + from_column..][..width];
        let to = &mut to.real_mut()[target * to_width + to_column..][..width];
        for (to, &x) in to.iter_mut().zip(from) {
            *to = if kind == 0 { x } else { *to + x };
        }
    }
}

fn cases() -> Vec<Case> {
    let shapes = [(1, 1, 1), (67, 3, 5), (3, 9, 130), (5, 2, 64)];
    let kinds = [("gather", Ends::Gather), ("scatter", Ends::Scatter), ("inject", Ends::Inject(1.into()))];
    let all = shapes.into_iter().flat_map(|shape| kinds.map(|kind| (shape, kind)));
    all.map(|((rows, time, width), (name, ends))| {
        let lengths = (0..rows + 2).map(|m| 1 + (m * 5 % time) as u32).collect();
        Case::new(
            format!("{name} rows={rows} time={time} width={width}"),
            |b, fills| {
                let from = b.f32(Role::Scratch, "from", &[(rows * time + 1).into(), (width + 3).into()]);
                let steps = b.u32(Role::Io, "lengths", &[(rows + 2).into()]);
                let to = b.f32(Role::Scratch, "to", &[(rows * time + 2).into(), (2 * width).into()]);
                fills.extend([(from, Fill::Normal(1.0)), (to, Fill::Normal(1.0)), (steps, Fill::Words(lengths))]);
                EndRows { from, lengths: steps, to }
            },
            |b, op| {
                let (from, to, lengths) = (1.into(), 2.into(), 2.into());
                let at = EndRowsOffsets { from, to, from_column: 2, to_column: width, width, lengths };
                record(b, op, rows.into(), at, ends);
            },
        )
        .caps(if matches!(ends, Ends::Gather) { Caps::EXACT } else { Caps::F32 })
    })
    .collect()
}
