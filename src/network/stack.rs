//! Recurrent layers: weights, states, a stack over time, and a decode step.

use super::variants::{self, Joined, Parts};
use super::{Cell, layers as declare_layers};
use crate::ops::lstm_decode::Input;
use crate::ops::{gather_rows, gru_decode, gru_step, lstm_decode, lstm_step, matmul, reset_rows};
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
    /// What a layer of [`Cell::Other`] has besides.
    pub parts: Option<Parts>,
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

/// Declares a plain layer under PyTorch's names `{prefix}weight_ih_l{index}` and so on, and its states.
pub fn layer(b: &mut Builder, cell: Cell, prefix: &str, index: usize, inputs: usize, hidden: usize) -> Layer {
    let gates = cell.gates();
    let weight = |b: &mut Builder, name: &str, shape: &[usize]| {
        let shape: Vec<Dim> = shape.iter().map(|&n| n.into()).collect();
        b.f32(Role::Weight, format!("{prefix}{name}_l{index}"), &shape)
    };
    let w_ih = weight(b, "weight_ih", &[gates, hidden, inputs]);
    let w_hh = weight(b, "weight_hh", &[gates, hidden, hidden]);
    let b_ih = weight(b, "bias_ih", &[gates, hidden]);
    let b_hh = weight(b, "bias_hh", &[gates, hidden]);
    let units = b.split_group();
    b.split(w_ih, 1, units);
    b.split(w_hh, 1, units);
    let h = b.f32(Role::State, format!("h_l{index}"), &[SLOTS.into(), Dim::ROWS, hidden.into()]);
    let c =
        (cell == Cell::Lstm).then(|| b.f32(Role::State, format!("c_l{index}"), &[1.into(), Dim::ROWS, hidden.into()]));
    Layer { cell, hidden, w_ih, w_hh, b_ih, b_hh, h, c, parts: None }
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
    /// `[*, B, G, H]`: the input products, T at least; gates where they are kept.
    pub gates: TensorId,
    /// `[T + 1, B, H]`: the states, the initial one first.
    pub states: TensorId,
    /// `[T + 1, B, H]`: an LSTM's cell states, the initial one first, where they are kept.
    pub cells: Option<TensorId>,
    /// `[T + 1, B, 1, H]`: a GRU's recurrent product of the candidate gate, its bias included; a stand-in of one element
    /// where it is not kept.
    pub candidate: Option<TensorId>,
    /// Whether steps keep their gates, for the way back.
    pub keep_gates: bool,
}

/// Scratch that [`rnn_stack`] needs, declared once and shared by the sections.
#[derive(Clone, Debug)]
pub struct StackScratch {
    pub(super) layers: Vec<OverTime>,
    /// Of a stack of [`Cell::Other`].
    pub(super) joined: Option<Joined>,
    /// `[B]` u32 for row copies in order.
    pub(super) order: TensorId,
}

/// Declares the scratch of a stack over time. Layers share one tensor of input products.
pub fn stack_scratch(b: &mut Builder, layers: &[Layer]) -> StackScratch {
    let mut products: Vec<((usize, usize), TensorId)> = Vec::new();
    let any_gru = layers.iter().any(|layer| layer.cell == Cell::Gru);
    let stand_in = any_gru.then(|| b.f32(Role::Scratch, "no_candidate", &[Dim::fixed(1); 3]));
    let over_time = layers.iter().enumerate().map(|(i, layer)| {
        let key = (layer.cell.gates(), layer.hidden);
        let known = products.iter().find(|(k, _)| *k == key).map(|(_, id)| *id);
        let gates = known.unwrap_or_else(|| {
            let shape = [Dim::TIME, Dim::ROWS, key.0.into(), key.1.into()];
            b.f32(Role::Scratch, format!("input_products_{}x{}", key.0, key.1), &shape)
        });
        products.push((key, gates));
        let states = variants::states_over_time(b, format!("states_l{i}"), layer.cell.form(), layer.hidden);
        let candidate = stand_in.filter(|_| layer.cell == Cell::Gru);
        OverTime { gates, states, cells: None, candidate, keep_gates: false }
    });
    let over_time = over_time.collect();
    let joined = variants::joined(b, layers);
    StackScratch { layers: over_time, joined, order: b.u32(Role::Io, "row_order", &[Dim::ROWS]) }
}

/// The same with all that backward sections need of each layer.
pub(super) fn stack_scratch_kept(b: &mut Builder, layers: &[Layer]) -> StackScratch {
    let over_time = layers.iter().enumerate().map(|(i, layer)| {
        let (time, hidden) = (Dim::TIME.plus(1), Dim::fixed(layer.hidden));
        let gates = Dim::fixed(layer.cell.gates());
        let gates = b.f32(Role::Saved, format!("gates_l{i}"), &[time, Dim::ROWS, gates, hidden]);
        let states = b.f32(Role::Saved, format!("states_l{i}"), &[time, Dim::ROWS, hidden]);
        let (cells, candidate) = match layer.cell {
            Cell::Lstm => (Some(b.f32(Role::Saved, format!("cells_l{i}"), &[time, Dim::ROWS, hidden])), None),
            Cell::Gru => {
                let shape = [time, Dim::ROWS, 1.into(), hidden];
                (None, Some(b.f32(Role::Saved, format!("candidate_l{i}"), &shape)))
            }
            Cell::Other(_) => unreachable!("no way back through other cells: a run refuses them"),
        };
        OverTime { gates, states, cells, candidate, keep_gates: true }
    });
    let layers = over_time.collect();
    StackScratch { layers, joined: None, order: b.u32(Role::Io, "row_order", &[Dim::ROWS]) }
}

