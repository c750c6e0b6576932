//! Gradient of a matrix product with respect to its input.
//!
//! ```text
//! dx[x_row + m, k] = start + sum_g sum_n dy[y_row + m, y_group + g, n] w[w_group + g, n, k]
//! start            = 0 where accumulate is 0, else dx[x_row + m, k]
//! dy [*, Gy, N], w [Gw, N, K], dx [*, K]; m < M = rows, g < G = groups, G <= Gy and Gw
//! ```
//! Summed over n within a group, groups ascending. Where w is sharded, a shard goes through its n of all groups before the
//! next part does. Flops: 2 M G N K. Bytes: 4 (M G N + G N K + M K).

use crate::plan::{
    Adapters, Affine, Args, Builder, Case, Cost, Dim, Fill, OpRow, Operand, OrderClass, Param, ParamWords, Real,
    Requires, Role, ShardedAxes, TensorId, Variant,
};

/// Operands of [`record`].
#[derive(Clone, Copy, Debug)]
pub struct MatmulInputGradient {
    /// `[*, Gy, N]`.
    pub dy: TensorId,
    /// `[Gw, N, K]`.
    pub w: TensorId,
    /// `[*, K]`.
    pub dx: TensorId,
}

/// Where the gradients of a product stand: of [`record`] and of [`super::matmul_weight_gradient::record`].
#[derive(Clone, Copy, Debug)]
pub struct MatmulInputGradientOffsets {
    /// First row of `dy`.
    pub y_row: Affine,
    /// First row of `dx` or `x`.
    pub x_row: Affine,
    /// First group of `dy`.
    pub dy_group: usize,
    /// First group of `w` or `dw`.
    pub w_group: usize,
    /// G.
    pub groups: usize,
    /// 0 overwrites, any other number adds to what is there: a `Repeat`'s index will do.
    pub accumulate: Affine,
}

/// Asserts that `groups` groups from `first` on are there.
pub(crate) fn expect_groups(op: &str, all: Dim, first: usize, groups: usize) {
    let all = all.as_fixed().unwrap_or_else(|| panic!("{op}: the number of groups is fixed"));
    assert!(groups > 0 && first + groups <= all, "{op}: groups {first} to {} of {all}", first + groups);
}

/// Records the op on `rows` rows.
pub fn record(b: &mut Builder, op: MatmulInputGradient, rows: Dim, at: MatmulInputGradientOffsets) {
    let params = params(b, ROW.name, [op.dy, op.w, op.dx], rows, at);
    b.push(&ROW, &[op.dy, op.w, op.dx], &params);
}

/// The parameters of both gradients, for gradients dy of the outputs, w or its gradient, and x or its gradient.
pub(crate) fn params(
    b: &Builder,
    op: &str,
    [dy, w, x]: [TensorId; 3],
    rows: Dim,
    at: MatmulInputGradientOffsets,
) -> [Affine; 10] {
    let [w_groups, outputs, inputs] = b.tensor(w).shape[..] else { panic!("{op}: w and dw are [Gw, N, K]") };
    let [.., y_groups, y_outputs] = b.tensor(dy).shape[..] else { panic!("{op}: dy is [*, Gy, N]") };
    assert_eq!(y_outputs, outputs, "{op}: dy is [*, Gy, N]");
    assert_eq!(b.tensor(x).shape.last(), Some(&inputs), "{op}: x and dx are [*, K]");
    expect_groups(&format!("{op}: dy"), y_groups, at.dy_group, at.groups);
    expect_groups(&format!("{op}: w"), w_groups, at.w_group, at.groups);
    [
        rows.into(),
        inputs.into(),
        outputs.into(),
        at.groups.into(),
        at.y_row,
        at.x_row,
        y_groups.into(),
        at.dy_group.into(),
        at.w_group.into(),
        at.accumulate,
    ]
}

/// Their names.
pub(crate) const PARAMS: &[Param] = &[
    Param::size("rows"),
    Param::size("inputs"),
    Param::size("outputs"),
    Param::size("groups"),
    Param::offset("y_row"),
    Param::offset("x_row"),
    Param::offset("y_groups"),
    Param::offset("y_group"),
    Param::offset("w_group"),
    Param::flag("accumulate"),
];

/// The table row.
pub static ROW: OpRow = OpRow {
    name: "matmul_input_gradient",
    operands: &[Operand::read("dy"), Operand::read("w"), Operand::write("d_x")],
    params: PARAMS,
    // Whole blocks of the order class, so that sharding does not change them.
    shards: &[ShardedAxes { name: "n", axes: &[(1, 1), (0, 2)], multiple: 64 }],
    carry_words: 0,
    passes: |_| 1,
    reference_f32: reference::<f32>,
    reference_f64: reference::<f64>,
    variants: &[
        Variant::new(
            crate::kernel!(
                "matmul_input_gradient_8x16",
                "base",
                "output_gradient",
                "product_gradient",
                "input_gradient"
            ),
            Requires::invocations(8),
        )
        .class(OrderClass::Blocks64)
        .better_on(Adapters::Software, |w| w["rows"] > 4 && w["inputs"] >= 64)
        .groups(|w| [w["inputs"].div_ceil(128), w["rows"].div_ceil(8), 1]),
        Variant::new(
            crate::kernel!(
                "matmul_input_gradient_8x8",
                "base",
                "output_gradient",
                "product_gradient",
                "input_gradient"
            ),
            Requires::invocations(64).with_memory(8192),
        )
        .class(OrderClass::Blocks64)
        .better_on(Adapters::Hardware, |w| w["rows"] >= 64 && w["inputs"] >= 64)
        .groups(|w| [w["inputs"].div_ceil(64), w["rows"].div_ceil(64), 1]),
        Variant::new(
            crate::kernel!(
                "matmul_input_gradient_4x8",
                "base",
                "output_gradient",
                "product_gradient",
                "input_gradient"
            ),
            Requires::invocations(64),
        )
        .class(OrderClass::Blocks64)
        .groups(|w| [w["inputs"].div_ceil(64), w["rows"].div_ceil(32), 1]),
    ],
    cases,
    cost,
};

