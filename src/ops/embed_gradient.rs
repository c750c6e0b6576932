//! The gradient of an embedding lookup at its table.
//!
//! ```text
//! dtable[0, v, :] = (accumulate = 0 ? 0 : dtable[0, v, :]) + sum of dx[p, :] over p < M with ids[ids_row + p] = v
//! ids [*] u32, order [*] u32, dx [*, E], dtable [1, V, E]; M = rows; p ascends
//! order[order_row + i], i < M, are the positions p sorted by (id, p): see `order`
//! ```
//! No atomics: whoever writes a row of the table finds its positions side by side in the order. Flops: M E.
//! Bytes: 4 (V E + M E + 2 M). An id outside [0, V) must have been refused before.

use super::typical;
use crate::plan::{
    Affine, Args, Builder, Case, Cost, Dim, Fill, OpRow, Operand, Param, Real, Requires, Role, ShardedAxes, TensorId,
    Variant, folded,
};

/// Operands of [`record`].
#[derive(Clone, Copy, Debug)]
pub struct EmbedGradient {
    /// `[*]` u32.
    pub ids: TensorId,
    /// `[*]` u32.
    pub order: TensorId,
    /// `[*, E]`.
    pub dx: TensorId,
    /// `[1, V, E]`.
    pub dtable: TensorId,
}

/// Where rows stand.
#[derive(Clone, Copy, Debug)]
pub struct EmbedGradientOffsets {
    /// First of the ids.
    pub ids_row: Affine,
    /// First of the order.
    pub order_row: Affine,
    /// 0: the gradient is set; else it is added to what is there.
    pub accumulate: Affine,
}

/// Records the op on the first `rows` rows of `dx`.
pub fn record(b: &mut Builder, op: EmbedGradient, rows: Dim, at: EmbedGradientOffsets) {
    let [one, vocab, width] = b.tensor(op.dtable).shape[..] else { panic!("embed_gradient: dtable is [1, V, E]") };
    assert_eq!(one, Dim::fixed(1), "embed_gradient: dtable is [1, V, E]");
    assert_eq!(b.tensor(op.dx).shape.last(), Some(&width), "embed_gradient: dx and dtable have one width");
    let params = [rows.into(), width.into(), vocab.into(), at.ids_row, at.order_row, at.accumulate];
    b.push(&ROW, &[op.ids, op.order, op.dx, op.dtable], &params);
}

/// The positions of some ids, sorted by id; positions of one id ascend.
pub fn order(ids: &[u32]) -> Vec<u32> {
    let mut positions: Vec<u32> = (0..ids.len() as u32).collect();
    positions.sort_by_key(|p| ids[*p as usize]);
    positions
}

/// The table row.
pub static ROW: OpRow = OpRow {
    name: "embed_gradient",
    operands: &[
        Operand::read_u32("ids").typical(typical::tokens),
        Operand::read_u32("order").typical(typical::positions),
        Operand::read("d_x"),
        Operand::write("dtable"),
    ],
    params: &[
        Param::size("rows"),
        Param::size("width"),
        Param::size("vocab"),
        Param::offset("ids_row"),
        Param::offset("order_row"),
        Param::flag("accumulate"),
    ],
    shards: &[ShardedAxes { name: "v", axes: &[(3, 1)], multiple: 1 }],
    carry_words: 0,
    passes: |_| 1,
    reference_f32: reference::<f32>,
    reference_f64: reference::<f64>,
    variants: &[Variant::new(crate::kernel!("embed_gradient", "base"), Requires::invocations(64))
        .groups(|w| folded((w["v_len"] * w["width"].div_ceil(4)).div_ceil(64)))],
    cases,
    cost: |w| {
        let (m, e, v) = (w.f64("rows"), w.f64("width"), w.f64("vocab"));
        Cost { flops: m * e, bytes: 4.0 * (v * e + m * e + 2.0 * m) }
    },
};

fn reference<F: Real>(args: &mut Args<F>) {
    let [rows, width, vocab, ids_row, _, accumulate] = args.sizes();
    let [ids, _, dx, dtable] = args.all();
    let dtable = &mut dtable.real_mut()[..vocab * width];
    if accumulate == 0 {
        dtable.fill(F::ZERO);
    }
    for (p, id) in ids.word()[ids_row..][..rows].iter().enumerate() {
        let sums = &mut dtable[*id as usize * width..][..width];
        for (sum, x) in sums.iter_mut().zip(&dx.real()[p * width..]) {
            *sum += *x;
        }
    }
}

fn cases() -> Vec<Case> {
    let random =
        |rows: usize, vocab: usize| (0..rows as u32).map(move |p| p.wrapping_mul(2_654_435_769) % vocab as u32);
    let sizes = [(1, 1, 1), (67, 9, 5), (5, 1000, 3), (3, 65, 130), (2000, 65, 64), (300, 50_257, 6), (20_000, 3, 2)];
    let sizes = sizes.into_iter().flat_map(|(rows, vocab, width)| {
        let ids: Vec<u32> = random(rows, vocab).collect();
        [false, true].map(|accumulate| {
            let name = format!("rows={rows} vocab={vocab} width={width}");
            case(name, ids.clone(), (vocab, width), accumulate)
        })
    });
    let one_id = case("one id".into(), vec![7; 333], (9, 33), false);
    let ends = case("the first and the last id".into(), vec![0, 64, 0, 64, 64], (65, 12), true);
    // More workgroups than a dimension of a dispatch has.
    let vocab = 4_200_000;
    let folded = case(format!("rows=70 vocab={vocab} width=1"), random(70, vocab).collect(), (vocab, 1), false);
    sizes.chain([one_id, ends, folded]).collect()
}

fn case(name: String, ids: Vec<u32>, (vocab, width): (usize, usize), accumulate: bool) -> Case {
    let rows = ids.len();
    Case::new(
        if accumulate { format!("{name} accumulated") } else { name },
        |b, fills| {
            let op = EmbedGradient {
                ids: b.u32(Role::Io, "ids", &[(rows + 3).into()]),
                order: b.u32(Role::Io, "order", &[(rows + 2).into()]),
                dx: b.f32(Role::Scratch, "dx", &[(rows + 1).into(), width.into()]),
                dtable: b.f32(Role::Saved, "dtable", &[1.into(), vocab.into(), width.into()]),
            };
            let group = b.shard_group();
            b.shard(op.dtable, 1, group);
            fills.push((op.order, Fill::Words([vec![0; 2], order(&ids)].concat())));
            fills.push((op.ids, Fill::Words([vec![vocab as u32; 3], ids].concat())));
            let before = (0..vocab * width).map(|i| (i % 5) as f32 - 1.0).collect();
            fills.extend([(op.dx, Fill::Normal(1.0)), (op.dtable, Fill::Floats(before))]);
            op
        },
        |b, op| {
            let at = EmbedGradientOffsets {
                ids_row: 3.into(),
                order_row: 2.into(),
                accumulate: usize::from(accumulate).into(),
            };
            record(b, op, rows.into(), at);
        },
    )
}
