//! Matrix product with bias.
//!
//! ```text
//! y[y_row + m, g, n] = bias[g, n] + sum_k x[x_row + m, k] w[g, n, k]
//! x [*, K], w [G, N, K], bias [G, N], y [*, G, N]; m < M = rows; G gates of N outputs each (1 for a head)
//! ```
//! Flops: 2 M G N K. Bytes: 4 (M K + G N K + G N + M G N).

use crate::plan::{
    Adapters, Affine, Args, Builder, Case, Cost, Dim, Fill, Layout, OpRow, Operand, OrderClass, Param, ParamWords,
    Real, Requires, Role, ShardedAxes, TensorId, Variant,
};

/// Operands of [`record`].
#[derive(Clone, Copy, Debug)]
pub struct Matmul {
    /// `[*, K]`.
    pub x: TensorId,
    /// `[G, N, K]`.
    pub w: TensorId,
    /// `[G, N]`.
    pub bias: TensorId,
    /// `[*, G, N]`.
    pub y: TensorId,
}

/// Records the op on `rows` rows.
pub fn record(b: &mut Builder, op: Matmul, rows: Dim, x_row: impl Into<Affine>, y_row: impl Into<Affine>) {
    let [groups, outputs, inputs] = b.tensor(op.w).shape[..] else { panic!("matmul: w is [G, N, K]") };
    b.expect_shape("matmul", op.bias, &[groups, outputs]);
    assert_eq!(b.tensor(op.x).shape.last(), Some(&inputs), "matmul: x is [*, K]");
    assert!(b.tensor(op.y).shape.ends_with(&[groups, outputs]), "matmul: y is [*, G, N]");
    let params = [rows.into(), inputs.into(), groups.into(), outputs.into(), x_row.into(), y_row.into()];
    b.push(&ROW, &[op.x, op.w, op.bias, op.y], &params);
}

/// The table row.
pub static ROW: OpRow = OpRow {
    name: "matmul",
    operands: &[Operand::read("x"), Operand::read("w"), Operand::read("bias"), Operand::write("y")],
    params: &[
        Param::size("rows"),
        Param::size("inputs"),
        Param::size("groups"),
        Param::size("outputs"),
        Param::offset("x_row"),
        Param::offset("y_row"),
    ],
    shards: &[ShardedAxes { name: "n", axes: &[(1, 1), (3, 2)], multiple: 4 }],
    carry_words: 0,
    passes: |_| 1,
    reference_f32: reference::<f32>,
    reference_f64: reference::<f64>,
    variants: &[
        Variant::new(
            crate::kernel!("matmul_1x8", "base", "storages/f32", "matmul", "matmul_quads"),
            Requires::invocations(8),
        )
        .class(OrderClass::Blocks64)
        .layouts(&[(1, Layout::K4)])
        .better_on(Adapters::Software, |w| w["rows"] == 1)
        .groups(|w| [columns(w).div_ceil(64), w["rows"], 1]),
        Variant::new(
            crate::kernel!("matmul_8x16", "base", "storages/f32", "matmul", "matmul_quads"),
            Requires::invocations(8),
        )
        .class(OrderClass::Blocks64)
        .layouts(&[(1, Layout::K4)])
        .better_on(Adapters::Software, |w| w["rows"] > 4)
        .groups(|w| [columns(w).div_ceil(128), w["rows"].div_ceil(8), 1]),
        Variant::new(
            crate::kernel!("matmul_skinny", "base", "storages/f32", "matmul"),
            Requires::invocations(256).with_memory(1024),
        )
        .class(OrderClass::Blocks64)
        .layouts(&[(1, Layout::K4)])
        .better_on(Adapters::Hardware, |w| w["rows"] <= 2)
        .groups(|w| [columns(w).div_ceil(16), w["rows"], 1]),
        Variant::new(
            crate::kernel!("matmul_8x8", "base", "storages/f32", "matmul"),
            Requires::invocations(64).with_memory(8192),
        )
        .class(OrderClass::Blocks64)
        .layouts(&[(1, Layout::K4)])
        .better_on(Adapters::Hardware, |w| w["rows"] >= 64 && columns(w) >= 64)
        .groups(|w| [columns(w).div_ceil(64), w["rows"].div_ceil(64), 1]),
        Variant::new(crate::kernel!("matmul_4x4", "base", "storages/f32", "matmul"), Requires::invocations(64))
            .class(OrderClass::Blocks64)
            .layouts(&[(1, Layout::K4)])
            .groups(|w| [columns(w).div_ceil(64), w["rows"].div_ceil(16), 1]),
    ],
    cases,
    cost: |w| {
        let (m, k, n) = (w.f64("rows"), w.f64("inputs"), w.f64("groups") * w.f64("outputs"));
        Cost { flops: 2.0 * m * n * k, bytes: 4.0 * (m * k + n * k + n + m * n) }
    },
};

