//! A function around each number of some rows, and its gradient on the way back, in place.
//!
//! ```text
//! forward    x[x_row + m, :] := f(x[x_row + m, :])
//! backward   x[x_row + m, :] := x[x_row + m, :] f'(.)        f' from y = f(.), which stands in y[y_row + m, :]
//! x, y [*, W]; m < M = rows; f is linear, sigmoid, tanh or relu
//! ```
//! Forward, y is a stand-in. Flops: about 10 M W. Bytes: 8 M W, or 12 M W.

use super::activation::Activation;
use crate::plan::{
    Affine, Args, Builder, Case, Cost, Dim, Fill, OpRow, Operand, Param, Real, Requires, Role, TensorId, Variant,
    folded,
};

/// Which way.
#[derive(Clone, Copy, Debug)]
pub enum Way {
    /// x becomes f(x).
    Forward,
    /// x is the gradient of what stands in y from this row on, and becomes that of what f took.
    Backward(Affine),
}

/// Records the op on `rows` rows of `x` from `x_row` on; forward, any other tensor stands in for `y`.
pub fn record(b: &mut Builder, [y, x]: [TensorId; 2], rows: Dim, f: Activation, x_row: Affine, way: Way) {
    assert!(f as usize <= Activation::Relu as usize, "activate: {} has no gradient from its value", f.name());
    let width = *b.tensor(x).shape.last().expect("x is [*, W]");
    let (backward, y_row) = match way {
        Way::Forward => (0, 0.into()),
        Way::Backward(row) => {
            assert_eq!(b.tensor(y).shape.last(), Some(&width), "activate: x and y have one width");
            (1, row)
        }
    };
    b.push(&ROW, &[y, x], &[rows.into(), width.into(), x_row, y_row, f.word().into(), backward.into()]);
}

/// The table row.
pub static ROW: OpRow = OpRow {
    name: "activate",
    operands: &[Operand::read("y"), Operand::write("x")],
    params: &[
        Param::size("rows"),
        Param::size("width"),
        Param::offset("x_row"),
        Param::offset("y_row"),
        Param::constant("activation"),
        Param::flag("backward"),
    ],
    shards: &[],
    carry_words: 0,
    passes: |_| 1,
    reference_f32: reference::<f32>,
    reference_f64: reference::<f64>,
    variants: &[Variant::new(crate::kernel!("activate", "base", "activation"), Requires::invocations(64))
        .groups(|w| folded((w["rows"] * w["width"]).div_ceil(64)))],
    cases,
    cost: |w| {
        let numbers = w.f64("rows") * w.f64("width");
        Cost { flops: 10.0 * numbers, bytes: 8.0 * numbers }
    },
};

/// The slope of a function where its value is y.
pub(crate) fn slope<F: Real>(f: Activation, y: F) -> F {
    match f {
        Activation::Sigmoid => y * (F::ONE - y),
        Activation::Tanh => F::ONE - y * y,
        Activation::Relu if y > F::ZERO => F::ONE,
        Activation::Relu => F::ZERO,
        _ => F::ONE,
    }
}

fn reference<F: Real>(args: &mut Args<F>) {
    let [rows, width, x_row, y_row, f, backward] = args.sizes();
    let [y, x] = args.all();
    let f = Activation::of_word(f);
    for i in 0..rows * width {
        let x = &mut x.real_mut()[x_row * width + i];
        *x = if backward == 1 { *x * slope(f, y.real()[y_row * width + i]) } else { f.of(*x) };
    }
}

fn cases() -> Vec<Case> {
    let kinds = [Activation::Linear, Activation::Sigmoid, Activation::Tanh, Activation::Relu];
    let shapes = [(1, 1), (67, 5), (3, 130), (2, 1000)];
    let all = kinds.into_iter().flat_map(|f| shapes.map(|shape| (f, shape))).flat_map(|of| [(of, 0), (of, 1)]);
    all.map(|((f, (rows, width)), backward)| {
        Case::new(
            format!("{} rows={rows} width={width} backward={backward}", f.name()),
            |b, fills| {
                let y = b.f32(Role::Scratch, "y", &[(rows + 2).into(), width.into()]);
                let x = b.f32(Role::Scratch, "x", &[(rows + 1).into(), width.into()]);
                let wide = Fill::Extreme(&[1e2, -1e4, 1.0, 0.0]);
                fills.extend([(y, Fill::Normal(0.6)), (x, if backward == 0 { wide } else { Fill::Normal(1.0) })]);
                [y, x]
            },
            |b, op| {
                let way = if backward == 1 { Way::Backward(2.into()) } else { Way::Forward };
                record(b, op, rows.into(), f, 1.into(), way);
            },
        )
    })
    .collect()
}
