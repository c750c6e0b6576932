//! A layer of one or two directions over rows that end, each at a step of its own, with its backward pass.
//!
//! Rows are padded at their ends. A direction that reads from the end takes each row reversed within its length, so that
//! every direction runs forward through the same steps, and what stands behind a row's end cannot reach it. Outputs
//! are turned back, and zero behind the end; gradients there are zero, so steps give none.

use super::backward::{FinalCells, LayerGradients, initial_state_gradient, layer_backward};
use super::stack::{LayerNames, OverTime, layer_named, steps_over_time};
use super::{Cell, Layer, Rows};
use crate::ops::reset_rows;
use crate::ops::select_rows::{self, RowOrder, SelectRows, SelectRowsOffsets};
use crate::plan::{Affine, Builder, Dim, Role, TensorId};

/// The steps of a window and where its rows end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ends {
    /// `[*]` u32.
    pub lengths: TensorId,
    /// The first row's place there.
    pub first: Affine,
    /// Steps of the window.
    pub time: Dim,
}

impl Ends {
    /// All rows of the window.
    pub fn window(&self) -> Dim {
        self.time * Dim::ROWS
    }

    /// Moves rows and columns; of `at` all but the lengths count.
    pub fn select(&self, b: &mut Builder, [from, to]: [TensorId; 2], rows: Dim, at: SelectRowsOffsets) {
        let op = SelectRows { from, lengths: self.lengths, to };
        select_rows::record(b, op, [rows, Dim::ROWS], SelectRowsOffsets { lengths: self.first, ..at });
    }
}

/// Columns of a tensor, from this one on.
pub(super) type Columns = (TensorId, usize);

/// Gradients of a direction's final states, `[B, *]`.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Finals {
    pub h: Option<Columns>,
    pub c: Option<Columns>,
}

/// One direction.
#[derive(Clone, Copy, Debug)]
pub(super) struct Way {
    pub layer: Layer,
    pub over_time: OverTime,
    reverse: bool,
}

/// A layer of one or two directions.
#[derive(Clone, Debug)]
pub(super) struct Level {
    pub ways: Vec<Way>,
    ends: Ends,
    /// `[T, B, D]`: the directions side by side.
    pub outputs: TensorId,
    /// `[T, B, K]`: the inputs, rows turned round.
    turned: Option<TensorId>,
}

/// What flows in a level's backward pass.
#[derive(Clone, Debug)]
pub(super) struct LevelFlow {
    pub gradients: Vec<LayerGradients>,
    /// `[T, B, K]`: of the turned inputs.
    turned: Option<TensorId>,
}

impl Level {
    /// Declares layer `index`; `ways` says of each direction whether it reads from the end. Weights have PyTorch's names
    /// with `prefix` before them.
    pub fn declare(
        b: &mut Builder,
        cell: Cell,
        prefix: [&str; 2],
        index: usize,
        [inputs, hidden]: [usize; 2],
        (ways, ends): (&[bool], Ends),
    ) -> Level {
        let [weights, states] = prefix;
        let two = ways.len() == 2;
        let way = |b: &mut Builder, reverse: bool| {
            let suffix = &format!("l{index}{}", if reverse && two { "_reverse" } else { "" });
            let layer = layer_named(b, cell, LayerNames { weights, states, suffix }, inputs, hidden);
            let over_time = OverTime::kept(b, &layer, &format!("{states}{suffix}"), ends.time);
            Way { layer, over_time, reverse }
        };
        let all: Vec<Way> = ways.iter().map(|reverse| way(b, *reverse)).collect();
        let rows = |b: &mut Builder, name: &str, width: usize| {
            b.f32(Role::Saved, format!("{states}{name}_l{index}"), &[ends.time, Dim::ROWS, width.into()])
        };
        let outputs = rows(b, "outputs", all.len() * hidden);
        let turned = ways.contains(&true).then(|| rows(b, "turned", inputs));
        Level { ways: all, ends, outputs, turned }
    }

    /// Declares what flows backward; `gradient` gives a weight's gradient.
    pub fn flow(&self, b: &mut Builder, mut gradient: impl FnMut(&mut Builder, TensorId) -> TensorId) -> LevelFlow {
        let of_way = |way: &Way| {
            let Way { layer, over_time, .. } = way;
            let name = b.tensor(over_time.states).name.replacen("states_", "", 1);
            let weights = [layer.w_ih, layer.w_hh, layer.b_ih, layer.b_hh].map(|weight| gradient(b, weight));
            LayerGradients::flow(b, &name, layer, (self.ends.time, 0), weights)
        };
        let gradients = self.ways.iter().map(of_way).collect();
        let d_turned = self.turned.map(|of| {
            let tensor = b.tensor(of).clone();
            b.f32(Role::Scratch, format!("d_{}", tensor.name), &tensor.shape)
        });
        LevelFlow { gradients, turned: d_turned }
    }

