//! The decoder over a window of targets, forward and backward: all steps of a part at once, or step by step where a step
//! needs what the one before found.

use super::super::backward::{
    LayerGradients, initial_state_gradient, input_gradient, record_step_backward, weight_gradients, zeros_behind,
};
use super::super::stack::{LayerNames, OverTime, input_products, layer_named, record_step};
use super::super::{Layer, Rows};
use super::attending::{Attending, AttendingFlow, Place};
use super::parts::{Common, Dense, Span, gradient_of, width};
use super::shape::{EncoderDecoder, Feed, Query, ReadoutInput};
use crate::ops::activation::Activation;
use crate::ops::select_rows::SelectRowsOffsets;
use crate::ops::{activate, embed};
use crate::plan::{Builder, Dim, Direction, Role, TensorId};

/// Dropout behind embeddings and readout; behind each layer but the last its number.
const SITE: u32 = 32;

/// The decoder.
pub(super) struct Decoder {
    model: EncoderDecoder,
    common: Common,
    /// `[T, B, E]`: embeddings, and what dropout leaves of them.
    x: TensorId,
    x_left: TensorId,
    /// `[T, B, E + *]`: embeddings and what is fed behind them.
    input: Option<TensorId>,
    pub layers: Vec<(Layer, OverTime)>,
    /// `[T + 1, B, H]`: what dropout leaves of the outputs of all layers but the last.
    left: Vec<TensorId>,
    pub attention: Option<Attending>,
    /// `[T + 1, B, W]`: the readout's inputs side by side.
    parts: TensorId,
    pub readout: Option<Dense>,
    /// `[T + 1, B, F]`: what the output layer reads.
    y: TensorId,
}

/// What flows backward through it.
pub(super) struct DecoderFlow {
    d_x: TensorId,
    d_x_left: TensorId,
    d_input: Option<TensorId>,
    pub layers: Vec<LayerGradients>,
    d_left: Vec<TensorId>,
    attention: Option<AttendingFlow>,
    d_parts: TensorId,
    /// `[T + 1, B, 1, F]`: of the readout before dropout.
    d_readout: TensorId,
    /// `[T + 1, B, F]`: of what the output layer reads.
    pub d_y: TensorId,
}

impl Decoder {
    pub fn declare(b: &mut Builder, model: EncoderDecoder, common: Common, memory: TensorId) -> Decoder {
        let super::super::Shape { cell, embedding, hidden, layers, .. } = model.decoder;
        let (time, later) = ([Dim::TIME, Dim::ROWS], [Dim::TIME.plus(1), Dim::ROWS]);
        let rows = |b: &mut Builder, name: &str, of: [Dim; 2], width: usize| {
            b.f32(Role::Saved, name, &[of[0], of[1], width.into()])
        };
        let weights = Dim::TIME * common.ends.window();
        let places = [common.ends.time, Dim::ROWS];
        let attention = Attending::declare(b, &model, memory, [&time, &places], weights);
        let x = rows(b, "x", time, embedding);
        let x_left = common.left_of(b, x, Role::Saved);
        let inputs = model.decoder_inputs();
        let input = (inputs > embedding).then(|| rows(b, "input_rows", time, inputs));
        let layers: Vec<(Layer, OverTime)> = (0..layers)
            .map(|i| {
                let suffix = &format!("l{i}");
                let names = LayerNames { weights: "decoder.rnn.", states: "", suffix };
                let layer = layer_named(b, cell, names, if i == 0 { inputs } else { hidden }, hidden);
                (layer, OverTime::kept(b, &layer, suffix, Dim::TIME))
            })
            .collect();
        let below = &layers[..layers.len() - 1];
        let left = below.iter().map(|(_, over_time)| common.left_of(b, over_time.states, Role::Saved)).collect();
        let parts = rows(b, "readout_inputs", later, model.readout_inputs());
        let sizes = |size| [size, model.readout_inputs()];
        let readout = model.coupling.readout.layer;
        let readout =
            readout.map(|(size, f)| Dense::declare(b, "readout", sizes(size), (&later, Role::Saved), true, f));
        let y = readout.map_or(parts, |readout| common.left_of(b, readout.y, Role::Saved));
        Decoder { model, common, x, x_left, input, layers, left, attention, parts, readout, y }
    }

    /// What the output layer reads, `[T * B, F]`.
    pub fn outputs(&self) -> Rows {
        Rows { tensor: self.y, first: Dim::ROWS.into() }
    }

    fn column(&self, part: ReadoutInput) -> usize {
        self.model.part_column(part)
    }

