//! The log-probability of a given token, row by row: what scoring needs of a log-softmax.
//!
//! ```text
//! y[m] = x[m, targets[m]] - lse[m]        x [M, 1, V], lse [M], targets [M] u32, y [M]; m < M = rows
//! ```
//! Flops: M. Bytes: 16 M. A target outside [0, V) must have been refused before; its y is not written.

use super::typical;
use crate::plan::{
    Args, Builder, Case, Cost, Dim, Fill, OpRow, Operand, Param, Real, Requires, Role, ShardedAxes, TensorId, Variant,
    folded,
};

/// Operands of [`record`].
#[derive(Clone, Copy, Debug)]
pub struct TargetLogProb {
    /// `[M, 1, V]`.
    pub x: TensorId,
    /// `[M]`.
    pub lse: TensorId,
    /// `[M]` u32.
    pub targets: TensorId,
    /// `[M]`.
    pub y: TensorId,
}

/// Records the op on the first `rows` rows.
pub fn record(b: &mut Builder, op: TargetLogProb, rows: Dim) {
    let vocab = *b.tensor(op.x).shape.last().expect("x is [M, 1, V]");
    b.push(&ROW, &[op.x, op.lse, op.targets, op.y], &[rows.into(), vocab.into()]);
}

/// The table row.
pub static ROW: OpRow = OpRow {
    name: "target_log_prob",
    operands: &[
        Operand::read("x"),
        Operand::read("lse"),
        Operand::read_u32("targets").typical(typical::tokens),
        Operand::write("y"),
    ],
    params: &[Param::size("rows"), Param::size("vocab")],
    shards: &[ShardedAxes { name: "n", axes: &[(0, 2)], multiple: 4 }],
    carry_words: 0,
    passes: |_| 1,
    reference_f32: reference::<f32>,
    reference_f64: reference::<f64>,
    variants: &[Variant::new(crate::kernel!("target_log_prob", "base"), Requires::invocations(64))
        .groups(|w| folded(w["rows"].div_ceil(64)))],
    cases,
    cost: |w| Cost { flops: w.f64("rows"), bytes: 16.0 * w.f64("rows") },
};

fn reference<F: Real>(args: &mut Args<F>) {
    let [rows, vocab] = args.sizes();
    let [x, lse, targets, y] = args.all();
    for m in 0..rows {
        y.real_mut()[m] = x.real()[m * vocab + targets.word()[m] as usize] - lse.real()[m];
    }
}

fn cases() -> Vec<Case> {
    [(1, 1), (67, 3), (3, 1000), (2, 50_257), (1000, 65)]
        .into_iter()
        .map(|(rows, vocab)| {
            Case::new(
                format!("rows={rows} vocab={vocab}"),
                |b, fills| {
                    let x = b.f32(Role::Scratch, "x", &[rows.into(), 1.into(), vocab.into()]);
                    let lse = b.f32(Role::Scratch, "lse", &[rows.into()]);
                    let targets = b.u32(Role::Io, "targets", &[rows.into()]);
                    let y = b.f32(Role::Io, "y", &[rows.into()]);
                    let group = b.shard_group();
                    b.shard(x, 2, group);
                    fills.extend([(x, Fill::Normal(3.0)), (lse, Fill::Normal(1.0))]);
                    fills.push((targets, Fill::Ids(vocab as u32)));
                    TargetLogProb { x, lse, targets, y }
                },
                |b, op| record(b, op, rows.into()),
            )
        })
        .collect()
}
