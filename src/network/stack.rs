//! Recurrent layers: weights, states, a stack over time, and a decode step.

use super::general_layers::{self, GeneralLayer, Joined};
use super::{Cell, layers as declare_layers};
use crate::ops::decode::{self, Input};
use crate::ops::recurrent::{Extra, Recurrent};
use crate::ops::{gather_rows, matmul, reset_rows, step};
use crate::plan::{Affine, Builder, Dim, Direction, Plan, Role, SectionId, TensorId};

/// Weights and states of one recurrent layer.
#[derive(Clone, Copy, Debug)]
pub struct Layer {
    /// The cell.
    pub cell: Cell,
    /// H.
    pub hidden: usize,
    /// `[G, H, K]`.
    pub w_ih: TensorId,
    /// `[G, H, H]`.
    pub w_hh: TensorId,
    /// `[G, H]`.
    pub b_ih: TensorId,
    /// `[G, H]`.
    pub b_hh: TensorId,
    /// `[2, B, H]`: the state before and after a step, in turn.
    pub h: TensorId,
    /// `[1, B, H]`: the cell state, an LSTM's.
    pub c: Option<TensorId>,
    /// `[1, 1]`: stands for c in the ops of a fused cell that has none.
    pub(super) stand_in: Option<TensorId>,
    /// The further parts of a layer of [`Cell::General`].
    pub parts: Option<GeneralLayer>,
}

impl Layer {
    /// The ops of its cell; only for layers that have them.
    pub(super) fn fused(&self) -> &'static Recurrent {
        self.cell.fused().expect("a layer of another form has no fused step")
    }

    /// The operand `extra` of a step that keeps nothing: c, or what stands for it.
    pub(super) fn extra(&self) -> TensorId {
        self.c.or(self.stand_in).expect("a fused layer has one of them")
    }
}

/// Slots of a layer's `h`: the step of the section reads one and writes the other.
pub(super) const SLOTS: usize = 2;

/// The slot that step t reads, as a row offset.
pub(super) fn read_slot() -> Affine {
    Affine::STEP.modulo(SLOTS).times(Dim::ROWS)
}

/// The slot that step t writes, as a row offset.
pub(super) fn write_slot() -> Affine {
    Affine::STEP.plus(1).modulo(SLOTS).times(Dim::ROWS)
}

/// What a layer's tensors are called: `{weights}weight_ih_{suffix}`, `{states}h_{suffix}` and so on.
#[derive(Clone, Copy)]
pub(super) struct LayerNames<'a> {
    pub weights: &'a str,
    pub states: &'a str,
    pub suffix: &'a str,
}

/// Declares a plain layer under PyTorch's names `{prefix}weight_ih_l{index}` and so on, and its states.
pub fn layer(b: &mut Builder, cell: Cell, prefix: &str, index: usize, inputs: usize, hidden: usize) -> Layer {
    let suffix = &format!("l{index}");
    layer_named(b, cell, LayerNames { weights: prefix, states: "", suffix }, inputs, hidden)
}

/// The same under any names.
pub(super) fn layer_named(b: &mut Builder, cell: Cell, names: LayerNames, inputs: usize, hidden: usize) -> Layer {
    let LayerNames { weights, states, suffix } = names;
    let gates = cell.gates();
    let weight = |b: &mut Builder, name: &str, shape: &[usize]| {
        let shape: Vec<Dim> = shape.iter().map(|&n| n.into()).collect();
        b.f32(Role::Weight, format!("{weights}{name}_{suffix}"), &shape)
    };
    let w_ih = weight(b, "weight_ih", &[gates, hidden, inputs]);
    let w_hh = weight(b, "weight_hh", &[gates, hidden, hidden]);
    let b_ih = weight(b, "bias_ih", &[gates, hidden]);
    let b_hh = weight(b, "bias_hh", &[gates, hidden]);
    let units = b.shard_group();
    b.shard(w_ih, 1, units);
    b.shard(w_hh, 1, units);
    let h = b.f32(Role::State, format!("{states}h_{suffix}"), &[SLOTS.into(), Dim::ROWS, hidden.into()]);
    let has_c = cell.fused().is_some_and(|cell| cell.extra == Extra::State);
    let c = has_c.then(|| b.f32(Role::State, format!("{states}c_{suffix}"), &[1.into(), Dim::ROWS, hidden.into()]));
    let stand_in = (!has_c).then(|| b.f32(Role::Scratch, format!("{states}no_c_{suffix}"), &[Dim::fixed(1); 2]));
    Layer { cell, hidden, w_ih, w_hh, b_ih, b_hh, h, c, stand_in, parts: None }
}

