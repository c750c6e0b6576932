//! A step of Adam, or of AdamW, on a flat tensor of parameters.
//!
//! ```text
//! g = scale * gradients            scale: clips [S, 2], row `slot` (see clip_scale)
//! decoupled (AdamW): p = p (1 - lr decay)        else: g = g + decay p
//! first  := m = beta1 first  + (1 - beta1) g
//! second := v = beta2 second + (1 - beta2) g^2
//! p := p - lr / bias1 * m / (sqrt(v) / sqrt(bias2) + epsilon)
//! parameters p, gradients, first, second [n]; lr, 1 / bias1 and 1 / sqrt(bias2): schedule [S, 4], row `slot`
//! ```
//! The formulas of torch.optim.Adam and AdamW. An element without gradient whose moments are zero stays.
//! Flops: 15 n. Bytes: 28 n.

use super::schedule::{self, CLIP_COLUMNS, CLIP_SCALE, SCHEDULE_COLUMNS, TOKEN_WEIGHT};
use super::typical;
use crate::plan::{
    Affine, Args, Builder, Case, Cost, Fill, OpRow, Operand, Param, Real, Requires, Role, ShardedAxes, TensorId,
    Variant, flat_operand, folded,
};

/// Operands of [`record`].
#[derive(Clone, Copy, Debug)]
pub struct Adam {
    /// `[n]`.
    pub parameters: TensorId,
    /// `[n]`.
    pub gradients: TensorId,
    /// `[n]`.
    pub first: TensorId,
    /// `[n]`.
    pub second: TensorId,
    /// `[S, 4]`.
    pub schedule: TensorId,
    /// `[S, 2]`.
    pub clips: TensorId,
}

/// Constants of the optimiser, in f64: 1 - 0.999 has five digits fewer in f32.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// The share of the first moment that stays after each step, in `[0, 1)`.
    pub beta1: f64,
    /// The share of the second moment that stays after each step, in `[0, 1)`.
    pub beta2: f64,
    /// Added to the root of the second moment; positive.
    pub epsilon: f64,
    /// Weight decay.
    pub decay: f64,
    /// The decay is AdamW's: of the parameters, and not part of the gradient.
    pub decoupled: bool,
}

/// Records the op on all elements.
pub fn record(b: &mut Builder, op: Adam, slot: impl Into<Affine>, settings: Settings) {
    let Settings { beta1, beta2, epsilon, decay, decoupled } = settings;
    assert!((0.0..1.0).contains(&beta1) && (0.0..1.0).contains(&beta2), "adam: betas are in [0, 1)");
    assert!(epsilon as f32 > 0.0, "adam: padding needs a positive epsilon to stay zero");
    let shape = b.tensor(op.parameters).shape.clone();
    assert_eq!(shape.len(), 1, "adam: parameters is [n]");
    for id in [op.gradients, op.first, op.second] {
        b.expect_shape("adam", id, &shape);
    }
    expect_step_tensors(b, "adam", op.schedule, op.clips);
    let constants = [beta1, beta2, 1.0 - beta1, 1.0 - beta2, epsilon, decay].map(|x| Affine::float(x as f32));
    let params: Vec<Affine> =
        [slot.into()].into_iter().chain(constants).chain([usize::from(decoupled).into()]).collect();
    b.push(&ROW, &[op.parameters, op.gradients, op.first, op.second, op.schedule, op.clips], &params);
}

/// Asserts that schedule is [S, 4] and clips [S, 2].
pub(crate) fn expect_step_tensors(b: &Builder, op: &str, schedule: TensorId, clips: TensorId) {
    let slots = b.tensor(schedule).shape[0];
    b.expect_shape(op, schedule, &[slots, SCHEDULE_COLUMNS.into()]);
    b.expect_shape(op, clips, &[slots, CLIP_COLUMNS.into()]);
}

/// The table row.
pub static ROW: OpRow = OpRow {
    name: "adam",
    operands: &[
        Operand::write("parameters"),
        Operand::read("gradients"),
        Operand::write("first"),
        Operand::write("second").typical(typical::squares),
        Operand::read("schedule").typical(typical::schedule_rows),
        Operand::read("clips").typical(typical::clips),
    ],
    params: &[
        Param::offset("slot"),
        Param::float("beta1"),
        Param::float("beta2"),
        Param::float("one_minus_beta1"),
        Param::float("one_minus_beta2"),
        Param::float("epsilon"),
        Param::float("decay"),
        Param::flag("decoupled"),
    ],
    shards: &[ShardedAxes { name: "n", axes: &[(0, 0), (1, 0), (2, 0), (3, 0)], multiple: 4 }],
    carry_words: 0,
    passes: |_| 1,
    reference_f32: reference::<f32>,
    reference_f64: reference::<f64>,
    variants: &[Variant::new(crate::kernel!("adam", "base"), Requires::invocations(64))
        .groups(|w| folded(w["n_len"].div_ceil(256)))],
    cases,
    cost: |w| Cost { flops: 15.0 * w.f64("n_len"), bytes: 28.0 * w.f64("n_len") },
};

