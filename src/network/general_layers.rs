//! Layers of any [`GeneralCell`]: a product, gates as an op of their own, and what projections, second directions and rows of
//! unequal length take. Two to six ops a step, where a plain layer takes one.

use super::general_cell::{GeneralCell, Kind, weight_name};
use super::stack::{OverTime, SLOTS, copy_rows, read_slot, write_slot};
use super::{Cell, Layer, Rows, StackScratch, layer, stack_scratch};
use crate::ops::select_rows::{self, RowOrder, SelectRows, SelectRowsOffsets};
use crate::ops::{embed, gru_gates, gru_reset, lstm_gates, matmul, rnn_gates};
use crate::plan::{Affine, Builder, Dim, Direction, Loop, Plan, Role, SectionId, TensorId};

/// The parts of a layer beyond the weights and states of [`Layer`]. Each direction of a layer of two is a [`Layer`].
#[derive(Clone, Copy, Debug)]
pub struct GeneralLayer {
    /// The form.
    pub form: GeneralCell,
    /// Reads from the end.
    pub reverse: bool,
    /// `[1, P, H]` and its bias `[1, P]`, which is zero.
    projection: Option<(TensorId, TensorId)>,
    /// `[3, H]`, an LSTM's peepholes; a stand-in where there are none.
    p: TensorId,
    /// `[B, K]`: a token's embedding, of the first layer.
    x: Option<TensorId>,
    /// `[B, G, H]`: a step's input product.
    gx: TensorId,
    /// `[B, G, H]`: its recurrent product.
    u: TensorId,
    /// `[B, G, H]`: the product after a GRU's reset gate.
    v: TensorId,
    /// `[B, H]`: what a projection or a GRU's second product takes.
    inner: TensorId,
    /// `[B, H]`: c of a step, before it is known which rows go on.
    pub(super) c: TensorId,
    /// `[B, h]`: h of a step, likewise.
    fresh: TensorId,
}

/// Declares all layers of a stack, the two directions of a layer one after the other.
pub fn layers(b: &mut Builder, cell: Cell, prefix: &str, inputs: usize, hidden: usize, count: usize) -> Vec<Layer> {
    let Cell::General(form) = cell else {
        return (0..count).map(|i| layer(b, cell, prefix, i, if i == 0 { inputs } else { hidden }, hidden)).collect();
    };
    let mut layers = Vec::new();
    for i in 0..count {
        let inputs = if i == 0 { inputs } else { form.outputs(hidden) };
        for reverse in [false, true].into_iter().take(form.directions()) {
            layers.push(of_form(b, form, prefix, (i, reverse), inputs, hidden));
        }
    }
    layers
}