/// The work of both gradients.
pub(crate) fn cost(w: &ParamWords) -> Cost {
    let (m, k, n) = (w.f64("rows"), w.f64("inputs"), w.f64("outputs") * w.f64("groups"));
    Cost { flops: 2.0 * m * n * k, bytes: 4.0 * (m * n + n * k + m * k) }
}

fn reference<F: Real>(args: &mut Args<F>) {
    let [rows, inputs, outputs, groups, y_row, x_row, y_groups, y_group, w_group, accumulate] = args.sizes();
    let [dy, w, dx] = args.all();
    for m in 0..rows {
        let dx = &mut dx.real_mut()[(x_row + m) * inputs..][..inputs];
        if accumulate == 0 {
            dx.fill(F::ZERO);
        }
        for g in 0..groups {
            let dy = &dy.real()[((y_row + m) * y_groups + y_group + g) * outputs..][..outputs];
            let w = &w.real()[(w_group + g) * outputs * inputs..][..outputs * inputs];
            for (&dy, w) in dy.iter().zip(w.chunks_exact(inputs)) {
                for (dx, &w) in dx.iter_mut().zip(w) {
                    *dx = dy.mul_add(w, *dx);
                }
            }
        }
    }
}

/// A case of either gradient: sizes, and which groups of how many.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub rows: usize,
    pub groups: usize,
    pub outputs: usize,
    pub inputs: usize,
    /// (groups of dy, the first one)
    pub of_y: (usize, usize),
    /// (groups of w, the first one)
    pub of_w: (usize, usize),
    pub accumulate: usize,
    /// dy is sharded where w is.
    pub split_y: bool,
    pub fill: fn() -> Fill,
}

impl Shape {
    fn of((rows, groups, outputs, inputs): (usize, usize, usize, usize), accumulate: usize) -> Shape {
        let fill = || Fill::Normal(1.0);
        let split_y = groups == 1;
        Shape { rows, groups, outputs, inputs, of_y: (groups, 0), of_w: (groups, 0), accumulate, split_y, fill }
    }

    /// Rows of dy start at 1, of x at 2.
    pub fn offsets(&self) -> MatmulInputGradientOffsets {
        MatmulInputGradientOffsets {
            y_row: 1.into(),
            x_row: 2.into(),
            dy_group: self.of_y.1,
            w_group: self.of_w.1,
            groups: self.groups,
            accumulate: self.accumulate.into(),
        }
    }
}

/// The names and sizes of the cases of both gradients.
pub(crate) fn shapes() -> Vec<(String, Shape)> {
    let sizes = [
        (1, 1, 1, 1),
        (67, 1, 1, 1),
        (1, 1, 1000, 1),
        (1, 1, 1, 1000),
        (2, 1, 130, 65),
        (5, 4, 17, 33),
        (16, 1, 64, 64),
        (67, 3, 65, 67),
        (130, 1, 200, 131),
        (200, 4, 63, 96),
        (2000, 1, 65, 5),
        (3, 1, 10_007, 66),
    ];
    let named = |s: Shape, what: &str| {
        let Shape { rows, groups, outputs, inputs, .. } = s;
        (format!("m={rows} g={groups} n={outputs} k={inputs}{what}"), s)
    };
    let mut shapes: Vec<_> = sizes.into_iter().map(|s| named(Shape::of(s, 0), "")).collect();
    let odd = Shape { of_y: (4, 1), of_w: (3, 1), ..Shape::of((70, 2, 33, 66), 0) };
    shapes.extend([
        named(odd, ", groups 1 and 2 of 4 and of 3"),
        named(Shape { accumulate: 7, ..odd }, ", groups 1 and 2 of 4 and of 3, added"),
        named(Shape::of((66, 1, 130, 70), 1), ", added"),
        named(Shape { split_y: false, ..Shape::of((9, 1, 5003, 130), 3) }, ", added, only w is cut"),
        named(Shape { of_y: (4, 2), of_w: (1, 0), ..Shape::of((65, 1, 66, 9), 0) }, ", one group of 4"),
        named(Shape { fill: || Fill::Extreme(&[1e2, 1e15, 0.0]), ..Shape::of((7, 2, 70, 40), 1) }, ", 1e2 to 1e15"),
        named(Shape { fill: || Fill::Normal(0.0), ..Shape::of((66, 1, 66, 66), 0) }, ", zeros"),
    ]);
    shapes
}

fn cases() -> Vec<Case> {
    shapes().into_iter().map(|(name, shape)| case(name, shape)).collect()
}

fn case(name: String, s: Shape) -> Case {
    Case::new(
        name,
        |b, fills| {
            let dy = b.f32(Role::Scratch, "dy", &[(s.rows + 1).into(), s.of_y.0.into(), s.outputs.into()]);
            let w = b.f32(Role::Weight, "w", &[s.of_w.0.into(), s.outputs.into(), s.inputs.into()]);
            let dx = b.f32(Role::Scratch, "dx", &[(s.rows + 2).into(), s.inputs.into()]);
            let group = b.shard_group();
            b.shard(w, 1, group);
            if s.split_y {
                b.shard(dy, 2, group);
            }
            fills.extend([(dy, (s.fill)()), (w, Fill::Normal(0.3)), (dx, Fill::Normal(1.0))]);
            MatmulInputGradient { dy, w, dx }
        },
        |b, op| record(b, op, s.rows.into(), s.offsets()),
    )
}