fn reference<F: Real>(args: &mut Args<F>) {
    let ([slot], decoupled) = (args.sizes(), args.words["decoupled"] == 1);
    let [beta1, beta2, one_minus_beta1, one_minus_beta2, epsilon, decay] =
        ["beta1", "beta2", "one_minus_beta1", "one_minus_beta2", "epsilon", "decay"]
            .map(|name| args.words.float::<F>(name));
    let [parameters, gradients, first, second, schedule, clips] = args.all();
    let [lr, inverse_bias1, inverse_sqrt_bias2, _] = schedule::at(schedule.real(), slot);
    let scale = clips.real()[slot * CLIP_COLUMNS + CLIP_SCALE];
    let moments = first.real_mut().iter_mut().zip(second.real_mut());
    for ((p, g), (m, v)) in parameters.real_mut().iter_mut().zip(gradients.real()).zip(moments) {
        let mut g = scale * *g;
        if decoupled {
            *p = *p * (F::ONE - lr * decay);
        } else {
            g += decay * *p;
        }
        *m = beta1 * *m + one_minus_beta1 * g;
        *v = beta2 * *v + one_minus_beta2 * g * g;
        *p = *p - lr * inverse_bias1 * *m / (v.sqrt() * inverse_sqrt_bias2 + epsilon);
    }
}

/// PyTorch's constants, for cases.
const USUAL: Settings = Settings { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, decay: 0.0, decoupled: false };

fn cases() -> Vec<Case> {
    let named = |name: &str, settings: Settings, gradients: Fill| case(name.into(), 1003, settings, gradients);
    let decay = Settings { decay: 0.1, ..USUAL };
    let special = [
        named("decay", decay, Fill::Normal(1.0)),
        named("decoupled decay", Settings { decoupled: true, ..decay }, Fill::Normal(1.0)),
        named("other betas", Settings { beta1: 0.0, beta2: 0.5, epsilon: 1e-3, ..USUAL }, Fill::Normal(1.0)),
        named("zero gradients", USUAL, Fill::Normal(0.0)),
        named("extreme", USUAL, Fill::Extreme(&[1e2, 1e15, 0.0, 1e-15])),
    ];
    let sizes = [1, 5, 257, 4099, 1_000_003].map(|n| case(format!("n={n}"), n, USUAL, Fill::Normal(1.0)));
    sizes.into_iter().chain(special).collect()
}

fn case(name: String, n: usize, settings: Settings, gradients: Fill) -> Case {
    let declare = |b: &mut Builder, fills: &mut Vec<(TensorId, Fill)>| {
        let group = b.shard_group();
        let parameters = flat_operand(b, fills, "parameters", n, (group, Fill::Normal(1.0)));
        let gradients = flat_operand(b, fills, "gradients", n, (group, gradients));
        let first = flat_operand(b, fills, "first", n, (group, Fill::Normal(1.0)));
        // Second moments are squares; every third is zero, as in the first step.
        let squares = (0..n).map(|i| (i % 3) as f32 * (1.0 + (i % 101) as f32)).collect();
        let second = flat_operand(b, fills, "second", n, (group, Fill::Floats(squares)));
        let (schedule, clips) = step_tensors(b, fills);
        Adam { parameters, gradients, first, second, schedule, clips }
    };
    let write = |b: &mut Builder, op| record(b, op, Affine::STEP.modulo(3), settings);
    Case { step: 7, ..Case::new(name, declare, write) }
}

/// A schedule and clips of three slots, the second of which counts at step 7.
pub(crate) fn step_tensors(b: &mut Builder, fills: &mut Vec<(TensorId, Fill)>) -> (TensorId, TensorId) {
    let schedule = b.f32(Role::Io, "schedule", &[3.into(), SCHEDULE_COLUMNS.into()]);
    let clips = b.f32(Role::Io, "clips", &[3.into(), CLIP_COLUMNS.into()]);
    let mut rows = [schedule::row(1.0, [0.5, 0.5], 1, 1), schedule::row(0.01, [0.9, 0.999], 8, 100), [9.0; 4]];
    rows[1][TOKEN_WEIGHT] = 5.0;
    fills.push((schedule, Fill::Floats(rows.concat())));
    fills.push((clips, Fill::Floats(vec![1.0, 0.3, 2.0, 0.7, 3.0, 0.9])));
    (schedule, clips)
}
