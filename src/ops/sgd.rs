//! A step of gradient descent with momentum on a flat tensor of parameters.
//!
//! ```text
//! g = scale * gradients + decay p            scale: clips [S, 2], row `slot` (see clip_scale)
//! momentum := mu momentum + g
//! p := p - lr momentum                       lr: schedule [S, 4], row `slot`
//! parameters p, gradients, momentum [n]
//! ```
//! The formula of torch.optim.SGD without Nesterov's term and dampening. Flops: 7 n. Bytes: 20 n.

use super::adam::{expect_step_tensors, step_tensors};
use super::schedule::{self, CLIP_COLUMNS, CLIP_SCALE, LEARNING_RATE};
use super::typical;
use crate::plan::{
    Affine, Args, Builder, Case, Cost, Fill, OpRow, Operand, Param, Real, Requires, ShardedAxes, TensorId, Variant,
    flat_operand, folded,
};

/// Operands of [`record`].
#[derive(Clone, Copy, Debug)]
pub struct Sgd {
    /// `[n]`.
    pub parameters: TensorId,
    /// `[n]`.
    pub gradients: TensorId,
    /// `[n]`.
    pub momentum: TensorId,
    /// `[S, 4]`.
    pub schedule: TensorId,
    /// `[S, 2]`.
    pub clips: TensorId,
}

/// Constants of the optimiser.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// The share of the momentum that stays after each step; 0 is plain gradient descent.
    pub momentum: f64,
    /// Weight decay.
    pub decay: f64,
}

/// Records the op on all elements.
pub fn record(b: &mut Builder, op: Sgd, slot: impl Into<Affine>, settings: Settings) {
    let shape = b.tensor(op.parameters).shape.clone();
    assert_eq!(shape.len(), 1, "sgd: parameters is [n]");
    for id in [op.gradients, op.momentum] {
        b.expect_shape("sgd", id, &shape);
    }
    expect_step_tensors(b, "sgd", op.schedule, op.clips);
    let params = [slot.into(), Affine::float(settings.momentum as f32), Affine::float(settings.decay as f32)];
    b.push(&ROW, &[op.parameters, op.gradients, op.momentum, op.schedule, op.clips], &params);
}

/// The table row.
pub static ROW: OpRow = OpRow {
    name: "sgd",
    operands: &[
        Operand::write("parameters"),
        Operand::read("gradients"),
        Operand::write("momentum"),
        Operand::read("schedule").typical(typical::schedule_rows),
        Operand::read("clips").typical(typical::clips),
    ],
    params: &[Param::offset("slot"), Param::float("mu"), Param::float("decay")],
    shards: &[ShardedAxes { name: "n", axes: &[(0, 0), (1, 0), (2, 0)], multiple: 4 }],
    carry_words: 0,
    passes: |_| 1,
    reference_f32: reference::<f32>,
    reference_f64: reference::<f64>,
    variants: &[Variant::new(crate::kernel!("sgd", "base"), Requires::invocations(64))
        .groups(|w| folded(w["n_len"].div_ceil(256)))],
    cases,
    cost: |w| Cost { flops: 7.0 * w.f64("n_len"), bytes: 20.0 * w.f64("n_len") },
};

fn reference<F: Real>(args: &mut Args<F>) {
    let [slot] = args.sizes();
    let [mu, decay] = ["mu", "decay"].map(|name| args.words.float::<F>(name));
    let [parameters, gradients, momentum, schedule, clips] = args.all();
    let lr = schedule::at(schedule.real(), slot)[LEARNING_RATE];
    let scale = clips.real()[slot * CLIP_COLUMNS + CLIP_SCALE];
    let parameters = parameters.real_mut().iter_mut();
    for ((p, g), velocity) in parameters.zip(gradients.real()).zip(momentum.real_mut()) {
        *velocity = mu * *velocity + (scale * *g + decay * *p);
        *p = *p - lr * *velocity;
    }
}

fn cases() -> Vec<Case> {
    let usual = Settings { momentum: 0.9, decay: 0.0 };
    let special = [
        case("decay".into(), 1003, Settings { decay: 0.1, ..usual }, Fill::Normal(1.0)),
        case("no momentum".into(), 67, Settings { momentum: 0.0, decay: 0.0 }, Fill::Normal(1.0)),
        case("zero gradients".into(), 67, usual, Fill::Normal(0.0)),
        case("extreme".into(), 1003, usual, Fill::Extreme(&[1e2, 1e15, 0.0, 1e-15])),
    ];
    let sizes = [1, 5, 257, 4099, 1_000_003].map(|n| case(format!("n={n}"), n, usual, Fill::Normal(1.0)));
    sizes.into_iter().chain(special).collect()
}

fn case(name: String, n: usize, settings: Settings, gradients: Fill) -> Case {
    let declare = |b: &mut Builder, fills: &mut Vec<(TensorId, Fill)>| {
        let group = b.shard_group();
        let parameters = flat_operand(b, fills, "parameters", n, (group, Fill::Normal(1.0)));
        let gradients = flat_operand(b, fills, "gradients", n, (group, gradients));
        let momentum = flat_operand(b, fills, "momentum", n, (group, Fill::Normal(1.0)));
        let (schedule, clips) = step_tensors(b, fills);
        Sgd { parameters, gradients, momentum, schedule, clips }
    };
    let write = |b: &mut Builder, op| record(b, op, Affine::STEP.modulo(3), settings);
    Case { step: 7, ..Case::new(name, declare, write) }
}