    /// States before the first step are zero.
    pub fn begin_at_zero(&self, b: &mut Builder, always: TensorId) {
        for Way { layer, over_time, .. } in &self.ways {
            for states in [Some(over_time.states), over_time.cells(layer)].into_iter().flatten() {
                let at = reset_rows::ResetRowsOffsets { x: 0.into(), flags: 0.into() };
                reset_rows::record(b, states, always, Dim::ROWS, at);
            }
        }
    }

    /// The inputs of a direction.
    fn inputs(&self, way: &Way, x: Rows) -> Rows {
        self.turned.filter(|_| way.reverse).map_or(x, |turned| Rows { tensor: turned, first: 0.into() })
    }

    /// From the inputs `[T * B, K]` and the states before the first step to the outputs.
    pub fn forward(&self, b: &mut Builder, x: Rows) {
        let rows = self.ends.window();
        if let Some(turned) = self.turned {
            let width = self.width(b, turned);
            let at = SelectRowsOffsets { from: x.first, order: RowOrder::Reversed, ..SelectRowsOffsets::plain(width) };
            self.ends.select(b, [x.tensor, turned], rows, at);
        }
        for (i, way) in self.ways.iter().enumerate() {
            let y = steps_over_time(b, &way.layer, &way.over_time, self.inputs(way, x));
            let plain = SelectRowsOffsets::plain(way.layer.hidden);
            let at = SelectRowsOffsets { from: y.first, to_column: i * plain.width, order: order(way), ..plain };
            self.ends.select(b, [y.tensor, self.outputs], rows, at);
        }
    }

    fn width(&self, b: &Builder, tensor: TensorId) -> usize {
        b.tensor(tensor).shape.last().and_then(|width| width.as_fixed()).expect("rows have a width")
    }

    /// Copies the states of direction `way` at the rows' ends to rows of `to`: h, or c where `cells`.
    pub fn copy_final_states(&self, b: &mut Builder, way: usize, cells: bool, (to, column): Columns) {
        let Way { layer, over_time, .. } = &self.ways[way];
        let from = if cells { over_time.cells(layer).expect("an LSTM has cell states") } else { over_time.states };
        let plain = SelectRowsOffsets::plain(layer.hidden);
        let at = SelectRowsOffsets { from: Dim::ROWS.into(), to_column: column, order: RowOrder::Ends, ..plain };
        self.ends.select(b, [from, to], Dim::ROWS, at);
    }

    /// From the gradients of outputs and final states to those of weights, inputs and the states before the first step
    /// (`dh` and `dc` of each direction). `dx` takes those of the inputs, added to what is there if that is said.
    pub fn backward(
        &self,
        b: &mut Builder,
        flow: &LevelFlow,
        (d_outputs, finals): (TensorId, &[Finals]),
        x: Rows,
        (dx, adds): (TensorId, bool),
        always: TensorId,
    ) {
        let rows = self.ends.window();
        for (i, (way, gradients)) in self.ways.iter().zip(&flow.gradients).enumerate() {
            let Way { layer, over_time, reverse } = way;
            let plain = SelectRowsOffsets::plain(layer.hidden);
            let at = SelectRowsOffsets { from_column: i * plain.width, order: order(way), ..plain };
            self.ends.select(b, [d_outputs, gradients.dy], rows, at);
            if let Some((from, column)) = finals[i].h {
                let at = SelectRowsOffsets { from_column: column, order: RowOrder::AtEnd, add: true, ..plain };
                self.ends.select(b, [from, gradients.dy], rows, at);
            }
            gradients.begin_at_zero(b, always);
            let final_c = finals[i].c.zip(gradients.dc).map(|((from, column), to)| FinalCells {
                op: SelectRows { from, lengths: self.ends.lengths, to },
                at: SelectRowsOffsets { from_column: column, lengths: self.ends.first, ..plain },
            });
            let turned = flow.turned.filter(|_| *reverse);
            let to = turned.map_or((dx, adds || i > 0), |turned| (turned, false));
            let inputs = self.inputs(way, x);
            layer_backward(b, layer, (over_time, gradients), always, inputs, Some(to), final_c);
            initial_state_gradient(b, layer, over_time, gradients);
            if let Some(turned) = turned {
                let plain = SelectRowsOffsets::plain(self.width(b, turned));
                let at = SelectRowsOffsets { order: RowOrder::Reversed, add: adds || i > 0, ..plain };
                self.ends.select(b, [turned, dx], rows, at);
            }
        }
    }
}

/// How a direction's outputs come to stand in the order of its rows.
fn order(way: &Way) -> RowOrder {
    if way.reverse { RowOrder::Reversed } else { RowOrder::UpToEnd }
}
