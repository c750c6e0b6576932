//! A recurrent stack alone, with its backward pass: what gradients are checked on, and a part of larger networks.

use super::backward::{LayerGradients, initial_state_gradient, layer_backward};
use super::optimiser::like;
use super::stack::{layer_over_time, stack_scratch_kept};
use super::{Cell, Layer, Rows, layer};
use crate::plan::{Builder, Dim, Plan, Role, SectionId, TensorId};

/// Raw x, h0, c0 in; y, hn, cn out; and from the gradients of these those of the inputs and weights.
#[derive(Clone, Debug)]
pub struct TrainedStack {
    /// The plan.
    pub plan: Plan,
    /// Section `forward`; step 0 reads slot 0 of each layer's h and writes slot 1.
    pub forward: SectionId,
    /// Section `backward`. Before it `dy` of the last layer holds the outputs' gradients; those of the final states
    /// have been added to the last rows of each layer's `dy`, and stand in `dc`; a GRU's `dh` is zero. After it `dh`
    /// and `dc` are those of the initial states.
    pub backward: SectionId,
    /// `[T * B, K]`.
    pub x: TensorId,
    /// `[T * B, K]`: its gradient.
    pub dx: TensorId,
    /// The last layer's states `[T + 1, B, H]`; y is all but the first.
    pub y: TensorId,
    /// The layers, with their states.
    pub layers: Vec<Layer>,
    /// Their gradients.
    pub gradients: Vec<LayerGradients>,
    /// `[4 B]` u32: the host sets all to one.
    pub always: TensorId,
}

/// Writes the plan of a stack that can be trained. Weights have PyTorch's names without a prefix, gradients the same
/// with `gradient.` before them.
pub fn trained_stack(cell: Cell, inputs: usize, hidden: usize, layers: usize) -> TrainedStack {
    let b = &mut Builder::new();
    let window = Dim::TIME * Dim::ROWS;
    let layers: Vec<Layer> =
        (0..layers).map(|i| layer(b, cell, "", i, if i == 0 { inputs } else { hidden }, hidden)).collect();
    let gradient = |b: &mut Builder, weight: TensorId| {
        let name = format!("gradient.{}", b.tensor(weight).name);
        like(b, weight, Role::Saved, &name)
    };
    let gradients: Vec<LayerGradients> = (layers.iter().enumerate())
        .map(|(i, layer)| {
            let weights = [layer.w_ih, layer.w_hh, layer.b_ih, layer.b_hh].map(|weight| gradient(b, weight));
            LayerGradients::flow(b, i, layer, weights)
        })
        .collect();
    let x = b.f32(Role::Io, "x", &[window, inputs.into()]);
    let dx = b.f32(Role::Io, "dx", &[window, inputs.into()]);
    let always = b.u32(Role::Io, "always", &[Dim::ROWS * 4.into()]);
    let scratch = stack_scratch_kept(b, &layers);
    let inputs_of = |i: usize| match i.checked_sub(1) {
        None => Rows { tensor: x, first: 0.into() },
        Some(below) => Rows { tensor: scratch.layers[below].states, first: Dim::ROWS.into() },
    };
    let forward = b.section("forward", |b| {
        for (i, (layer, over_time)) in layers.iter().zip(&scratch.layers).enumerate() {
            layer_over_time(b, layer, over_time, scratch.order, inputs_of(i), None);
        }
    });
    let backward = b.section("backward", |b| {
        for (i, layer) in layers.iter().enumerate().rev() {
            let to = match i.checked_sub(1) {
                None => (dx, false),
                // Gradients of the final states are there already.
                Some(below) => (gradients[below].dy, true),
            };
            layer_backward(b, layer, (&scratch.layers[i], &gradients[i]), always, inputs_of(i), Some(to));
            initial_state_gradient(b, layer, &scratch.layers[i], &gradients[i]);
        }
    });
    let y = scratch.layers.last().expect("a stack has a layer").states;
    TrainedStack { plan: std::mem::take(b).finish(), forward, backward, x, dx, y, layers, gradients, always }
}
