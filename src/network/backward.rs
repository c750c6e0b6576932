//! The backward pass: gradients of a layer over time, of the head and of the embedding.
//!
//! Products that need no loop are one matrix product for the whole window: only `dgates -> dh` of the step before runs
//! step by step.

use super::stack::OverTime;
use super::{Head, Layer, Rows};
use crate::ops::recurrent::Extra;
use crate::ops::{
    embed_gradient, matmul_input_gradient, matmul_weight_gradient, reset_rows, select_rows, step_backward, sum_rows,
};
use crate::plan::{Affine, Builder, Dim, Direction, Loop, Role, TensorId};

/// Gradients of one layer's weights, shaped as the weights, and what flows in the backward pass.
#[derive(Clone, Copy, Debug)]
pub struct LayerGradients {
    /// `[G, H, K]`.
    pub w_ih: TensorId,
    /// `[G, H, H]`.
    pub w_hh: TensorId,
    /// `[G, H]`.
    pub b_ih: TensorId,
    /// `[G, H]`.
    pub b_hh: TensorId,
    /// `[T, B, H]`: of the layer's outputs.
    pub dy: TensorId,
    /// Row blocks of `dy` before that of the first step.
    pub(super) dy_block: usize,
    /// `[B, H]`: of h, in the backward pass.
    pub dh: TensorId,
    /// `[B, H]`: of c, an LSTM's, in the backward pass.
    pub dc: Option<TensorId>,
}

impl LayerGradients {
    /// Declares what flows: `dy_{name}` and so on, for a window of `time` steps, of which `dy` has row blocks from
    /// `dy_block` on.
    pub(super) fn flow(
        b: &mut Builder,
        name: &str,
        layer: &Layer,
        (time, dy_block): (Dim, usize),
        weights: [TensorId; 4],
    ) -> LayerGradients {
        let [w_ih, w_hh, b_ih, b_hh] = weights;
        let hidden = Dim::fixed(layer.hidden);
        let dy = b.f32(Role::Scratch, format!("dy_{name}"), &[time.plus(dy_block), Dim::ROWS, hidden]);
        let dh = b.f32(Role::Scratch, format!("dh_{name}"), &[Dim::ROWS, hidden]);
        let dc = layer.c.map(|_| b.f32(Role::Scratch, format!("dc_{name}"), &[Dim::ROWS, hidden]));
        LayerGradients { w_ih, w_hh, b_ih, b_hh, dy, dy_block, dh, dc }
    }

    /// No gradient comes from beyond the window: truncated back-propagation.
    ///
    /// `always` is `[4 * B]` u32, all one.
    pub(super) fn begin_at_zero(&self, b: &mut Builder, always: TensorId) {
        for flow in [Some(self.dh), self.dc].into_iter().flatten() {
            let at = reset_rows::ResetRowsOffsets { x: 0.into(), flags: 0.into() };
            reset_rows::record(b, flow, always, Dim::ROWS, at);
        }
    }
}

/// A layer's steps backward, then the gradients of its weights and, if asked for, of its inputs.
///
/// `x` are its inputs, `[T * B, K]` from some row on; `dx` takes their gradients, added to what is there if that is said.
pub(super) fn layer_backward(
    b: &mut Builder,
    layer: &Layer,
    (over_time, gradients): (&OverTime, &LayerGradients),
    always: TensorId,
    x: Rows,
    dx: Option<(TensorId, bool)>,
    final_c: Option<FinalCells>,
) {
    zeros_behind(b, layer, over_time, always);
    b.repeat("t", over_time.time, Direction::Backward, |b, t| {
        if let Some(final_c) = final_c {
            final_c.add(b, t.into());
        }
        record_step_backward(b, layer, over_time, gradients, t.into());
    });
    weight_gradients(b, layer, over_time, gradients, x);
    if let Some((dx, adds)) = dx {
        let dx = Rows { tensor: dx, first: 0.into() };
        input_gradient(b, layer, over_time, (over_time.time * Dim::ROWS, 0.into()), dx, adds);
    }
}