    /// First states: h, and an LSTM's c.
    pub fn first_states(&self) -> Vec<(TensorId, Option<TensorId>)> {
        self.layers.iter().map(|(layer, over_time)| (over_time.states, over_time.cells(layer))).collect()
    }

    /// Where contexts stand: among the readout's inputs, else behind the embeddings.
    fn context(&self, parts: TensorId, input: Option<TensorId>) -> Place {
        match self.model.coupling.readout.reads(ReadoutInput::Context) {
            true => (parts, 1, self.column(ReadoutInput::Context)),
            false => (input.expect("somebody reads the context"), 0, self.model.decoder.embedding),
        }
    }

    /// Where queries stand, given the last layer's states and the embeddings; likewise of their gradients.
    fn query(&self, query: Query, states: TensorId, x: TensorId) -> Place {
        match query {
            Query::State => (states, 1, 0),
            Query::PreviousState => (states, 0, 0),
            Query::Embedding => (x, 0, 0),
        }
    }

    fn queries(&self, attention: &Attending) -> Place {
        self.query(attention.query, self.last().1.states, self.x_left)
    }

    fn last(&self) -> &(Layer, OverTime) {
        self.layers.last().expect("a decoder has a layer")
    }

    /// The inputs of a layer, and their blocks before the first step's.
    fn inputs(&self, layer: usize) -> (TensorId, usize) {
        layer.checked_sub(1).map_or((self.input.unwrap_or(self.x_left), 0), |below| (self.left[below], 1))
    }

    fn copy(&self, b: &mut Builder, tensors: [TensorId; 2], rows: Dim, at: SelectRowsOffsets) {
        self.common.ends.select(b, tensors, rows, at);
    }

    /// From ids and first states to what the output layer reads.
    pub fn forward(&self, b: &mut Builder, (ids, table): (Rows, TensorId), training: bool) {
        let all = Span::all();
        let op = embed::Embed { ids: ids.tensor, table, y: self.x };
        embed::record(b, op, all.rows, embed::EmbedOffsets { ids: ids.first, y: 0.into() });
        let f = self.model.coupling.embedding_activation;
        if f != Activation::Linear {
            activate::record(b, [self.parts, self.x], all.rows, f, 0.into(), activate::Way::Forward);
        }
        self.common.drop(b, [self.x, self.x_left], all.rows, 0.into(), (SITE, training));
        let plain = SelectRowsOffsets::plain(self.model.decoder.embedding);
        if let Some(input) = self.input {
            self.copy(b, [self.x_left, input], all.rows, plain);
        }
        if self.model.coupling.readout.reads(ReadoutInput::Embedding) {
            let to_column = self.column(ReadoutInput::Embedding);
            let at = SelectRowsOffsets { to: all.row(1), to_column, ..plain };
            self.copy(b, [self.x_left, self.parts], all.rows, at);
        }
        if let Some(attention) = &self.attention {
            attention.keys(b, attention.memory, self.common.ends.window());
        }
        if !self.model.is_sequential() {
            return self.steps(b, all, training);
        }
        self.common.zero(b, self.y);
        b.repeat("target", Dim::TIME, Direction::Forward, |b, t| self.steps(b, Span::step(t), training));
    }

    fn attend(&self, b: &mut Builder, span: Span, attention: &Attending) {
        let context = self.context(self.parts, self.input);
        attention.forward(b, (&self.common, span), self.queries(attention), context);
    }

    fn steps(&self, b: &mut Builder, span: Span, training: bool) {
        let (before, after): (Vec<_>, Vec<_>) = self.attention.iter().partition(|a| a.query != Query::State);
        before.iter().for_each(|attention| self.attend(b, span, attention));
        if let Some((from, input)) = self.fed(self.parts, self.y).zip(self.input) {
            let plain = SelectRowsOffsets::plain(self.model.decoder_inputs() - self.model.decoder.embedding);
            let to_column = self.model.decoder.embedding;
            let at =
                SelectRowsOffsets { from: span.row(from.1), from_column: from.2, to: span.row(0), to_column, ..plain };
            self.copy(b, [from.0, input], span.rows, at);
        }
        for (i, (layer, over_time)) in self.layers.iter().enumerate() {
            let (x, block) = self.inputs(i);
            input_products(b, layer, over_time, Rows { tensor: x, first: span.row(block) }, span.rows, span.row(0));
            match span.alone {
                true => record_step(b, layer, over_time, span.time()),
                false => {
                    b.repeat("t", Dim::TIME, Direction::Forward, |b, t| record_step(b, layer, over_time, t.into()))
                }
            }
            if let Some(left) = self.left.get(i) {
                self.common.drop(b, [over_time.states, *left], span.rows, span.row(1), (i as u32, training));
            }
        }
        after.iter().for_each(|attention| self.attend(b, span, attention));
        let plain = SelectRowsOffsets::plain(self.model.decoder.hidden);
        let at = SelectRowsOffsets {
            from: span.row(1),
            to: span.row(1),
            to_column: self.column(ReadoutInput::State),
            ..plain
        };
        self.copy(b, [self.last().1.states, self.parts], span.rows, at);
        if let Some(readout) = &self.readout {
            readout.forward(b, self.parts, span.rows, [span.row(1); 2]);
            self.common.drop(b, [readout.y, self.y], span.rows, span.row(1), (SITE + 1, training));
        }
    }

