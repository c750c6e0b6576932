//! The mean loss of a window.
//!
//! ```text
//! means[slot] = token_weight * sum_m row_losses[m]        row_losses [*], means [S]; m < M = rows
//! token_weight: schedule [S, 4], row `slot` (see schedule); nats
//! ```
//! Flops: M. Bytes: 4 M. One workgroup sums all, so that the order never changes.

use super::schedule::{self, SCHEDULE_COLUMNS, TOKEN_WEIGHT};
use super::typical;
use crate::plan::{
    Affine, Args, Builder, Case, Cost, Dim, Fill, OpRow, Operand, OrderClass, Param, Real, Requires, Role, TensorId,
    Variant,
};

/// Operands of [`record`].
#[derive(Clone, Copy, Debug)]
pub struct MeanLoss {
    /// `[*]`.
    pub row_losses: TensorId,
    /// `[S, 4]`.
    pub schedule: TensorId,
    /// `[S]`.
    pub means: TensorId,
}

/// Records the op on the first `rows` losses.
pub fn record(b: &mut Builder, op: MeanLoss, rows: Dim, slot: impl Into<Affine>) {
    let [slots] = b.tensor(op.means).shape[..] else { panic!("mean_loss: means is [S]") };
    b.expect_shape("mean_loss", op.schedule, &[slots, SCHEDULE_COLUMNS.into()]);
    b.push(&ROW, &[op.row_losses, op.schedule, op.means], &[rows.into(), slot.into()]);
}

/// The table row.
pub static ROW: OpRow = OpRow {
    name: "mean_loss",
    operands: &[
        Operand::read("row_losses"),
        Operand::read("schedule").typical(typical::schedule_rows),
        Operand::write("means"),
    ],
    params: &[Param::size("rows"), Param::offset("slot")],
    shards: &[],
    carry_words: 0,
    passes: |_| 1,
    reference_f32: reference::<f32>,
    reference_f64: reference::<f64>,
    variants: &[Variant::new(
        crate::kernel!("mean_loss", "base", "tree_sum"),
        Requires::invocations(256).with_memory(1024),
    )
    .class(OrderClass::Lanes256)],
    cases,
    cost: |w| Cost { flops: w.f64("rows"), bytes: 4.0 * w.f64("rows") },
};

fn reference<F: Real>(args: &mut Args<F>) {
    let [rows, slot] = args.sizes();
    let [row_losses, schedule, means] = args.all();
    let sum = row_losses.real()[..rows].iter().fold(F::ZERO, |sum, x| sum + *x);
    means.real_mut()[slot] = sum * schedule::at(schedule.real(), slot)[TOKEN_WEIGHT];
}

fn cases() -> Vec<Case> {
    let normal = [1, 3, 255, 1024, 1025, 5000, 100_003].map(|rows| (format!("rows={rows}"), rows, Fill::Normal(1.0)));
    let special =
        [("all zero".into(), 67, Fill::Normal(0.0)), ("extreme".into(), 1000, Fill::Extreme(&[1e2, 1e15, 0.0]))];
    normal.into_iter().chain(special).map(|(name, rows, fill)| case(name, rows, fill)).collect()
}

/// The losses go on after the rows that count.
fn case(name: String, rows: usize, fill: Fill) -> Case {
    let declare = |b: &mut Builder, fills: &mut Vec<(TensorId, Fill)>| {
        let row_losses = b.f32(Role::Scratch, "row_losses", &[(rows + 5).into()]);
        let schedule = b.f32(Role::Io, "schedule", &[3.into(), SCHEDULE_COLUMNS.into()]);
        let means = b.f32(Role::Io, "means", &[3.into()]);
        fills.extend([(row_losses, fill), (schedule, Fill::Normal(1.0)), (means, Fill::Normal(1.0))]);
        MeanLoss { row_losses, schedule, means }
    };
    let write = |b: &mut Builder, op| record(b, op, rows.into(), Affine::STEP.modulo(3));
    Case { step: 4, ..Case::new(name, declare, write) }
}