/// Behind the last step there is none: its gradients are zero.
pub(super) fn zeros_behind(b: &mut Builder, layer: &Layer, over_time: &OverTime, always: TensorId) {
    let split = recurrent_sources(layer, over_time).into_iter().skip(1).map(|(tensor, gates, _)| (tensor, gates));
    for (tensor, rows) in std::iter::once((over_time.gates, layer.cell.gates())).chain(split) {
        let block = Dim::ROWS * rows.into();
        let at = reset_rows::ResetRowsOffsets { x: (over_time.time * block).into(), flags: 0.into() };
        reset_rows::record(b, tensor, always, block, at);
    }
}

/// From the gradients of some rows of input products, the first of them given, to those of the inputs.
pub(super) fn input_gradient(
    b: &mut Builder,
    layer: &Layer,
    over_time: &OverTime,
    (rows, first): (Dim, Affine),
    dx: Rows,
    adds: bool,
) {
    let op = matmul_input_gradient::MatmulInputGradient { dy: over_time.gates, w: layer.w_ih, dx: dx.tensor };
    let at = whole_gradient(layer.cell.gates(), first, dx.first, adds);
    matmul_input_gradient::record(b, op, rows, at);
}

/// All groups of gradients and weights alike.
pub(super) fn whole_gradient(
    groups: usize,
    y_row: Affine,
    x_row: Affine,
    adds: bool,
) -> matmul_input_gradient::MatmulInputGradientOffsets {
    let accumulate = usize::from(adds).into();
    matmul_input_gradient::MatmulInputGradientOffsets { y_row, x_row, dy_group: 0, w_group: 0, groups, accumulate }
}

/// Gradients of final cell states, which reach a row's c where it ends.
#[derive(Clone, Copy)]
pub(super) struct FinalCells {
    /// From `[B, *]` to dc.
    pub op: select_rows::SelectRows,
    /// Columns and lengths.
    pub at: select_rows::SelectRowsOffsets,
}

impl FinalCells {
    fn add(&self, b: &mut Builder, time: Affine) {
        let at = select_rows::SelectRowsOffsets { time, order: select_rows::RowOrder::AtEnd, add: true, ..self.at };
        select_rows::record(b, self.op, [Dim::ROWS; 2], at);
    }
}

/// Step t backward.
pub(super) fn record_step_backward(
    b: &mut Builder,
    layer: &Layer,
    over_time: &OverTime,
    gradients: &LayerGradients,
    t: Affine,
) {
    let cell = layer.fused();
    let OverTime { gates, states, extra: kept, .. } = *over_time;
    let LayerGradients { dy, dy_block, dh, dc, .. } = *gradients;
    let (now, next) = (t.times(Dim::ROWS), t.plus(1).times(Dim::ROWS));
    let of_state = kept.zip(dc).filter(|_| cell.extra == Extra::State);
    let (states, extra) = of_state.unwrap_or((states, kept.unwrap_or(layer.extra())));
    let op = step_backward::StepBackward { gates, w_hh: layer.w_hh, states, dy, extra, dh };
    let at = step_backward::StepBackwardOffsets {
        gates: now,
        next,
        before: now,
        after: next,
        dy: t.plus(dy_block).times(Dim::ROWS),
    };
    step_backward::record(b, cell, op, Dim::ROWS, at);
}

/// The tensors with the recurrent gradients of a layer's gates: (tensor, its gates, the weights' first gate).
fn recurrent_sources(layer: &Layer, over_time: &OverTime) -> Vec<(TensorId, usize, usize)> {
    let cell = layer.fused();
    match cell.split_gate.zip(over_time.extra) {
        // The gradient of a split gate's recurrent sum is not the gate's. It is the last gate.
        Some((split, extra)) => vec![(over_time.gates, split, 0), (extra, 1, split)],
        None => vec![(over_time.gates, cell.gates, 0)],
    }
}

