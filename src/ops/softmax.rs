//! Softmax and log-softmax, given the log of the denominator.
//!
//! ```text
//! y[m, n] = x[m, n] - lse[m]            (log = 1)
//! y[m, n] = exp(x[m, n] - lse[m])       (log = 0)        x, y [M, 1, V], lse [M] of logsumexp; m < M = rows
//! ```
//! Flops: 2 M V. Bytes: 8 M V + 4 M.

use super::logsumexp::{of_row, rows_of_logits};
use crate::plan::{
    Args, Builder, Case, Cost, Dim, Fill, OpRow, Operand, Param, Real, Requires, Role, ShardedAxes, TensorId, Variant,
    folded,
};

/// The function: softmax or its logarithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Probabilities.
    Softmax,
    /// Their logarithms.
    LogSoftmax,
}

/// Records the op on the first `rows` rows.
pub fn record(b: &mut Builder, x: TensorId, lse: TensorId, y: TensorId, rows: Dim, kind: Kind) {
    let vocab = *b.tensor(x).shape.last().expect("x is [M, 1, V]");
    assert_eq!(b.tensor(y).shape, b.tensor(x).shape, "softmax: y has the shape of x");
    b.push(&ROW, &[x, lse, y], &[rows.into(), vocab.into(), usize::from(kind == Kind::LogSoftmax).into()]);
}

/// The table row.
pub static ROW: OpRow = OpRow {
    name: "softmax",
    operands: &[Operand::read("x"), Operand::read("lse"), Operand::write("y")],
    params: &[Param::size("rows"), Param::size("vocab"), Param::flag("log")],
    shards: &[ShardedAxes { name: "n", axes: &[(0, 2), (2, 2)], multiple: 4 }],
    carry_words: 0,
    passes: |_| 1,
    reference_f32: reference::<f32>,
    reference_f64: reference::<f64>,
    variants: &[Variant::new(crate::kernel!("softmax", "base"), Requires::invocations(64))
        .groups(|w| folded(w["rows"] * w["n_len"].div_ceil(256)))],
    cases,
    cost: |w| {
        let (m, v) = (w.f64("rows"), w.f64("vocab"));
        Cost { flops: 2.0 * m * v, bytes: 8.0 * m * v + 4.0 * m }
    },
};

fn reference<F: Real>(args: &mut Args<F>) {
    let [rows, vocab, log] = args.sizes();
    let [x, lse, y] = args.all();
    for m in 0..rows {
        for n in m * vocab..(m + 1) * vocab {
            let log_probability = x.real()[n] - lse.real()[m];
            y.real_mut()[n] = if log == 1 { log_probability } else { log_probability.exp() };
        }
    }
}

fn cases() -> Vec<Case> {
    let both = rows_of_logits().into_iter().flat_map(|row| [(Kind::Softmax, row.clone()), (Kind::LogSoftmax, row)]);
    both.map(|(kind, (name, rows, vocab, fill))| {
        let mut case = Case::new(
            format!("{name} {kind:?}"),
            |b, fills| {
                let shape = [rows.into(), 1.into(), vocab.into()];
                let x = b.f32(Role::Scratch, "x", &shape);
                let lse = b.f32(Role::Scratch, "lse", &[rows.into()]);
                let y = b.f32(Role::Scratch, "y", &shape);
                let group = b.shard_group();
                b.shard(x, 2, group);
                b.shard(y, 2, group);
                fills.push((x, fill));
                (x, lse, y)
            },
            |b, (x, lse, y)| record(b, x, lse, y, rows.into(), kind),
        );
        let (x, lse) = (case.plan.find("x").expect("x"), case.plan.find("lse").expect("lse"));
        let denominators = case.floats(x).chunks(vocab).map(of_row).collect();
        case.fills.push((lse, Fill::Floats(denominators)));
        case
    })
    .collect()
}
