//! Gradient of a matrix product with respect to its weight.
//!
//! ```text
//! dw[w_group + g, n, k] = start + sum_m dy[y_row + m, y_group + g, n] x[x_row + m, k]
//! start                 = 0 where accumulate is 0, else dw[w_group + g, n, k]
//! dy [*, Gy, N], x [*, K], dw [Gw, N, K]; m < M = rows, g < G = groups, G <= Gy and Gw
//! ```
//! Flops: 2 M G N K. Bytes: 4 (M G N + M K + G N K).

use super::matmul_input_gradient::{MatmulInputGradientOffsets, PARAMS, Shape, cost, params, shapes};
use crate::plan::{
    Adapters, Args, Builder, Case, Dim, Fill, OpRow, Operand, OrderClass, ParamWords, Real, Requires, Role,
    ShardedAxes, TensorId, Variant,
};

/// Operands of [`record`].
#[derive(Clone, Copy, Debug)]
pub struct MatmulWeightGradient {
    /// `[*, Gy, N]`.
    pub dy: TensorId,
    /// `[*, K]`.
    pub x: TensorId,
    /// `[Gw, N, K]`.
    pub dw: TensorId,
}

/// Records the op on `rows` rows.
pub fn record(b: &mut Builder, op: MatmulWeightGradient, rows: Dim, at: MatmulInputGradientOffsets) {
    let params = params(b, ROW.name, [op.dy, op.dw, op.x], rows, at);
    b.push(&ROW, &[op.dy, op.x, op.dw], &params);
}

/// The table row.
pub static ROW: OpRow = OpRow {
    name: "matmul_weight_gradient",
    operands: &[Operand::read("dy"), Operand::read("x"), Operand::write("dw")],
    params: PARAMS,
    shards: &[ShardedAxes { name: "n", axes: &[(2, 1), (0, 2)], multiple: 4 }],
    carry_words: 0,
    passes: |_| 1,
    reference_f32: reference::<f32>,
    reference_f64: reference::<f64>,
    variants: &[
        Variant::new(
            crate::kernel!(
                "matmul_weight_gradient_8x16",
                "base",
                "output_gradient",
                "product_gradient",
                "weight_gradient"
            ),
            Requires::invocations(8),
        )
        .class(OrderClass::Blocks64)
        .better_on(Adapters::Software, |w| w["inputs"] >= 64)
        .groups(|w| [w["inputs"].div_ceil(128), w["n_len"].div_ceil(8), w["groups"]]),
        Variant::new(
            crate::kernel!(
                "matmul_weight_gradient_slices",
                "base",
                "output_gradient",
                "product_gradient",
                "weight_gradient"
            ),
            Requires::invocations(256).with_memory(16384),
        )
        .class(OrderClass::Blocks64)
        // Few tiles and many rows: else most of a GPU would have nothing to do.
        .better_on(Adapters::Hardware, |w| w["rows"] >= 256 && tiles(w, 64) <= 32)
        .groups(|w| [w["inputs"].div_ceil(16), w["n_len"].div_ceil(16), w["groups"]]),
        Variant::new(
            crate::kernel!(
                "matmul_weight_gradient_8x8",
                "base",
                "output_gradient",
                "product_gradient",
                "weight_gradient"
            ),
            Requires::invocations(64).with_memory(8192),
        )
        .class(OrderClass::Blocks64)
        .better_on(Adapters::Hardware, |w| w["inputs"] >= 64 && w["n_len"] >= 64)
        .groups(|w| [w["inputs"].div_ceil(64), w["n_len"].div_ceil(64), w["groups"]]),
        Variant::new(
            crate::kernel!(
                "matmul_weight_gradient_4x8",
                "base",
                "output_gradient",
                "product_gradient",
                "weight_gradient"
            ),
            Requires::invocations(64),
        )
        .class(OrderClass::Blocks64)
        .groups(|w| [w["inputs"].div_ceil(64), w["n_len"].div_ceil(32), w["groups"]]),
    ],
    cases,
    cost,
};

/// Squares of `side` weights that cover the part.
fn tiles(w: &ParamWords, side: u32) -> u32 {
    w["inputs"].div_ceil(side) * w["n_len"].div_ceil(side) * w["groups"]
}

fn reference<F: Real>(args: &mut Args<F>) {
    let [rows, inputs, outputs, groups, y_row, x_row, y_groups, y_group, w_group, accumulate] = args.sizes();
    let [dy, x, dw] = args.all();
    let dw = &mut dw.real_mut()[w_group * outputs * inputs..][..groups * outputs * inputs];
    if accumulate == 0 {
        dw.fill(F::ZERO);
    }
    for m in 0..rows {
        let x = &x.real()[(x_row + m) * inputs..][..inputs];
        let dy = &dy.real()[((y_row + m) * y_groups + y_group) * outputs..][..groups * outputs];
        for (&dy, dw) in dy.iter().zip(dw.chunks_exact_mut(inputs)) {
            for (dw, &x) in dw.iter_mut().zip(x) {
                *dw = dy.mul_add(x, *dw);
            }
        }
    }
}

fn cases() -> Vec<Case> {
    shapes().into_iter().map(|(name, shape)| case(name, shape)).collect()
}

fn case(name: String, s: Shape) -> Case {
    Case::new(
        name,
        |b, fills| {
            let dy = b.f32(Role::Scratch, "dy", &[(s.rows + 1).into(), s.of_y.0.into(), s.outputs.into()]);
            let x = b.f32(Role::Saved, "x", &[(s.rows + 2).into(), s.inputs.into()]);
            let dw = b.f32(Role::Scratch, "dw", &[s.of_w.0.into(), s.outputs.into(), s.inputs.into()]);
            let group = b.shard_group();
            b.shard(dw, 1, group);
            if s.split_y {
                b.shard(dy, 2, group);
            }
            fills.extend([(dy, Fill::Normal(0.3)), (x, (s.fill)()), (dw, Fill::Normal(1.0))]);
            MatmulWeightGradient { dy, x, dw }
        },
        |b, op| record(b, op, s.rows.into(), s.offsets()),
    )
}