/// Gradients of a layer's weights from those of all its gates.
pub(super) fn weight_gradients(
    b: &mut Builder,
    layer: &Layer,
    over_time: &OverTime,
    gradients: &LayerGradients,
    x: Rows,
) {
    let OverTime { time, gates, states, .. } = *over_time;
    let window = time * Dim::ROWS;
    let product = |b: &mut Builder, dy, x: Rows, dw, groups, w_group| {
        let op = matmul_weight_gradient::MatmulWeightGradient { dy, x: x.tensor, dw };
        let at = matmul_input_gradient::MatmulInputGradientOffsets {
            y_row: 0.into(),
            x_row: x.first,
            dy_group: 0,
            w_group,
            groups,
            accumulate: 0.into(),
        };
        matmul_weight_gradient::record(b, op, window, at);
    };
    let sum = |b: &mut Builder, dy, db, groups, b_group| {
        let at = sum_rows::SumRowsOffsets { y_row: 0.into(), dy_group: 0, b_group, groups, accumulate: 0.into() };
        sum_rows::record(b, sum_rows::SumRows { dy, db }, window, at);
    };
    let all = layer.cell.gates();
    product(b, gates, x, gradients.w_ih, all, 0);
    sum(b, gates, gradients.b_ih, all, 0);
    let before = Rows { tensor: states, first: 0.into() };
    for (dy, groups, first) in recurrent_sources(layer, over_time) {
        product(b, dy, before, gradients.w_hh, groups, first);
        sum(b, dy, gradients.b_hh, groups, first);
    }
}

/// Gradients of a layer's initial state, after its steps: `dh` becomes that of h0, `dc` is that of c0 already.
pub(super) fn initial_state_gradient(b: &mut Builder, layer: &Layer, over_time: &OverTime, gradients: &LayerGradients) {
    for (i, (dy, groups, w_group)) in recurrent_sources(layer, over_time).into_iter().enumerate() {
        let op = matmul_input_gradient::MatmulInputGradient { dy, w: layer.w_hh, dx: gradients.dh };
        // dh may hold what passes by the gates.
        let adds = layer.fused().bypasses_gates || i > 0;
        let at = matmul_input_gradient::MatmulInputGradientOffsets {
            y_row: 0.into(),
            x_row: 0.into(),
            dy_group: 0,
            w_group,
            groups,
            accumulate: usize::from(adds).into(),
        };
        matmul_input_gradient::record(b, op, Dim::ROWS, at);
    }
}

/// Gradients of the output layer, and where a chunk of logits stands in the window.
#[derive(Clone, Copy, Debug)]
pub(super) struct HeadBackward {
    /// `[1, V, H]`.
    pub weight: TensorId,
    /// `[1, V]`.
    pub bias: TensorId,
    /// `[T * B, H]`, from some row on: of the head's inputs.
    pub dy: Rows,
}

/// From a chunk's logit gradients `[R, 1, V]`: of its inputs, and added to those of the weights but in the first chunk.
///
/// `y` are the chunk's inputs; `chunk` counts chunks of `rows` rows each.
pub(super) fn head_backward(
    b: &mut Builder,
    head: &Head,
    to: &HeadBackward,
    dlogits: TensorId,
    y: Rows,
    rows: Dim,
    chunk: Loop,
) {
    let at = |x_row, accumulate| matmul_input_gradient::MatmulInputGradientOffsets {
        y_row: 0.into(),
        x_row,
        dy_group: 0,
        w_group: 0,
        groups: 1,
        accumulate,
    };
    let op = matmul_input_gradient::MatmulInputGradient { dy: dlogits, w: head.weight, dx: to.dy.tensor };
    matmul_input_gradient::record(b, op, rows, at(to.dy.first.plus_each(chunk, rows), 0.into()));
    let op = matmul_weight_gradient::MatmulWeightGradient { dy: dlogits, x: y.tensor, dw: to.weight };
    matmul_weight_gradient::record(b, op, rows, at(y.first, chunk.into()));
    let at = sum_rows::SumRowsOffsets { y_row: 0.into(), dy_group: 0, b_group: 0, groups: 1, accumulate: chunk.into() };
    sum_rows::record(b, sum_rows::SumRows { dy: dlogits, db: to.bias }, rows, at);
}

/// The embedding's gradient from that of its rows; added to what is there where the table is another part's weight too.
pub(super) fn embedding_backward(
    b: &mut Builder,
    op: embed_gradient::EmbedGradient,
    rows: Dim,
    first: Affine,
    adds: bool,
) {
    let at =
        embed_gradient::EmbedGradientOffsets { ids_row: first, order_row: first, accumulate: usize::from(adds).into() };
    embed_gradient::record(b, op, rows, at);
}
