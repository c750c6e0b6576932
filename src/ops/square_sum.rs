//! Sums of squares of blocks of a flat tensor: the first half of a norm.
//!
//! ```text
//! partials[b] = sum of x[i]^2 over b BLOCK <= i < (b + 1) BLOCK        x [n], partials [*], at least n / BLOCK rounded up
//! ```
//! Flops: 2 n. Bytes: 4 n. A block's sum does not depend on where x is sharded; see [`super::clip_scale`] for the rest.

use crate::plan::{
    ARENA_BLOCK, Args, Builder, Case, Cost, Fill, OpRow, Operand, OrderClass, Real, Requires, Role, ShardedAxes,
    TensorId, Variant, flat_operand, folded,
};

/// Elements of a block; a tensor is sharded at multiples of it.
pub const BLOCK: usize = ARENA_BLOCK;

/// Operands of [`record`].
#[derive(Clone, Copy, Debug)]
pub struct SquareSum {
    /// `[n]`.
    pub x: TensorId,
    /// `[*]`.
    pub partials: TensorId,
}

/// Records the op on all of `x`.
pub fn record(b: &mut Builder, op: SquareSum) {
    let ([n], [blocks]) = (&b.tensor(op.x).shape[..], &b.tensor(op.partials).shape[..]) else {
        panic!("square_sum: x and partials have one axis")
    };
    if let (Some(n), Some(blocks)) = (n.as_fixed(), blocks.as_fixed()) {
        assert!(n.div_ceil(BLOCK) <= blocks, "square_sum: {blocks} partials for {n} elements");
    }
    b.push(&ROW, &[op.x, op.partials], &[]);
}

/// The table row.
pub static ROW: OpRow = OpRow {
    name: "square_sum",
    operands: &[Operand::read("x"), Operand::write("partials")],
    params: &[],
    shards: &[ShardedAxes { name: "n", axes: &[(0, 0)], multiple: BLOCK }],
    carry_words: 0,
    passes: |_| 1,
    reference_f32: reference::<f32>,
    reference_f64: reference::<f64>,
    variants: &[Variant::new(
        crate::kernel!("square_sum", "base", "tree_sum"),
        Requires::invocations(256).with_memory(1024),
    )
    .class(OrderClass::Lanes256)
    .groups(|w| folded(w["n_len"].div_ceil(BLOCK as u32)))],
    cases,
    cost: |w| Cost { flops: 2.0 * w.f64("n_len"), bytes: 4.0 * w.f64("n_len") },
};

fn reference<F: Real>(args: &mut Args<F>) {
    let [first, n] = args.sizes();
    let [x, partials] = args.all();
    let partials = &mut partials.real_mut()[first / BLOCK..];
    for (block, partial) in x.real()[..n].chunks(BLOCK).zip(partials) {
        *partial = block.iter().fold(F::ZERO, |sum, x| x.mul_add(*x, sum));
    }
}

fn cases() -> Vec<Case> {
    let normal = [1, 3, 1023, 1024, 1025, 300_001, 1_000_003].map(|n| case(format!("n={n}"), n, Fill::Normal(1.0)));
    let extreme = case("extreme".into(), 5000, Fill::Extreme(&[1e2, 1e15, 1e-15, 0.0]));
    let zero = case("zeros".into(), 3000, Fill::Normal(0.0));
    normal.into_iter().chain([extreme, zero]).collect()
}

fn case(name: String, n: usize, fill: Fill) -> Case {
    Case::new(
        name,
        |b, fills| {
            let group = b.shard_group();
            let x = flat_operand(b, fills, "x", n, (group, fill));
            let partials = b.f32(Role::Scratch, "partials", &[(n.div_ceil(BLOCK) + 1).into()]);
            SquareSum { x, partials }
        },
        record,
    )
}
