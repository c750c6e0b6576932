//! Parameters with their gradients and moments, and the optimiser's ops over all of them at once.

use super::training::Io;
use crate::ops::{adam, clip_scale, sgd, square_sum};
use crate::plan::{ARENA_BLOCK, Affine, Builder, Role, TensorId};

/// How parameters follow their gradients. The formulas are torch.optim's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Optimizer {
    /// Stochastic gradient descent, with momentum unless it is 0.
    Sgd {
        /// Share of the last update's direction that stays.
        momentum: f64,
        /// Adds this share of a parameter to its gradient.
        weight_decay: f64,
    },
    /// Adam, or AdamW where the decay is decoupled.
    Adam {
        /// Decay of the first moment.
        beta1: f64,
        /// Decay of the second moment.
        beta2: f64,
        /// Added to the root of the second moment.
        epsilon: f64,
        /// Share of a parameter that is added to its gradient, or taken off it where `decoupled`.
        weight_decay: f64,
        /// AdamW: the decay does not pass through the moments.
        decoupled: bool,
    },
}

/// A parameter and the tensors that belong to it, all of its shape.
#[derive(Clone, Debug)]
pub struct Parameter {
    /// Its name in a model file.
    pub name: String,
    /// The weight.
    pub weight: TensorId,
    /// d loss / d weight.
    pub gradient: TensorId,
    /// Adam's first moment, or SGD's momentum.
    pub first: TensorId,
    /// Adam's second moment.
    pub second: Option<TensorId>,
}

/// Parameters of a plan with their gradients and moments, each kind in one arena.
pub(super) struct Optimised {
    optimizer: Optimizer,
    pub parameters: Vec<Parameter>,
    weights: TensorId,
    gradients: TensorId,
    first: TensorId,
    second: Option<TensorId>,
    /// `[K]`: sums of squares of blocks of gradients.
    partials: TensorId,
}

impl Optimised {
    pub fn declare(b: &mut Builder, optimizer: Optimizer, weights: &[TensorId]) -> Optimised {
        let adapts = matches!(optimizer, Optimizer::Adam { .. });
        let parameter = |b: &mut Builder, weight: TensorId| {
            let name = b.tensor(weight).name.clone();
            let gradient = like(b, weight, Role::Saved, &format!("gradient.{name}"));
            let first = like(b, weight, Role::State, &format!("first_moment.{name}"));
            let second = adapts.then(|| like(b, weight, Role::State, &format!("second_moment.{name}")));
            Parameter { name, weight, gradient, first, second }
        };
        let parameters: Vec<Parameter> = weights.iter().map(|weight| parameter(b, *weight)).collect();
        let of = |kind: fn(&Parameter) -> TensorId| parameters.iter().map(kind).collect::<Vec<_>>();
        let partials: usize = weights.iter().map(|weight| most_blocks(b, *weight)).sum();
        Optimised {
            optimizer,
            weights: b.arena("parameters", weights),
            gradients: b.arena("gradients", &of(|p| p.gradient)),
            first: b.arena("first_moments", &of(|p| p.first)),
            second: adapts.then(|| b.arena("second_moments", &of(|p| p.second.expect("Adam has two moments")))),
            partials: b.f32(Role::Scratch, "partials", &[partials.into()]),
            parameters,
        }
    }

    pub fn gradient(&self, weight: TensorId) -> TensorId {
        self.parameters.iter().find(|p| p.weight == weight).expect("every weight is a parameter").gradient
    }

    pub fn optimise(&self, b: &mut Builder, clip: Option<f32>, slot: Affine, io: &Io) {
        square_sum::record(b, square_sum::SquareSum { x: self.gradients, partials: self.partials });
        let op = clip_scale::ClipScale { partials: self.partials, clips: io.clips };
        clip_scale::record(b, op, slot, clip.unwrap_or(0.0));
        let (parameters, gradients, schedule, clips) = (self.weights, self.gradients, io.schedule, io.clips);
        match self.optimizer {
            Optimizer::Sgd { momentum, weight_decay } => {
                let op = sgd::Sgd { parameters, gradients, momentum: self.first, schedule, clips };
                sgd::record(b, op, slot, sgd::Settings { momentum, decay: weight_decay });
            }
            Optimizer::Adam { beta1, beta2, epsilon, weight_decay, decoupled } => {
                let second = self.second.expect("Adam has two moments");
                let op = adam::Adam { parameters, gradients, first: self.first, second, schedule, clips };
                adam::record(b, op, slot, adam::Settings { beta1, beta2, epsilon, decay: weight_decay, decoupled });
            }
        }
    }
}

/// A tensor of the same shape, sharded as the other is.
pub(super) fn like(b: &mut Builder, of: TensorId, role: Role, name: &str) -> TensorId {
    let tensor = b.tensor(of).clone();
    let like = b.f32(role, name, &tensor.shape);
    if let Some(shard) = tensor.shard {
        b.shard(like, shard.axis, shard.group);
    }
    like
}

/// Blocks that a tensor may take in an arena, however an executor lays it out and wherever it shards.
fn most_blocks(b: &Builder, id: TensorId) -> usize {
    let sizes = b.tensor(id).shape.iter().map(|dim| dim.as_fixed().expect("weights have sizes"));
    // No executor spreads a tensor over more than four times its elements, or over shards of less than 8 blocks; each
    // shard may begin and end with a block that it does not fill.
    let blocks = (4 * sizes.product::<usize>()).div_ceil(ARENA_BLOCK);
    blocks + 2 * (blocks / 8 + 1)
}
