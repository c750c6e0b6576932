//! The factor that limits the norm of the gradients, from partial sums of their squares.
//!
//! ```text
//! norm = sqrt(sum_k partials[k]);  clips[slot] = [norm, min(1, max_norm / (norm + 1e-6))], scale 1 where max_norm = 0
//! partials [K], clips [S, 2]
//! ```
//! As PyTorch's clip_grad_norm_ has it. A NaN among the partials gives NaN for norm and scale, for the host to see.
//! Flops: K. Bytes: 4 K. One workgroup sums all, so that the order never changes.

use super::schedule::{CLIP_COLUMNS, CLIP_SCALE, NORM};
use super::typical;
use crate::plan::{
    Affine, Args, Builder, Case, Cost, Fill, OpRow, Operand, OrderClass, Param, Real, Requires, Role, TensorId, Variant,
};

/// Operands of [`record`].
#[derive(Clone, Copy, Debug)]
pub struct ClipScale {
    /// `[K]`.
    pub partials: TensorId,
    /// `[S, 2]`.
    pub clips: TensorId,
}

/// Records the op; `max_norm` 0 does not clip.
pub fn record(b: &mut Builder, op: ClipScale, slot: impl Into<Affine>, max_norm: f32) {
    assert!(max_norm >= 0.0, "clip_scale: a norm is not negative");
    let [count] = b.tensor(op.partials).shape[..] else { panic!("clip_scale: partials is [K]") };
    assert_eq!(b.tensor(op.clips).shape.last(), Some(&CLIP_COLUMNS.into()), "clip_scale: clips is [S, 2]");
    b.push(&ROW, &[op.partials, op.clips], &[count.into(), slot.into(), Affine::float(max_norm)]);
}

/// The table row.
pub static ROW: OpRow = OpRow {
    name: "clip_scale",
    operands: &[
        Operand::read("partials").typical(typical::sums_of_squares),
        Operand::write("clips").typical(typical::clips),
    ],
    params: &[Param::size("count"), Param::offset("slot"), Param::float("max_norm")],
    shards: &[],
    carry_words: 0,
    passes: |_| 1,
    reference_f32: reference::<f32>,
    reference_f64: reference::<f64>,
    variants: &[Variant::new(
        crate::kernel!("clip_scale", "base", "tree_sum"),
        Requires::invocations(256).with_memory(1024),
    )
    .class(OrderClass::Lanes256)],
    cases,
    cost: |w| Cost { flops: w.f64("count"), bytes: 4.0 * w.f64("count") },
};

fn reference<F: Real>(args: &mut Args<F>) {
    let [count, slot] = args.sizes();
    let max_norm = args.words.float("max_norm");
    let [partials, clips] = args.all();
    let sum = partials.real()[..count].iter().fold(F::ZERO, |sum, x| sum + *x);
    let clip = of_sum(sum, max_norm);
    clips.real_mut()[slot * CLIP_COLUMNS..][..CLIP_COLUMNS].copy_from_slice(&clip);
}

/// Norm and scale, from the sum of squares.
pub(crate) fn of_sum<F: Real>(sum: F, max_norm: F) -> [F; CLIP_COLUMNS] {
    let norm = sum.sqrt();
    let ratio = max_norm / (norm + F::of(1e-6));
    let mut clip = [norm; CLIP_COLUMNS];
    clip[NORM] = norm;
    // A ratio that is NaN is not greater than 1, and stays.
    clip[CLIP_SCALE] = match max_norm == F::ZERO {
        true if norm.to_f64().is_nan() => norm,
        true => F::ONE,
        false if ratio > F::ONE => F::ONE,
        false => ratio,
    };
    clip
}

fn cases() -> Vec<Case> {
    let sizes = [(1, 1.0), (3, 0.5), (255, 0.0), (1025, 5.0), (100_003, 1.0)];
    let normal = sizes.map(|(count, max_norm)| {
        let squares = (0..count).map(|i| (i % 7) as f32 * 0.01).collect();
        case(format!("count={count} max_norm={max_norm}"), squares, max_norm)
    });
    let special = [
        case("zeros".into(), vec![0.0; 67], 1.0),
        case("zeros, no clipping".into(), vec![0.0; 67], 0.0),
        case("below the limit".into(), vec![0.25; 4], 1.5),
        case("huge".into(), vec![1e30; 300], 1.0),
    ];
    let hopeless = [
        case("NaN".into(), [vec![1.0; 400], vec![f32::NAN], vec![1.0; 9]].concat(), 1.0),
        case("NaN, no clipping".into(), vec![1.0, f32::NAN], 0.0),
        case("infinity".into(), vec![1.0, f32::INFINITY, 2.0], 1.0),
    ];
    normal.into_iter().chain(special).chain(hopeless).collect()
}

fn case(name: String, partials: Vec<f32>, max_norm: f32) -> Case {
    let count = partials.len();
    let declare = |b: &mut Builder, fills: &mut Vec<(TensorId, Fill)>| {
        let sums = b.f32(Role::Scratch, "partials", &[count.into()]);
        let clips = b.f32(Role::Io, "clips", &[3.into(), CLIP_COLUMNS.into()]);
        fills.extend([(sums, Fill::Floats(partials)), (clips, Fill::Normal(1.0))]);
        ClipScale { partials: sums, clips }
    };
    let write = |b: &mut Builder, op| record(b, op, Affine::STEP.modulo(3), max_norm);
    Case { step: 5, ..Case::new(name, declare, write) }
}