/// Declares one direction of a layer.
fn of_form(
    b: &mut Builder,
    form: GeneralCell,
    prefix: &str,
    (index, reverse): (usize, bool),
    inputs: usize,
    hidden: usize,
) -> Layer {
    let named = |name: &str| weight_name(name, index, reverse);
    let gates = form.kind.gates();
    let weight = |b: &mut Builder, name: &str, shape: &[usize]| {
        let shape: Vec<Dim> = shape.iter().map(|&n| n.into()).collect();
        b.f32(Role::Weight, format!("{prefix}{}", named(name)), &shape)
    };
    let w_ih = weight(b, "weight_ih", &[gates, hidden, inputs]);
    let w_hh = weight(b, "weight_hh", &[gates, hidden, form.state(hidden)]);
    let b_ih = weight(b, "bias_ih", &[gates, hidden]);
    let b_hh = weight(b, "bias_hh", &[gates, hidden]);
    let units = b.shard_group();
    b.shard(w_ih, 1, units);
    b.shard(w_hh, 1, units);
    let projection = form.projection.map(|p| {
        let w = weight(b, "weight_hr", &[1, p, hidden]);
        let outputs = b.shard_group();
        b.shard(w, 1, outputs);
        // Never written, so it stays zero.
        (w, b.f32(Role::State, named("no_bias"), &[1.into(), p.into()]))
    });
    let p = match form.peepholes {
        true => weight(b, "peephole", &[3, hidden]),
        false => b.f32(Role::State, named("no_peepholes"), &[1.into(), hidden.into()]),
    };
    let rows = |b: &mut Builder, name: &str, shape: &[usize]| {
        let shape: Vec<Dim> = std::iter::once(Dim::ROWS).chain(shape.iter().map(|&n| n.into())).collect();
        b.f32(Role::Scratch, named(name), &shape)
    };
    let x = (index == 0 && !reverse).then(|| rows(b, "step_x", &[inputs]));
    let [gx, u, v] = ["step_gx", "step_u", "step_v"].map(|name| rows(b, name, &[gates, hidden]));
    let [inner, c_next] = ["step_inner", "step_c"].map(|name| rows(b, name, &[hidden]));
    let fresh = rows(b, "step_h", &[form.state(hidden)]);
    let h_shape: Vec<Dim> = [SLOTS.into(), Dim::ROWS].into_iter().chain(state_shape(form, hidden)).collect();
    let h = b.f32(Role::State, named("h"), &h_shape);
    let c = (form.kind == Kind::Lstm).then(|| b.f32(Role::State, named("c"), &[1.into(), Dim::ROWS, hidden.into()]));
    let parts = GeneralLayer { form, reverse, projection, p, x, gx, u, v, inner, c: c_next, fresh };
    Layer { cell: Cell::General(form), hidden, w_ih, w_hh, b_ih, b_hh, h, c, stand_in: None, parts: Some(parts) }
}

/// The last axes of h: `[H]`, or `[1, P]` as a product writes it.
fn state_shape(form: GeneralCell, hidden: usize) -> Vec<Dim> {
    match form.projection {
        Some(p) => vec![1.into(), p.into()],
        None => vec![hidden.into()],
    }
}

/// Declares `[T + 1, B, h]`: the states of a direction over time.
pub(super) fn states_over_time(b: &mut Builder, name: String, form: GeneralCell, hidden: usize) -> TensorId {
    let shape: Vec<Dim> = [Dim::TIME.plus(1), Dim::ROWS].into_iter().chain(state_shape(form, hidden)).collect();
    b.f32(Role::Scratch, name, &shape)
}

/// Scratch of a stack of general cells.
#[derive(Clone, Debug)]
pub(super) struct Joined {
    /// `[T, B, outputs]` for each layer: its directions side by side, zero past a row's end.
    outputs: Vec<TensorId>,
    /// `[B]` u32: the time steps of each row, where rows have unequal lengths.
    lengths: TensorId,
}

/// Declares it; `None` for a stack of plain layers.
pub(super) fn joined(b: &mut Builder, layers: &[Layer]) -> Option<Joined> {
    let first = layers.first().and_then(|layer| layer.parts)?;
    let width = first.form.outputs(layers[0].hidden);
    let outputs = (0..layers.len() / first.form.directions())
        .map(|i| b.f32(Role::Scratch, format!("joined_l{i}"), &[Dim::TIME, Dim::ROWS, width.into()]))
        .collect();
    Some(Joined { outputs, lengths: b.u32(Role::Io, "lengths", &[Dim::ROWS]) })
}