    /// What is fed behind the embeddings, where it does not stand there already.
    fn fed(&self, parts: TensorId, y: TensorId) -> Option<Place> {
        match self.model.coupling.feed {
            Feed::None => None,
            Feed::Context => Some(self.context(parts, self.input)).filter(|(tensor, ..)| *tensor == parts),
            Feed::Readout => Some((y, 0, 0)),
        }
    }

    pub fn flow(&self, b: &mut Builder, gradient: &dyn Fn(TensorId) -> TensorId) -> DecoderFlow {
        let d_x = gradient_of(b, self.x);
        let d_x_left = self.common.left_of(b, d_x, Role::Scratch);
        let d_input = self.input.map(|input| gradient_of(b, input));
        let of_layer = |(i, (layer, _)): (usize, &(Layer, OverTime))| {
            let weights = [layer.w_ih, layer.w_hh, layer.b_ih, layer.b_hh].map(gradient);
            LayerGradients::flow(b, &format!("l{i}"), layer, (Dim::TIME, 1), weights)
        };
        let layers: Vec<LayerGradients> = self.layers.iter().enumerate().map(of_layer).collect();
        let below = &layers[..layers.len() - 1];
        let d_left = below.iter().map(|of| self.common.left_of(b, of.dy, Role::Scratch)).collect();
        let attention = self.attention.map(|attention| {
            let query = width(b, self.queries(&attention).0);
            attention.flow(b, query)
        });
        let d_parts = gradient_of(b, self.parts);
        let d_readout = self.readout.map_or(d_parts, |readout| gradient_of(b, readout.y));
        let d_y = self.readout.map_or(d_parts, |_| self.common.left_of(b, d_readout, Role::Scratch));
        DecoderFlow { d_x, d_x_left, d_input, layers, d_left, attention, d_parts, d_readout, d_y }
    }

    /// From the gradients of what the output layer reads to those of weights, embeddings (which it gives), memory and
    /// first states.
    pub fn backward(
        &self,
        b: &mut Builder,
        flow: &DecoderFlow,
        d_memory: TensorId,
        gradient: &dyn Fn(TensorId) -> TensorId,
    ) -> TensorId {
        let all = Span::all();
        let query = self.attention.map(|attention| attention.query);
        for ((layer, over_time), of) in self.layers.iter().zip(&flow.layers) {
            of.begin_at_zero(b, self.common.always);
            zeros_behind(b, layer, over_time, self.common.always);
        }
        let last = flow.layers.last().expect("a decoder has a layer");
        if query == Some(Query::PreviousState) {
            self.common.zero_blocks(b, last.dy, Dim::TIME.plus(1));
        }
        match self.model.is_sequential() {
            false => self.steps_backward(b, flow, all),
            true => b.repeat("target", Dim::TIME, Direction::Backward, |b, t| {
                self.steps_backward(b, flow, Span::step(t));
            }),
        }
        for (i, ((layer, over_time), of)) in self.layers.iter().zip(&flow.layers).enumerate() {
            let (x, block) = self.inputs(i);
            weight_gradients(b, layer, over_time, of, Rows { tensor: x, first: all.row(block) });
            initial_state_gradient(b, layer, over_time, of);
        }
        if query == Some(Query::PreviousState) {
            let plain = SelectRowsOffsets::plain(self.model.decoder.hidden);
            self.copy(b, [last.dy, last.dh], Dim::ROWS, SelectRowsOffsets { add: true, ..plain });
        }
        if let Some(readout) = &self.readout {
            readout.weight_gradients(b, [flow.d_readout, self.parts], all.rows, [all.row(1); 2], gradient);
        }
        match (&self.attention, &flow.attention) {
            (Some(attention), Some(of)) => {
                let places = [self.queries(attention), self.context(flow.d_parts, flow.d_input)];
                attention.backward_of_memory(b, &self.common, of, (places, d_memory), gradient);
            }
            _ => self.common.zero_blocks(b, d_memory, self.common.ends.time),
        }
        let plain = SelectRowsOffsets::plain(self.model.decoder.embedding);
        if self.model.coupling.readout.reads(ReadoutInput::Embedding) {
            let from_column = self.column(ReadoutInput::Embedding);
            let at = SelectRowsOffsets { from: all.row(1), from_column, add: true, ..plain };
            self.copy(b, [flow.d_parts, flow.d_x_left], all.rows, at);
        }
        self.common.drop(b, [flow.d_x_left, flow.d_x], all.rows, 0.into(), (SITE, true));
        let f = self.model.coupling.embedding_activation;
        if f != Activation::Linear {
            activate::record(b, [self.x, flow.d_x], all.rows, f, 0.into(), activate::Way::Backward(0.into()));
        }
        flow.d_x
    }

