//! The logarithm of a softmax' denominator, row by row.
//!
//! ```text
//! lse[m] = max_n x[m, n] + ln sum_n exp(x[m, n] - max_n x[m, n])        x [M, 1, V], lse [M]; m < M = rows
//! ```
//! A row of minus infinities gives minus infinity. Flops: 3 M V. Bytes: 4 M V + 4 M.

use crate::plan::{
    Args, Builder, Case, Cost, Dim, Fill, OpRow, Operand, OrderClass, Param, Real, Requires, Role, ShardedAxes,
    TensorId, Variant, folded,
};

/// Records the op on the first `rows` rows of `x`.
pub fn record(b: &mut Builder, x: TensorId, lse: TensorId, rows: Dim) {
    let vocab = *b.tensor(x).shape.last().expect("x is [M, 1, V]");
    b.push(&ROW, &[x, lse], &[rows.into(), vocab.into()]);
}

/// The table row.
pub static ROW: OpRow = OpRow {
    name: "logsumexp",
    operands: &[Operand::read("x"), Operand::write("lse")],
    params: &[Param::size("rows"), Param::size("vocab")],
    shards: &[ShardedAxes { name: "n", axes: &[(0, 2)], multiple: 4 }],
    carry_words: 2 * 256,
    passes: |_| 1,
    reference_f32: reference::<f32>,
    reference_f64: reference::<f64>,
    variants: &[Variant::new(
        crate::kernel!("logsumexp", "base", "softmax"),
        Requires::invocations(256).with_memory(2048),
    )
    .class(OrderClass::Lanes256)
    .groups(|w| folded(w["rows"]))],
    cases,
    cost: |w| {
        let (m, v) = (w.f64("rows"), w.f64("vocab"));
        Cost { flops: 3.0 * m * v, bytes: 4.0 * m * v + 4.0 * m }
    },
};

fn reference<F: Real>(args: &mut Args<F>) {
    let [rows, vocab] = args.sizes();
    let [x, lse] = args.all();
    for m in 0..rows {
        lse.real_mut()[m] = of_row(&x.real()[m * vocab..][..vocab]);
    }
}

/// ln sum exp of a row.
pub(crate) fn of_row<F: Real>(x: &[F]) -> F {
    let max = x.iter().copied().fold(F::NEG_INFINITY, |a, b| if b > a { b } else { a });
    if max == F::NEG_INFINITY {
        return max;
    }
    let sum = x.iter().fold(F::ZERO, |sum, &x| sum + (x - max).exp());
    max + sum.ln()
}

/// Rows on which the three ops of the softmax are tried: sizes, extremes, ties, minus infinities.
pub(crate) fn rows_of_logits() -> Vec<(String, usize, usize, Fill)> {
    let plain = [(1, 1), (67, 1), (1, 256), (1, 257), (3, 1000), (2, 50_257), (67, 65)];
    let mut rows: Vec<_> = plain
        .into_iter()
        .map(|(rows, vocab)| (format!("rows={rows} vocab={vocab}"), rows, vocab, Fill::Normal(3.0)))
        .collect();
    let negative = f32::NEG_INFINITY;
    let mut masked = vec![negative; 3 * 300];
    masked[17] = 2.0;
    masked[300..600].iter_mut().enumerate().for_each(|(i, x)| *x = if i % 2 == 0 { 1.0 } else { negative });
    masked[600..900].fill(-4.0);
    rows.push(("minus infinity".into(), 3, 300, Fill::Floats(masked)));
    rows.push(("extreme".into(), 5, 300, Fill::Extreme(&[1e2, 1e30, -1e30, 0.0])));
    rows.push(("all equal".into(), 2, 513, Fill::Floats(vec![7.0; 2 * 513])));
    rows
}

fn cases() -> Vec<Case> {
    // More rows than a dimension of a dispatch has workgroups.
    let folded = case("rows=70000 vocab=2".into(), 70_000, 2, Fill::Normal(3.0)).large();
    rows_of_logits()
        .into_iter()
        .map(|(name, rows, vocab, fill)| case(name, rows, vocab, fill))
        .chain([folded])
        .collect()
}

fn case(name: String, rows: usize, vocab: usize, fill: Fill) -> Case {
    Case::new(
        name,
        |b, fills| {
            let x = b.f32(Role::Scratch, "x", &[rows.into(), 1.into(), vocab.into()]);
            let lse = b.f32(Role::Scratch, "lse", &[rows.into()]);
            let group = b.shard_group();
            b.shard(x, 2, group);
            fills.push((x, fill));
            (x, lse)
        },
        |b, (x, lse)| record(b, x, lse, rows.into()),
    )
}