/// A stack of layers over T steps: from x `[T, B, K]` and the layers' states to y `[T, B, H]` and the new states.
///
/// Each layer takes one matrix product for all its inputs, then T steps. Counts as one step of the section's
/// counter: the states are read from one slot and written to the other.
pub fn rnn_stack(b: &mut Builder, layers: &[Layer], scratch: &StackScratch, x: Rows) -> Rows {
    if let Some(joined) = &scratch.joined {
        return variants::over_time(b, layers, scratch, joined, x, false);
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
    let OverTime { gates, states, cells, .. } = *over_time;
    let product = matmul::Matmul { x: x.tensor, w: layer.w_ih, bias: layer.b_ih, y: gates };
    matmul::record(b, product, Dim::TIME * Dim::ROWS, x.first, 0);
    let cells = layer.c.zip(cells);
    copy_rows(b, order, layer.h, states, [read_slot(), 0.into()]);
    if let Some((c, cells)) = cells {
        copy_rows(b, order, c, cells, [0.into(), 0.into()]);
    }
    if let Some(Starts { flags, first }) = starts {
        let first_cells = cells.map(|(_, cells)| cells).or(layer.c);
        for state in [Some(states), first_cells].into_iter().flatten() {
            reset_rows::record(b, state, flags, Dim::ROWS, reset_rows::Offsets { x: 0.into(), flags: first });
        }
    }
    b.repeat("t", Dim::TIME, Direction::Forward, |b, t| step(b, layer, over_time, t.into()));
    copy_rows(b, order, states, layer.h, [(Dim::TIME * Dim::ROWS).into(), write_slot()]);
    if let Some((c, cells)) = cells {
        copy_rows(b, order, cells, c, [(Dim::TIME * Dim::ROWS).into(), 0.into()]);
    }
    Rows { tensor: states, first: Dim::ROWS.into() }
}

/// Copies B rows from one place to another.
pub(super) fn copy_rows(b: &mut Builder, order: TensorId, from: TensorId, to: TensorId, at: [Affine; 2]) {
    let at = gather_rows::Offsets { from: at[0], to: at[1], gather: false };
    gather_rows::record(b, gather_rows::GatherRows { from, index: order, to }, Dim::ROWS, at);
}

/// Step t of a layer over time: from row block t of the input products and
/// states to block t + 1 of the states.
fn step(b: &mut Builder, layer: &Layer, over_time: &OverTime, t: Affine) {
    let Layer { w_hh, b_hh, .. } = *layer;
    let OverTime { gates, states: h, cells, candidate, keep_gates } = *over_time;
    let (now, next) = (t.times(Dim::ROWS), t.plus(1).times(Dim::ROWS));
    let (gx, h_read, h_write) = (now, now, next);
    match layer.cell {
        Cell::Lstm => {
            let c = layer.c.expect("an LSTM has c");
            let [c_read, c_write] = if cells.is_some() { [now, next] } else { [0.into(), 0.into()] };
            let op = lstm_step::LstmStep { gates, w_hh, b_hh, h, c: cells.unwrap_or(c) };
            let at = lstm_step::Offsets { gx, h_read, h_write, c_read, c_write, keep_gates };
            lstm_step::record(b, op, Dim::ROWS, at);
        }
        Cell::Gru => {
            let candidate = candidate.expect("a GRU has one, or a stand-in");
            let op = gru_step::GruStep { gates, w_hh, b_hh, h, candidate };
            gru_step::record(b, op, Dim::ROWS, gru_step::Offsets { gx, h_read, h_write, keep_gates });
        }
        Cell::Other(_) => unreachable!("a stack of forms takes its own steps"),
    }
}

/// One token through a stack: row `ids[m]` of `table` through all layers, one op each. Gives the last h.
pub fn decode_stack(b: &mut Builder, layers: &[Layer], table: TensorId, ids: TensorId) -> Rows {
    if layers.iter().any(|layer| layer.parts.is_some()) {
        return variants::decode(b, layers, table, ids);
    }
    let (mut source, mut x) = (table, Input::Gather);
    for layer in layers {
        let Layer { w_ih, w_hh, b_ih, b_hh, h, .. } = *layer;
        let (h_read, h_write) = (read_slot(), write_slot());
        match layer.cell {
            Cell::Lstm => {
                let c = layer.c.expect("an LSTM has c");
                let op = lstm_decode::LstmDecode { source, ids, w_ih, w_hh, b_ih, b_hh, h, c };
                lstm_decode::record(b, op, Dim::ROWS, lstm_decode::Offsets { x, h_read, h_write, c: 0.into() });
            }
            Cell::Gru => {
                let op = gru_decode::GruDecode { source, ids, w_ih, w_hh, b_ih, b_hh, h };
                gru_decode::record(b, op, Dim::ROWS, gru_decode::Offsets { x, h_read, h_write });
            }
            Cell::Other(_) => unreachable!("a stack of forms takes its own steps"),
        }
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
    assert!(!matches!(cell, Cell::Other(_)), "form_stack is for other cells");
    let layers = declare_layers(b, cell, "", inputs, hidden, layers);
    let x = b.f32(Role::Io, "x", &[Dim::TIME, Dim::ROWS, inputs.into()]);
    let scratch = stack_scratch(b, &layers);
    let y = scratch.layers.last().expect("a stack has a layer").states;
    let forward = b.section("forward", |b| {
        rnn_stack(b, &layers, &scratch, Rows { tensor: x, first: 0.into() });
    });
    Stack { plan: std::mem::take(b).finish(), forward, x, y, layers }
}