    fn steps_backward(&self, b: &mut Builder, flow: &DecoderFlow, span: Span) {
        let embedding = self.model.decoder.embedding;
        if let Some(readout) = &self.readout {
            self.common.drop(b, [flow.d_y, flow.d_readout], span.rows, span.row(1), (SITE + 1, true));
            readout.backward(b, [flow.d_readout, flow.d_parts], span.rows, [span.row(1); 2], false);
        }
        // Attention comes last where its gradient hangs on that of the layers' inputs, or is added to it.
        let is_late = |(a, _): &(&Attending, &AttendingFlow)| {
            self.model.coupling.feed == Feed::Context || a.query == Query::Embedding
        };
        let (late, early): (Vec<_>, Vec<_>) = self.attention.iter().zip(&flow.attention).partition(is_late);
        let last = flow.layers.last().expect("a decoder has a layer");
        let attend = |b: &mut Builder, (attention, of): &(&Attending, &AttendingFlow)| {
            let d_query = self.query(attention.query, last.dy, flow.d_x_left);
            let places = [self.queries(attention), d_query, self.context(flow.d_parts, flow.d_input)];
            attention.backward(b, (&self.common, span), of, places);
        };
        let at = SelectRowsOffsets {
            from: span.row(1),
            from_column: self.column(ReadoutInput::State),
            to: span.row(1),
            // Steps behind have asked for this state already.
            add: self.attention.is_some_and(|attention| attention.query == Query::PreviousState),
            ..SelectRowsOffsets::plain(self.model.decoder.hidden)
        };
        self.copy(b, [flow.d_parts, last.dy], span.rows, at);
        early.iter().for_each(|of| attend(b, of));
        self.layers_backward(b, flow, span);
        if let Some(d_input) = flow.d_input {
            let at = SelectRowsOffsets { from: span.row(0), to: span.row(0), ..SelectRowsOffsets::plain(embedding) };
            self.copy(b, [d_input, flow.d_x_left], span.rows, at);
            if let Some((to, block, to_column)) = self.fed(flow.d_parts, flow.d_y) {
                let plain = SelectRowsOffsets::plain(self.model.decoder_inputs() - embedding);
                let at = SelectRowsOffsets { from_column: embedding, to_column, add: true, ..plain };
                let at = SelectRowsOffsets { from: span.row(0), to: span.row(block), ..at };
                self.copy(b, [d_input, to], span.rows, at);
            }
        }
        late.iter().for_each(|of| attend(b, of));
    }

    fn layers_backward(&self, b: &mut Builder, flow: &DecoderFlow, span: Span) {
        for (i, ((layer, over_time), of)) in self.layers.iter().zip(&flow.layers).enumerate().rev() {
            if let Some(d_left) = flow.d_left.get(i) {
                self.common.drop(b, [*d_left, of.dy], span.rows, span.row(1), (i as u32, true));
            }
            match span.alone {
                true => record_step_backward(b, layer, over_time, of, span.time()),
                false => b.repeat("t", Dim::TIME, Direction::Backward, |b, t| {
                    record_step_backward(b, layer, over_time, of, t.into());
                }),
            }
            let (to, block) = match i.checked_sub(1) {
                None => (flow.d_input.unwrap_or(flow.d_x_left), 0),
                Some(below) => (flow.d_left[below], 1),
            };
            let to = Rows { tensor: to, first: span.row(block) };
            input_gradient(b, layer, over_time, (span.rows, span.row(0)), to, false);
        }
    }
}
