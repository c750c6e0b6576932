//! What the parts of an encoder-decoder's training share: products with weights, masks, and runs of steps.

use super::super::backward::whole_gradient;
use super::super::level::Ends;
use super::super::optimiser::like;
use crate::ops::activation::Activation;
use crate::ops::{activate, dropout, matmul, matmul_input_gradient, matmul_weight_gradient, reset_rows, sum_rows};
use crate::plan::{Affine, Builder, Dim, Direction, Loop, Role, TensorId};

/// A tensor for the gradient of another, under its name with `d_` before it.
pub(super) fn gradient_of(b: &mut Builder, of: TensorId) -> TensorId {
    let name = format!("d_{}", b.tensor(of).name);
    like(b, of, Role::Scratch, &name)
}

/// Length of rows.
pub(super) fn width(b: &Builder, of: TensorId) -> usize {
    b.tensor(of).shape.last().and_then(|width| width.as_fixed()).expect("rows have a width")
}

/// Steps that run at once: all of a window, or one of them. Tensors over time are `[T, B, *]`, or `[T + 1, B, *]` where
/// what stands before the first step is a block of its own.
#[derive(Clone, Copy)]
pub(super) struct Span {
    pub rows: Dim,
    block: Affine,
    /// Whether it is one step.
    pub alone: bool,
}

impl Span {
    pub fn all() -> Span {
        Span { rows: Dim::TIME * Dim::ROWS, block: 0.into(), alone: false }
    }

    pub fn step(t: Loop) -> Span {
        Span { rows: Dim::ROWS, block: t.into(), alone: true }
    }

    /// The first row, in a tensor that has `before` blocks before the first step.
    pub fn row(&self, before: usize) -> Affine {
        self.block.plus(before).times(Dim::ROWS)
    }

    /// The step, where it is one.
    pub fn time(&self) -> Affine {
        self.block
    }
}

/// What all parts share.
#[derive(Clone, Copy)]
pub(super) struct Common {
    /// Of the sources.
    pub ends: Ends,
    /// `[4 B]` u32, all one.
    pub always: TensorId,
    pub dropout: f32,
    pub seed: u64,
}

impl Common {
    /// Where what dropout leaves of `x` stands: there itself without dropout.
    pub fn left_of(&self, b: &mut Builder, x: TensorId, role: Role) -> TensorId {
        if self.dropout == 0.0 {
            return x;
        }
        let name = format!("left_of_{}", b.tensor(x).name);
        like(b, x, role, &name)
    }

    /// Drops numbers of some rows from `row` on, and scales the others; nothing without dropout. Where steps run one by
    /// one, all of a window have one mask. Without `training` all are left.
    pub fn drop(&self, b: &mut Builder, [x, y]: [TensorId; 2], rows: Dim, row: Affine, (site, training): (u32, bool)) {
        if x != y {
            let probability = if training { self.dropout } else { 0.0 };
            let mask = dropout::Settings { probability, seed: self.seed, site, step: Affine::STEP };
            dropout::record(b, dropout::Dropout { x, y }, rows, row, row, mask);
        }
    }

    /// Puts the first B rows to zero.
    pub fn zero(&self, b: &mut Builder, x: TensorId) {
        self.zero_block(b, x, 0.into());
    }

    fn zero_block(&self, b: &mut Builder, x: TensorId, row: Affine) {
        let at = reset_rows::ResetRowsOffsets { x: row, flags: 0.into() };
        reset_rows::record(b, x, self.always, Dim::ROWS, at);
    }

    /// Puts this many blocks of B rows to zero.
    pub fn zero_blocks(&self, b: &mut Builder, x: TensorId, blocks: Dim) {
        b.repeat("zeros", blocks, Direction::Forward, |b, t| self.zero_block(b, x, Affine::from(t).times(Dim::ROWS)));
    }
}

/// A product with weights, a bias, and perhaps a function around it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dense {
    /// `[1, N, K]`.
    pub weight: TensorId,
    /// `[1, N]`.
    pub bias: TensorId,
    /// `[*, 1, N]`.
    pub y: TensorId,
    pub activation: Activation,
    /// Whether the bias is a weight; else it is never written, and zero.
    has_bias: bool,
}

impl Dense {
    /// Declares weights `{name}.weight` and, if it `has_bias`, `{name}.bias`, and rows `{name}` of results with a
    /// role.
    pub fn declare(
        b: &mut Builder,
        name: &str,
        [outputs, inputs]: [usize; 2],
        (rows, kept): (&[Dim], Role),
        has_bias: bool,
        activation: Activation,
    ) -> Dense {
        let weight = b.f32(Role::Weight, format!("{name}.weight"), &[1.into(), outputs.into(), inputs.into()]);
        let units = b.shard_group();
        b.shard(weight, 1, units);
        let bias = if has_bias { Role::Weight } else { Role::State };
        let bias = b.f32(bias, format!("{name}.bias"), &[1.into(), outputs.into()]);
        let shape = [rows, &[1.into(), outputs.into()]].concat();
        let y = b.f32(kept, name, &shape);
        Dense { weight, bias, y, activation, has_bias }
    }

    /// Its weights.
    pub fn weights(&self) -> impl Iterator<Item = TensorId> + use<> {
        std::iter::once(self.weight).chain(self.has_bias.then_some(self.bias))
    }

    /// Results of some rows of `x`.
    pub fn forward(&self, b: &mut Builder, x: TensorId, rows: Dim, [x_row, y_row]: [Affine; 2]) {
        let op = matmul::Matmul { x, w: self.weight, bias: self.bias, y: self.y };
        matmul::record(b, op, rows, x_row, y_row);
        if self.activation != Activation::Linear {
            // Forward nothing is read of y.
            activate::record(b, [x, self.y], rows, self.activation, y_row, activate::Way::Forward);
        }
    }

    /// From the gradients `dy` of results, which become those of the products, to those of the inputs, which are added
    /// where that is said.
    pub fn backward(
        &self,
        b: &mut Builder,
        [dy, dx]: [TensorId; 2],
        rows: Dim,
        [y_row, x_row]: [Affine; 2],
        adds: bool,
    ) {
        if self.activation != Activation::Linear {
            activate::record(b, [self.y, dy], rows, self.activation, y_row, activate::Way::Backward(y_row));
        }
        let op = matmul_input_gradient::MatmulInputGradient { dy, w: self.weight, dx };
        matmul_input_gradient::record(b, op, rows, whole_gradient(1, y_row, x_row, adds));
    }

    /// Gradients of the weights, from those of all products and the inputs.
    pub fn weight_gradients(
        &self,
        b: &mut Builder,
        [dy, x]: [TensorId; 2],
        rows: Dim,
        [y_row, x_row]: [Affine; 2],
        gradient: &dyn Fn(TensorId) -> TensorId,
    ) {
        let op = matmul_weight_gradient::MatmulWeightGradient { dy, x, dw: gradient(self.weight) };
        matmul_weight_gradient::record(b, op, rows, whole_gradient(1, y_row, x_row, false));
        if self.has_bias {
            sum_rows::record(b, sum_rows::SumRows { dy, db: gradient(self.bias) }, rows, bias_gradient(y_row));
        }
    }
}

/// A bias's gradient from that of one group.
pub(super) fn bias_gradient(y_row: Affine) -> sum_rows::SumRowsOffsets {
    sum_rows::SumRowsOffsets { y_row, dy_group: 0, b_group: 0, groups: 1, accumulate: 0.into() }
}