/// A stack over T steps, as [`super::rnn_stack`]. With `ragged`, rows end at their `lengths`: their states stand still
/// from there on, and their outputs are zero.
pub(super) fn over_time(
    b: &mut Builder,
    layers: &[Layer],
    scratch: &StackScratch,
    joined: &Joined,
    x: Rows,
    ragged: bool,
) -> Rows {
    let directions = layers[0].parts.map_or(1, |parts| parts.form.directions());
    let window = Dim::TIME * Dim::ROWS;
    let mut x = x;
    let levels = layers.chunks(directions).zip(scratch.layers.chunks(directions));
    for ((level, over_time), &output) in levels.zip(&joined.outputs) {
        let mut column = 0;
        for (layer, &OverTime { gates: gx, states, .. }) in level.iter().zip(over_time) {
            let parts = layer.parts.expect("a stack of forms");
            let product = matmul::Matmul { x: x.tensor, w: layer.w_ih, bias: layer.b_ih, y: gx };
            matmul::record(b, product, window, x.first, 0);
            let (begin, end, first) = match parts.reverse {
                false => (Affine::from(0), window.into(), Affine::from(Dim::ROWS)),
                true => (window.into(), Affine::from(0), Affine::from(0)),
            };
            copy_rows(b, scratch.order, layer.h, states, [read_slot(), begin]);
            let direction = if parts.reverse { Direction::Backward } else { Direction::Forward };
            b.repeat("t", Dim::TIME, direction, |b, t| {
                let rows = [Affine::from(t), Affine::from(t).plus(1)].map(|slot| slot.times(Dim::ROWS));
                let [now, next] = if parts.reverse { [rows[1], rows[0]] } else { rows };
                let at = Step { gx, gx_row: rows[0], h: states, now, next };
                match ragged {
                    true => step_of_some(b, layer, &parts, at, (t, joined.lengths)),
                    false => step(b, layer, &parts, at, layer.c),
                }
            });
            copy_rows(b, scratch.order, states, layer.h, [end, write_slot()]);
            let order = if ragged { RowOrder::UpToEnd } else { RowOrder::Plain };
            let plain = SelectRowsOffsets::plain(parts.form.state(layer.hidden));
            let op = SelectRows { from: states, lengths: joined.lengths, to: output };
            let at = SelectRowsOffsets { from: first, to_column: column, order, ..plain };
            select_rows::record(b, op, [window, Dim::ROWS], at);
            column += plain.width;
        }
        x = Rows { tensor: output, first: 0.into() };
    }
    x
}

/// Where a step reads and writes.
#[derive(Clone, Copy)]
struct Step {
    gx: TensorId,
    gx_row: Affine,
    h: TensorId,
    /// The rows of h before and after the step.
    now: Affine,
    next: Affine,
}

/// One step of all rows.
fn step(b: &mut Builder, layer: &Layer, parts: &GeneralLayer, at: Step, c: Option<TensorId>) {
    let GeneralLayer { form, u, v, inner, .. } = *parts;
    let Step { gx, gx_row, h, now, next } = at;
    let product = matmul::Matmul { x: h, w: layer.w_hh, bias: layer.b_hh, y: u };
    matmul::record(b, product, Dim::ROWS, now, 0);
    match form.kind {
        Kind::Rnn => {
            rnn_gates::record(b, rnn_gates::RnnGates { gx, u, h }, Dim::ROWS, form.cell, gx_row, next);
        }
        Kind::Lstm => {
            let GeneralCell { gate, cell, output, peepholes, .. } = form;
            let functions = lstm_gates::Functions { gate, cell, output, peepholes };
            let (to, h_write) = if parts.projection.is_some() { (inner, 0.into()) } else { (h, next) };
            let op = lstm_gates::LstmGates { gx, u, p: parts.p, c: c.expect("an LSTM has c"), h: to };
            let offsets = lstm_gates::LstmGatesOffsets { gx: gx_row, c: 0.into(), h_write };
            lstm_gates::record(b, op, Dim::ROWS, functions, offsets);
            if let Some((w, bias)) = parts.projection {
                matmul::record(b, matmul::Matmul { x: inner, w, bias, y: h }, Dim::ROWS, 0, next);
            }
        }
        Kind::Gru => {
            if form.reset_before {
                let op = gru_reset::GruReset { gx, u, h, y: inner };
                gru_reset::record(b, op, Dim::ROWS, form.gate, gx_row, now);
                // All three gates' product is taken, though only n's counts: a cell that is rare.
                let product = matmul::Matmul { x: inner, w: layer.w_hh, bias: layer.b_hh, y: v };
                matmul::record(b, product, Dim::ROWS, 0, 0);
            }
            let functions = gru_gates::Functions { gate: form.gate, cell: form.cell, reset_before: form.reset_before };
            let offsets = gru_gates::GruGatesOffsets { gx: gx_row, h_read: now, h_write: next };
            gru_gates::record(b, gru_gates::GruGates { gx, u, v, h }, Dim::ROWS, functions, offsets);
        }
    }
}