/// Columns of the part: all gates of its outputs.
fn columns(w: &ParamWords) -> u32 {
    w["groups"] * w["n_len"]
}

fn reference<F: Real>(args: &mut Args<F>) {
    let [rows, inputs, groups, outputs, x_row, y_row] = args.sizes();
    let [x, w, bias, y] = args.all();
    let columns = groups * outputs;
    for m in 0..rows {
        let x = &x.real()[(x_row + m) * inputs..][..inputs];
        let y = &mut y.real_mut()[(y_row + m) * columns..][..columns];
        for (q, y) in y.iter_mut().enumerate() {
            *y = bias.real()[q] + dot(x, &w.real()[q * inputs..][..inputs]);
        }
    }
}

/// The plain sum of products that every reference uses.
pub(crate) fn dot<F: Real>(a: &[F], b: &[F]) -> F {
    a.iter().zip(b).fold(F::ZERO, |sum, (&a, &b)| a.mul_add(b, sum))
}

fn cases() -> Vec<Case> {
    let shapes = [
        (1, 1, 1, 1),
        (67, 1, 1, 1),
        (1, 1, 1000, 1),
        (1, 1, 1, 1000),
        (2, 1, 65, 130),
        (5, 4, 17, 33),
        (16, 1, 64, 64),
        (67, 3, 65, 65),
        (130, 1, 131, 200),
        (200, 4, 96, 63),
        (2000, 1, 3, 5),
    ];
    let normal =
        shapes.into_iter().map(|s| case(format!("m={} g={} n={} k={}", s.0, s.1, s.2, s.3), s, Fill::Normal(1.0)));
    let extreme = [
        case("extreme 1e2 to 1e15".into(), (7, 2, 40, 70), Fill::Extreme(&[1e2, 1e15, 0.0])),
        case("zeros".into(), (66, 1, 66, 66), Fill::Normal(0.0)),
    ];
    normal.chain(extreme).collect()
}

fn case(name: String, (rows, groups, outputs, inputs): (usize, usize, usize, usize), x_fill: Fill) -> Case {
    Case::new(
        name,
        |b, fills| {
            let x = b.f32(Role::Scratch, "x", &[(rows + 1).into(), inputs.into()]);
            let w = b.f32(Role::Weight, "w", &[groups.into(), outputs.into(), inputs.into()]);
            let bias = b.f32(Role::Weight, "bias", &[groups.into(), outputs.into()]);
            let y = b.f32(Role::Scratch, "y", &[(rows + 2).into(), groups.into(), outputs.into()]);
            let group = b.shard_group();
            b.shard(w, 1, group);
            if groups == 1 {
                b.shard(y, 2, group);
            }
            fills.extend([(x, x_fill), (w, Fill::Normal(0.3)), (bias, Fill::Normal(1.0))]);
            Matmul { x, w, bias, y }
        },
        |b, op| record(b, op, rows.into(), 1, 2),
    )
}