/// A run of rows of a tensor: where a sequence `[T, B, K]` starts.
#[derive(Clone, Copy, Debug)]
pub struct Rows {
    /// `[*, K]`.
    pub tensor: TensorId,
    /// The first row.
    pub first: Affine,
}

/// One layer over time.
#[derive(Clone, Copy, Debug)]
pub(super) struct OverTime {
    /// T: time steps of a window.
    pub time: Dim,
    /// `[*, B, G, H]`: the input products, T at least; gates where they are kept.
    pub gates: TensorId,
    /// `[T + 1, B, H]`: the states, the initial one first.
    pub states: TensorId,
    /// The cell's `extra`, where it is saved for the backward pass: `[T + 1, B, H]` cell states, the initial one
    /// first; or `[T + 1, B, 1, H]` recurrent sums of a split gate.
    pub extra: Option<TensorId>,
    /// Whether steps keep their gates, for the backward pass.
    pub keep_gates: bool,
}

/// Scratch that [`rnn_stack`] needs, declared once and shared by the sections.
#[derive(Clone, Debug)]
pub struct StackScratch {
    pub(super) layers: Vec<OverTime>,
    /// Of a stack of [`Cell::General`].
    pub(super) joined: Option<Joined>,
    /// `[B]` u32 for row copies in order.
    pub(super) order: TensorId,
}

/// Declares the scratch of a stack over time. Layers share one tensor of input products.
pub fn stack_scratch(b: &mut Builder, layers: &[Layer]) -> StackScratch {
    let mut products: Vec<((usize, usize), TensorId)> = Vec::new();
    let over_time = layers.iter().enumerate().map(|(i, layer)| {
        let key = (layer.cell.gates(), layer.hidden);
        let known = products.iter().find(|(k, _)| *k == key).map(|(_, id)| *id);
        let gates = known.unwrap_or_else(|| {
            let shape = [Dim::TIME, Dim::ROWS, key.0.into(), key.1.into()];
            b.f32(Role::Scratch, format!("input_products_{}x{}", key.0, key.1), &shape)
        });
        products.push((key, gates));
        let states = general_layers::states_over_time(b, format!("states_l{i}"), layer.cell.form(), layer.hidden);
        OverTime { time: Dim::TIME, gates, states, extra: None, keep_gates: false }
    });
    let over_time = over_time.collect();
    let joined = general_layers::joined(b, layers);
    StackScratch { layers: over_time, joined, order: b.u32(Role::Io, "row_order", &[Dim::ROWS]) }
}

/// The same with all that backward sections need of each layer.
pub(super) fn stack_scratch_kept(b: &mut Builder, layers: &[Layer]) -> StackScratch {
    let over_time = layers.iter().enumerate();
    let layers = over_time.map(|(i, layer)| OverTime::kept(b, layer, &format!("l{i}"), Dim::TIME)).collect();
    StackScratch { layers, joined: None, order: b.u32(Role::Io, "row_order", &[Dim::ROWS]) }
}

