//! Sum of rows: the gradient of a bias.
//!
//! ```text
//! db[b_group + g, n] = start + sum_m dy[y_row + m, y_group + g, n]
//! start              = 0 where accumulate is 0, else db[b_group + g, n]
//! dy [*, Gy, N], db [Gb, N]; m < M = rows, g < G = groups, G <= Gy and Gb
//! ```
//! Flops: M G N. Bytes: 4 (M G N + G N).

use super::matmul_input_gradient::expect_groups;
use crate::plan::{
    Affine, Args, Builder, Case, Cost, Dim, Fill, OpRow, Operand, OrderClass, Param, Real, Requires, Role, ShardedAxes,
    TensorId, Variant,
};

/// Operands of [`record`].
#[derive(Clone, Copy, Debug)]
pub struct SumRows {
    /// `[*, Gy, N]`.
    pub dy: TensorId,
    /// `[Gb, N]`.
    pub db: TensorId,
}

/// Where rows and groups of [`record`] stand.
#[derive(Clone, Copy, Debug)]
pub struct SumRowsOffsets {
    /// First row of `dy`.
    pub y_row: Affine,
    /// First group of `dy`.
    pub dy_group: usize,
    /// First group of `db`.
    pub b_group: usize,
    /// G.
    pub groups: usize,
    /// 0 overwrites, any other number adds to what is there: a `Repeat`'s index will do.
    pub accumulate: Affine,
}

/// Records the op on `rows` rows.
pub fn record(b: &mut Builder, op: SumRows, rows: Dim, at: SumRowsOffsets) {
    let [.., y_groups, outputs] = b.tensor(op.dy).shape[..] else { panic!("sum_rows: dy is [*, Gy, N]") };
    let [b_groups, b_outputs] = b.tensor(op.db).shape[..] else { panic!("sum_rows: db is [Gb, N]") };
    assert_eq!(b_outputs, outputs, "sum_rows: db is [Gb, N]");
    expect_groups("sum_rows: dy", y_groups, at.dy_group, at.groups);
    expect_groups("sum_rows: db", b_groups, at.b_group, at.groups);
    let params = [
        rows.into(),
        outputs.into(),
        at.groups.into(),
        at.y_row,
        y_groups.into(),
        at.dy_group.into(),
        at.b_group.into(),
        at.accumulate,
    ];
    b.push(&ROW, &[op.dy, op.db], &params);
}

/// The table row.
pub static ROW: OpRow = OpRow {
    name: "sum_rows",
    operands: &[Operand::read("dy"), Operand::write("db")],
    params: &[
        Param::size("rows"),
        Param::size("outputs"),
        Param::size("groups"),
        Param::offset("y_row"),
        Param::offset("y_groups"),
        Param::offset("y_group"),
        Param::offset("b_group"),
        Param::flag("accumulate"),
    ],
    shards: &[ShardedAxes { name: "n", axes: &[(1, 1), (0, 2)], multiple: 4 }],
    carry_words: 0,
    passes: |_| 1,
    reference_f32: reference::<f32>,
    reference_f64: reference::<f64>,
    variants: &[Variant::new(
        crate::kernel!("sum_rows", "base", "output_gradient"),
        Requires::invocations(256).with_memory(4096),
    )
    .class(OrderClass::Blocks64)
    .groups(|w| [w["n_len"].div_ceil(64), w["groups"], 1])],
    cases,
    cost: |w| {
        let (m, n) = (w.f64("rows"), w.f64("outputs") * w.f64("groups"));
        Cost { flops: m * n, bytes: 4.0 * (m * n + n) }
    },
};

fn reference<F: Real>(args: &mut Args<F>) {
    let [rows, outputs, groups, y_row, y_groups, y_group, b_group, accumulate] = args.sizes();
    let [dy, db] = args.all();
    let db = &mut db.real_mut()[b_group * outputs..][..groups * outputs];
    if accumulate == 0 {
        db.fill(F::ZERO);
    }
    for m in 0..rows {
        let dy = &dy.real()[((y_row + m) * y_groups + y_group) * outputs..][..groups * outputs];
        for (db, &dy) in db.iter_mut().zip(dy) {
            *db += dy;
        }
    }
}

fn cases() -> Vec<Case> {
    // rows, (groups of dy, the first one), (groups of db, the first one), groups, outputs, accumulate
    [
        (1, (1, 0), (1, 0), 1, 1, 0),
        (3000, (1, 0), (1, 0), 1, 1, 0),
        (1, (4, 0), (4, 0), 4, 1000, 0),
        (2, (1, 0), (1, 0), 1, 10_007, 1),
        (64, (4, 0), (4, 0), 4, 64, 0),
        (67, (4, 1), (3, 1), 2, 65, 9),
        (67, (4, 2), (1, 0), 1, 65, 0),
        (1025, (3, 0), (4, 1), 3, 33, 1),
        (2100, (1, 0), (1, 0), 1, 301, 0),
    ]
    .into_iter()
    .map(|(rows, of_y, of_b, groups, outputs, accumulate)| {
        let name = format!("m={rows} g={groups} n={outputs} from {of_y:?} to {of_b:?} accumulate={accumulate}");
        case(name, rows, [of_y.0, of_b.0], outputs, Fill::Normal(1.0), |rows| SumRowsOffsets {
            y_row: rows,
            dy_group: of_y.1,
            b_group: of_b.1,
            groups,
            accumulate: accumulate.into(),
        })
    })
    .chain([("extreme", Fill::Extreme(&[1e2, 1e15, 0.0])), ("zeros", Fill::Normal(0.0))].map(|(name, fill)| {
        case(name.into(), 130, [1, 1], 70, fill, |y_row| SumRowsOffsets {
            y_row,
            dy_group: 0,
            b_group: 0,
            groups: 1,
            accumulate: 0.into(),
        })
    }))
    .collect()
}

fn case(
    name: String,
    rows: usize,
    [y_groups, b_groups]: [usize; 2],
    outputs: usize,
    fill: Fill,
    at: impl Fn(Affine) -> SumRowsOffsets,
) -> Case {
    Case::new(
        name,
        |b, fills| {
            let dy = b.f32(Role::Scratch, "dy", &[(rows + 1).into(), y_groups.into(), outputs.into()]);
            let db = b.f32(Role::Scratch, "db", &[b_groups.into(), outputs.into()]);
            let group = b.shard_group();
            b.shard(dy, 2, group);
            fills.extend([(dy, fill), (db, Fill::Normal(1.0))]);
            SumRows { dy, db }
        },
        |b, op| record(b, op, rows.into(), at(1.into())),
    )
}