/// Step t of the rows that have not ended; the states of the others stand still.
fn step_of_some(b: &mut Builder, layer: &Layer, parts: &GeneralLayer, at: Step, (t, lengths): (Loop, TensorId)) {
    let select = |b: &mut Builder, [from, to]: [TensorId; 2], width, rows: [Affine; 2], order| {
        let plain = SelectRowsOffsets::plain(width);
        let at = SelectRowsOffsets { from: rows[0], to: rows[1], time: t.into(), order, ..plain };
        select_rows::record(b, SelectRows { from, lengths, to }, [Dim::ROWS; 2], at);
    };
    let zero = Affine::from(0);
    let c = layer.c.map(|c| {
        select(b, [c, parts.c], layer.hidden, [zero; 2], RowOrder::Plain);
        parts.c
    });
    step(b, layer, parts, at, c);
    if let Some(c) = layer.c {
        select(b, [parts.c, c], layer.hidden, [zero; 2], RowOrder::Keep(zero));
    }
    let state = parts.form.state(layer.hidden);
    select(b, [at.h, parts.fresh], state, [at.next, zero], RowOrder::Plain);
    select(b, [parts.fresh, at.h], state, [zero, at.next], RowOrder::Keep(at.now));
}

/// One token through a stack of general cells, as [`super::decode_stack`]. Not for two directions.
pub(super) fn decode(b: &mut Builder, layers: &[Layer], table: TensorId, ids: TensorId) -> Rows {
    let mut x = None;
    for layer in layers {
        let parts = layer.parts.expect("a stack of forms");
        assert!(!parts.form.bidirectional, "a layer that reads from the end cannot take one token");
        let from = x.unwrap_or_else(|| {
            let x = parts.x.expect("the first layer has an embedding");
            let op = embed::Embed { ids, table, y: x };
            embed::record(b, op, Dim::ROWS, embed::EmbedOffsets { ids: 0.into(), y: 0.into() });
            Rows { tensor: x, first: 0.into() }
        });
        let product = matmul::Matmul { x: from.tensor, w: layer.w_ih, bias: layer.b_ih, y: parts.gx };
        matmul::record(b, product, Dim::ROWS, from.first, 0);
        let at = Step { gx: parts.gx, gx_row: 0.into(), h: layer.h, now: read_slot(), next: write_slot() };
        step(b, layer, &parts, at, layer.c);
        x = Some(Rows { tensor: layer.h, first: write_slot() });
    }
    x.expect("a stack has a layer")
}

/// A recurrent stack of any form alone, with raw x, h0, c0 and lengths in and y, hn, cn out.
#[derive(Clone, Debug)]
pub struct GeneralStack {
    /// The plan.
    pub plan: Plan,
    /// Section `forward`; step 0 reads slot 0 of each layer's h and writes slot 1.
    pub forward: SectionId,
    /// `[T, B, K]`.
    pub x: TensorId,
    /// `[B]` u32: time steps of each row, if the stack is ragged.
    pub lengths: TensorId,
    /// `[T, B, outputs]`.
    pub y: TensorId,
    /// The layers with their states, the two directions of a layer one after the other.
    pub layers: Vec<Layer>,
}

/// Writes the plan of a recurrent stack of any form. Weights have PyTorch's names without a prefix.
pub fn general_stack(form: GeneralCell, inputs: usize, hidden: usize, count: usize, ragged: bool) -> GeneralStack {
    let b = &mut Builder::new();
    let layers = layers(b, Cell::General(form), "", inputs, hidden, count);
    let x = b.f32(Role::Io, "x", &[Dim::TIME, Dim::ROWS, inputs.into()]);
    let scratch = stack_scratch(b, &layers);
    let joined = scratch.joined.clone().expect("a stack of forms");
    let y = *joined.outputs.last().expect("a stack has a layer");
    let forward = b.section("forward", |b| {
        over_time(b, &layers, &scratch, &joined, Rows { tensor: x, first: 0.into() }, ragged);
    });
    GeneralStack { plan: std::mem::take(b).finish(), forward, x, lengths: joined.lengths, y, layers }
}