impl OverTime {
    /// A layer over `steps` steps with all that its backward pass needs: `gates_{name}`, `states_{name}` and so on.
    pub(super) fn kept(b: &mut Builder, layer: &Layer, name: &str, steps: Dim) -> OverTime {
        let (time, hidden) = (steps.plus(1), Dim::fixed(layer.hidden));
        let gates = Dim::fixed(layer.cell.gates());
        let gates = b.f32(Role::Saved, format!("gates_{name}"), &[time, Dim::ROWS, gates, hidden]);
        let states = b.f32(Role::Saved, format!("states_{name}"), &[time, Dim::ROWS, hidden]);
        let extra = match layer.fused().extra {
            Extra::Nothing => None,
            Extra::State => Some(b.f32(Role::Saved, format!("cells_{name}"), &[time, Dim::ROWS, hidden])),
            Extra::Kept => {
                let shape = [time, Dim::ROWS, 1.into(), hidden];
                Some(b.f32(Role::Saved, format!("recurrent_sums_{name}"), &shape))
            }
        };
        OverTime { time: steps, gates, states, extra, keep_gates: true }
    }

    /// The cell states over time, an LSTM's, where they are kept.
    pub(super) fn cells(&self, layer: &Layer) -> Option<TensorId> {
        self.extra.filter(|_| layer.fused().extra == Extra::State)
    }
}

/// A stack of layers over T steps: from x `[T, B, K]` and the layers' states to y `[T, B, H]` and the new states.
///
/// Each layer takes one matrix product for all its inputs, then T steps. Counts as one step of the section's
/// counter: the states are read from one slot and written to the other.
pub fn rnn_stack(b: &mut Builder, layers: &[Layer], scratch: &StackScratch, x: Rows) -> Rows {
    if let Some(joined) = &scratch.joined {
        return general_layers::over_time(b, layers, scratch, joined, x, false);
    }
    let layers = layers.iter().zip(&scratch.layers);
    layers.fold(x, |x, (layer, over_time)| layer_over_time(b, layer, over_time, scratch.order, x, None))
}

/// Rows that begin anew: `[*]` u32 flags, from one on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Starts {
    pub flags: TensorId,
    pub first: Affine,
}

/// One layer over T steps; rows whose flag is set in `starts` begin with a zero state.
pub(super) fn layer_over_time(
    b: &mut Builder,
    layer: &Layer,
    over_time: &OverTime,
    order: TensorId,
    x: Rows,
    starts: Option<Starts>,
) -> Rows {
    let OverTime { time, states, extra, .. } = *over_time;
    copy_rows(b, order, layer.h, states, [read_slot(), 0.into()]);
    let cells = layer.c.zip(extra);
    if let Some((c, cells)) = cells {
        copy_rows(b, order, c, cells, [0.into(), 0.into()]);
    }
    if let Some(Starts { flags, first }) = starts {
        let first_cells = cells.map(|(_, cells)| cells).or(layer.c);
        for state in [Some(states), first_cells].into_iter().flatten() {
            reset_rows::record(b, state, flags, Dim::ROWS, reset_rows::ResetRowsOffsets { x: 0.into(), flags: first });
        }
    }
    let y = steps_over_time(b, layer, over_time, x);
    copy_rows(b, order, states, layer.h, [(time * Dim::ROWS).into(), write_slot()]);
    if let Some((c, cells)) = cells {
        copy_rows(b, order, cells, c, [(time * Dim::ROWS).into(), 0.into()]);
    }
    y
}

/// One layer over T steps, from the states that stand before the first.
pub(super) fn steps_over_time(b: &mut Builder, layer: &Layer, over_time: &OverTime, x: Rows) -> Rows {
    input_products(b, layer, over_time, x, over_time.time * Dim::ROWS, 0.into());
    b.repeat("t", over_time.time, Direction::Forward, |b, t| record_step(b, layer, over_time, t.into()));
    Rows { tensor: over_time.states, first: Dim::ROWS.into() }
}

/// The input products of some rows `x`, from row `to` of the products on.
pub(super) fn input_products(b: &mut Builder, layer: &Layer, over_time: &OverTime, x: Rows, rows: Dim, to: Affine) {
    let op = matmul::Matmul { x: x.tensor, w: layer.w_ih, bias: layer.b_ih, y: over_time.gates };
    matmul::record(b, op, rows, x.first, to);
}

