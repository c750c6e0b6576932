//! The mean over a sequence's time steps, and its gradient on the way back.
//!
//! ```text
//! mean    to[m, :] = sum_s from[s B + m, :] / len        over s < len = lengths[lengths_row + m]
//! spread  to[s B + m, :] (+)= from[m, :] / len           for s < len; 0 (or as it was) behind it
//! from, to [*, W], lengths [*] u32; m < B = batch, s < S = steps
//! ```
//! Sums go over blocks of 64 steps, s ascending. Flops: S B W. Bytes: 4 (S + 1) B W.

use crate::plan::{
    Affine, Args, Builder, Case, Cost, Dim, Fill, OpRow, Operand, OrderClass, Param, Real, Requires, Role, TensorId,
    Variant, folded,
};

/// Operands of [`record`].
#[derive(Clone, Copy, Debug)]
pub struct MeanRows {
    /// `[*, W]`.
    pub from: TensorId,
    /// `[*]` u32: at least one each.
    pub lengths: TensorId,
    /// `[*, W]`, another tensor than `from`.
    pub to: TensorId,
}

/// Which way.
#[derive(Clone, Copy, Debug)]
pub enum Way {
    /// From steps to their mean.
    Mean,
    /// From a mean's gradient to those of the steps.
    Spread {
        /// They are added to what is there.
        accumulate: bool,
    },
}

/// Records the op on `batch` sequences of `steps` steps; the first length stands at `lengths_row`.
pub fn record(b: &mut Builder, op: MeanRows, [batch, steps]: [Dim; 2], lengths_row: Affine, way: Way) {
    let width = *b.tensor(op.from).shape.last().expect("from is [*, W]");
    assert_eq!(b.tensor(op.to).shape.last(), Some(&width), "mean_rows: one width");
    let (spread, accumulate) = match way {
        Way::Mean => (0, 0),
        Way::Spread { accumulate } => (1, usize::from(accumulate)),
    };
    let params = [batch.into(), steps.into(), width.into(), lengths_row, spread.into(), accumulate.into()];
    b.push(&ROW, &[op.from, op.lengths, op.to], &params);
}

/// The table row.
pub static ROW: OpRow = OpRow {
    name: "mean_rows",
    operands: &[Operand::read("from_rows"), Operand::read_u32("lengths"), Operand::write("to_rows")],
    params: &[
        Param::size("batch"),
        Param::size("steps"),
        Param::size("width"),
        Param::offset("lengths_row"),
        Param::flag("spread"),
        Param::flag("accumulate"),
    ],
    shards: &[],
    carry_words: 0,
    passes: |_| 1,
    reference_f32: reference::<f32>,
    reference_f64: reference::<f64>,
    variants: &[Variant::new(crate::kernel!("mean_rows", "base"), Requires::invocations(64))
        .class(OrderClass::Blocks64)
        .groups(|w| {
            let steps = if w["spread"] == 1 { w["steps"] } else { 1 };
            folded((steps * w["batch"] * w["width"]).div_ceil(64))
        })],
    cases,
    cost: |w| {
        let numbers = w.f64("batch") * w.f64("width");
        Cost { flops: w.f64("steps") * numbers, bytes: 4.0 * (w.f64("steps") + 1.0) * numbers }
    },
};

fn reference<F: Real>(args: &mut Args<F>) {
    let [batch, steps, width, lengths_row, spread, accumulate] = args.sizes();
    let [from, lengths, to] = args.all();
    for m in 0..batch {
        let len = (lengths.word()[lengths_row + m] as usize).min(steps);
        let count = F::of(len as f32);
        for j in 0..width {
            if spread == 0 {
                let sum = (0..len).fold(F::ZERO, |sum, s| sum + from.real()[(s * batch + m) * width + j]);
                to.real_mut()[m * width + j] = sum / count;
                continue;
            }
            for s in 0..steps {
                let to = &mut to.real_mut()[(s * batch + m) * width + j];
                let before = if accumulate == 1 { *to } else { F::ZERO };
                *to = if s < len { before + from.real()[m * width + j] / count } else { before };
            }
        }
    }
}

fn cases() -> Vec<Case> {
    let shapes = [(1, 1, 1), (67, 3, 5), (3, 9, 130), (5, 200, 17)];
    let ways = [Way::Mean, Way::Spread { accumulate: false }, Way::Spread { accumulate: true }];
    let all = shapes.into_iter().flat_map(|shape| ways.map(|way| (shape, way)));
    all.map(|((batch, steps, width), way)| {
        let lengths = (0..batch + 2).map(|m| 1 + (m * 7 % steps) as u32).collect();
        Case::new(
            format!("{way:?} batch={batch} steps={steps} width={width}"),
            |b, fills| {
                let from = b.f32(Role::Scratch, "from", &[(batch * steps).into(), width.into()]);
                let of = b.u32(Role::Io, "lengths", &[(batch + 2).into()]);
                let to = b.f32(Role::Scratch, "to", &[(batch * steps).into(), width.into()]);
                fills.extend([(from, Fill::Normal(1.0)), (to, Fill::Normal(1.0)), (of, Fill::Words(lengths))]);
                MeanRows { from, lengths: of, to }
            },
            |b, op| record(b, op, [batch.into(), steps.into()], 2.into(), way),
        )
    })
    .collect()
}