/// Copies B rows from one place to another.
pub(super) fn copy_rows(b: &mut Builder, order: TensorId, from: TensorId, to: TensorId, at: [Affine; 2]) {
    let at = gather_rows::GatherRowsOffsets { from: at[0], to: at[1], gather: false };
    gather_rows::record(b, gather_rows::GatherRows { from, index: order, to }, Dim::ROWS, at);
}

/// Step t of a layer over time: from row block t of the input products and
/// states to block t + 1 of the states.
pub(super) fn record_step(b: &mut Builder, layer: &Layer, over_time: &OverTime, t: Affine) {
    let cell = layer.fused();
    let Layer { w_hh, b_hh, .. } = *layer;
    let OverTime { gates, states: h, extra, keep_gates, .. } = *over_time;
    let (now, next) = (t.times(Dim::ROWS), t.plus(1).times(Dim::ROWS));
    let [extra_read, extra_write] = match (cell.extra, extra) {
        (Extra::State, Some(_)) => [now, next],
        (Extra::Kept, _) => [now, now],
        _ => [0.into(), 0.into()],
    };
    let op = step::Step { gates, w_hh, b_hh, h, extra: extra.unwrap_or(layer.extra()) };
    let at = step::StepOffsets { gx: now, h_read: now, h_write: next, extra_read, extra_write, keep_gates };
    step::record(b, cell, op, Dim::ROWS, at);
}

/// One token through a stack: row `ids[m]` of `table` through all layers, one op each. Gives the last h.
pub fn decode_stack(b: &mut Builder, layers: &[Layer], table: TensorId, ids: TensorId) -> Rows {
    if layers.iter().any(|layer| layer.parts.is_some()) {
        return general_layers::decode(b, layers, table, ids);
    }
    let (mut source, mut x) = (table, Input::Gather);
    for layer in layers {
        let Layer { w_ih, w_hh, b_ih, b_hh, h, .. } = *layer;
        let op = decode::Decode { source, ids, w_ih, w_hh, b_ih, b_hh, h, extra: layer.extra() };
        let at = decode::DecodeOffsets { x, h_read: read_slot(), h_write: write_slot(), extra: 0.into() };
        decode::record(b, layer.fused(), op, Dim::ROWS, at);
        (source, x) = (h, Input::Rows(write_slot()));
    }
    Rows { tensor: source, first: write_slot() }
}

/// A recurrent stack alone, with raw x, h0, c0 in and y, hn, cn out.
#[derive(Clone, Debug)]
pub struct Stack {
    /// The plan.
    pub plan: Plan,
    /// Section `forward`; step 0 reads slot 0 of each layer's h and writes slot 1.
    pub forward: SectionId,
    /// `[T, B, K]`.
    pub x: TensorId,
    /// The last layer's states `[T + 1, B, H]`; y is all but the first.
    pub y: TensorId,
    /// The layers, with their states.
    pub layers: Vec<Layer>,
}

/// Writes the plan of a recurrent stack alone. Weights have PyTorch's names without a prefix.
pub fn stack(cell: Cell, inputs: usize, hidden: usize, layers: usize) -> Stack {
    let b = &mut Builder::new();
    assert!(cell.fused().is_some(), "general_stack is for other cells");
    let layers = declare_layers(b, cell, "", inputs, hidden, layers);
    let x = b.f32(Role::Io, "x", &[Dim::TIME, Dim::ROWS, inputs.into()]);
    let scratch = stack_scratch(b, &layers);
    let y = scratch.layers.last().expect("a stack has a layer").states;
    let forward = b.section("forward", |b| {
        rnn_stack(b, &layers, &scratch, Rows { tensor: x, first: 0.into() });
    });
    Stack { plan: std::mem::take(b).finish(), forward, x, y, layers }
}
