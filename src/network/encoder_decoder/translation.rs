//! The plan that draws targets: sources are read on the side into places of a memory, rows attend to them until they end.

use super::super::admission::{States, admission, place};
use super::super::decoding::{Capacity, Decoding, DrawnRows, SourceMemory};
use super::super::level::Ends;
use super::super::stack::{LayerNames, layer_named, read_slot, write_slot};
use super::super::{Head, Layer, Rows, head};
use super::attending::Attending;
use super::encoder::{Bridge, Encoder};
use super::parts::{Common, Dense, width};
use super::shape::{EncoderDecoder, Feed, Query, ReadoutInput};
use crate::ops::activation::Activation;
use crate::ops::attention::AttentionOffsets;
use crate::ops::decode::{self, Input};
use crate::ops::place_rows::Indexed;
use crate::ops::select_rows::SelectRowsOffsets;
use crate::ops::{activate, embed};
use crate::plan::{Affine, Builder, Dim, Direction, Plan, Role, TensorId};

/// A plan that draws targets of sources.
#[derive(Clone, Debug)]
pub struct Translation {
    /// The plan.
    pub plan: Plan,
    /// The model.
    pub model: EncoderDecoder,
    /// What a generator runs: `prefill` reads whole sources.
    pub decoding: Decoding,
}

/// Places of the memory for each row: one that it attends to, and one for the source that is read meanwhile.
const PLACES: usize = 2;

/// Writes the plan for B `rows`, sources of up to so many tokens, and, if it is wanted, their attention.
pub fn translation(model: EncoderDecoder, capacity: Capacity, rows: usize, source: (usize, bool)) -> Translation {
    assert_eq!(model.check(), Ok(()), "an encoder-decoder's options go together");
    let (longest, wants_attention) = source;
    let b = &mut Builder::new();
    let input = b.u32(Role::Io, "source", &[Dim::SOURCE, Dim::ROWS]);
    let lengths = b.u32(Role::Io, "lengths", &[Dim::ROWS]);
    let always = b.u32(Role::Io, "always", &[Dim::ROWS * 4.into()]);
    let ends = Ends { lengths, first: 0.into(), time: Dim::SOURCE };
    let common = Common { ends, always, dropout: 0.0, seed: 0 };
    let table = |b: &mut Builder, name: &str, shape: super::super::Shape| {
        let table =
            b.f32(Role::Weight, format!("{name}.embedding.weight"), &[shape.vocab.into(), shape.embedding.into()]);
        let group = b.shard_group();
        b.shard(table, 0, group);
        table
    };
    let of_sources = table(b, "encoder", model.coupling.encoder.shape);
    let of_targets = table(b, "decoder", model.decoder);
    let encoder = Encoder::declare(b, &model, common);
    let bridge = Bridge::declare(b, &model, common);
    let head = head(b, model.decoder.vocab, model.readout());
    let drawn = DrawnRows::declare(b, &head, capacity);
    let places = PLACES * rows;
    let kept = if wants_attention { capacity.ring } else { 1 };
    let step = Step::declare(b, model, common, (longest, places, kept), of_targets);

    let states = step.states();
    let sizes = (capacity.queue, model.decoder.vocab, places.into());
    let admission = admission(b, &states, &drawn, sizes, |b, saved| {
        let ids = Rows { tensor: input, first: 0.into() };
        encoder.forward(b, (ids, of_sources), false);
        bridge.forward(b, &encoder, &step.first);
        let first = step.first.iter().flat_map(|(h, c)| [Some(*h), *c]).flatten();
        for (state, to) in first.zip(saved.tensors) {
            place(b, state, saved.to, *to, Indexed::Scatter { from: 0.into(), to: 0.into() });
        }
        step.read_memory(b, encoder.memory(), saved.to);
    });
    let (section, filtered) = drawn.sections(b, |b| step.read_token(b, &head, &drawn, wants_attention));
    let attention = step.attention.map(|attention| attention.weights).filter(|_| wants_attention);
    let vocab = model.coupling.encoder.shape.vocab;
    let decoding = Decoding {
        vocab: model.decoder.vocab,
        input,
        rows: drawn,
        admission,
        step: section,
        step_filtered: filtered,
        sources: Some(SourceMemory { longest, places, vocab, lengths, always, attention }),
    };
    Translation { plan: std::mem::take(b).finish(), model, decoding }
}

/// A step of the decoder.
struct Step {
    model: EncoderDecoder,
    common: Common,
    longest: usize,
    places: usize,
    table: TensorId,
    layers: Vec<Layer>,
    /// `[B, H]`: the states that a source gives, h and an LSTM's c of each layer.
    first: Vec<(TensorId, Option<TensorId>)>,
    /// To places `[S, P, *]` of memory and keys.
    attention: Option<Attending>,
    /// `[B, E]`: embeddings, where they are more than the first layer's input.
    x: Option<TensorId>,
    /// `[B, E + *]`: embeddings and what is fed behind them.
    input: Option<TensorId>,
    /// `[B, W]`.
    parts: TensorId,
    readout: Option<Dense>,
}

impl Step {
    fn declare(
        b: &mut Builder,
        model: EncoderDecoder,
        common: Common,
        (longest, places, kept): (usize, usize, usize),
        table: TensorId,
    ) -> Step {
        let super::super::Shape { cell, embedding, hidden, layers, .. } = model.decoder;
        let (inputs, coupling) = (model.decoder_inputs(), model.coupling);
        let layer = |b: &mut Builder, i: usize| {
            let names = LayerNames { weights: "decoder.rnn.", states: "", suffix: &format!("l{i}") };
            layer_named(b, cell, names, if i == 0 { inputs } else { hidden }, hidden)
        };
        let layers: Vec<Layer> = (0..layers).map(|i| layer(b, i)).collect();
        let rows = |b: &mut Builder, role, name: &str, width: usize| b.f32(role, name, &[Dim::ROWS, width.into()]);
        let first = (layers.iter().enumerate())
            .map(|(i, layer)| {
                let h = rows(b, Role::Scratch, &format!("first_h_l{i}"), hidden);
                (h, layer.c.map(|_| rows(b, Role::Scratch, &format!("first_c_l{i}"), hidden)))
            })
            .collect();
        let at_places = |b: &mut Builder, name: &str, width: usize| {
            b.f32(Role::State, name, &[longest.into(), places.into(), width.into()])
        };
        let attention = coupling.attention.map(|options| {
            let memory = at_places(b, "memory_places", coupling.encoder.outputs());
            let (queries, lane) = ([Dim::ROWS], [Dim::SOURCE, Dim::ROWS]);
            let weights = Dim::ROWS * (kept * longest).into();
            let declared = Attending::declare(b, &model, memory, [&queries, &lane], weights).expect("it has attention");
            let keys = declared.product_and_keys().map(|_| at_places(b, "key_places", options.size));
            declared.with_keys(keys)
        });
        let by_query = coupling.attention.is_some_and(|options| options.query == Query::Embedding);
        let reads_embedding = coupling.readout.reads(ReadoutInput::Embedding) || by_query;
        let gathers = inputs == embedding && coupling.embedding_activation == Activation::Linear && !reads_embedding;
        let x = (!gathers).then(|| rows(b, Role::Scratch, "step_x", embedding));
        let input = (inputs > embedding).then(|| rows(b, Role::Scratch, "step_input", inputs));
        let fed = if coupling.feed == Feed::Readout { Role::State } else { Role::Scratch };
        let parts = rows(b, fed, "readout_inputs", model.readout_inputs());
        let sizes = |size| [size, model.readout_inputs()];
        let readout = coupling
            .readout
            .layer
            .map(|(size, f)| Dense::declare(b, "readout", sizes(size), (&[Dim::ROWS], fed), true, f));
        Step { model, common, longest, places, table, layers, first, attention, x, input, parts, readout }
    }

    /// What the output layer reads.
    fn y(&self) -> TensorId {
        self.readout.map_or(self.parts, |readout| readout.y)
    }

    /// What a row begins with, in the order of `first`; and the readout that is fed, which no source gives: it is zero.
    fn states(&self) -> States {
        let fed = (self.model.coupling.feed == Feed::Readout).then(|| (self.y(), 0.into()));
        super::super::admission::states(&self.layers, read_slot()).into_iter().chain(fed).collect()
    }

    /// Puts memory and keys of sources at their places.
    fn read_memory(&self, b: &mut Builder, memory: TensorId, to: TensorId) {
        let Some(attention) = &self.attention else { return };
        attention.keys(b, memory, self.common.ends.window());
        b.repeat("s", Dim::SOURCE, Direction::Forward, |b, s| {
            let rows = Affine::from(s);
            let by = Indexed::Scatter { from: rows.times(Dim::ROWS), to: rows.times(self.places) };
            place(b, memory, to, attention.memory, by);
            if let Some((product, keys)) = attention.product_and_keys() {
                place(b, product, to, keys, by);
            }
        });
    }

    fn copy(&self, b: &mut Builder, tensors: [TensorId; 2], at: SelectRowsOffsets) {
        self.common.ends.select(b, tensors, Dim::ROWS, at);
    }

    /// Where the context stands, and its first column.
    fn context(&self) -> (TensorId, usize) {
        match self.model.coupling.readout.reads(ReadoutInput::Context) {
            true => (self.parts, self.model.part_column(ReadoutInput::Context)),
            false => (self.input.expect("somebody reads the context"), self.model.decoder.embedding),
        }
    }

    fn attend(&self, b: &mut Builder, attention: &Attending, drawn: &DrawnRows, kept: bool) {
        let last = self.layers.last().expect("a decoder has a layer").h;
        let query = match attention.query {
            Query::State => Rows { tensor: last, first: write_slot() },
            Query::PreviousState => Rows { tensor: last, first: read_slot() },
            Query::Embedding => Rows { tensor: self.x.expect("the query is an embedding"), first: 0.into() },
        };
        let compared = attention.product(b, Dim::ROWS, query, 0.into());
        let row = if kept { drawn.slot().times(Dim::ROWS) } else { 0.into() };
        let (context, column) = self.context();
        let at = attention.offsets(&self.common, [Dim::ROWS; 2], [compared.first, row], (0.into(), column));
        let (source, stride) = (self.longest.into(), self.places.into());
        let at = AttentionOffsets { source, stride, lengths_row: 0.into(), table: true, ..at };
        attention.record(b, compared.tensor, (drawn.table, context), at);
    }

    /// From each row's token to its logits.
    fn read_token(&self, b: &mut Builder, head: &Head, drawn: &DrawnRows, kept: bool) {
        let (coupling, embedding) = (self.model.coupling, self.model.decoder.embedding);
        let (before, after): (Vec<_>, Vec<_>) = self.attention.iter().partition(|a| a.query != Query::State);
        if let Some(x) = self.x {
            self.embed(b, x, drawn.tokens);
        }
        before.iter().for_each(|attention| self.attend(b, attention, drawn, kept));
        if let Some((x, input)) = self.x.zip(self.input) {
            self.copy(b, [x, input], SelectRowsOffsets::plain(embedding));
            let fed = match coupling.feed {
                Feed::Context => Some(self.context()).filter(|(tensor, _)| *tensor == self.parts),
                _ => Some((self.y(), 0)),
            };
            if let Some((from, from_column)) = fed {
                let plain = SelectRowsOffsets::plain(width(b, input) - embedding);
                self.copy(b, [from, input], SelectRowsOffsets { from_column, to_column: embedding, ..plain });
            }
        }
        let first = self.input.or(self.x).map_or((self.table, Input::Gather), |x| (x, Input::Rows(0.into())));
        self.layers.iter().fold(first, |(source, x), layer| {
            let Layer { w_ih, w_hh, b_ih, b_hh, h, .. } = *layer;
            let op = decode::Decode { source, ids: drawn.tokens, w_ih, w_hh, b_ih, b_hh, h, extra: layer.extra() };
            let at = decode::DecodeOffsets { x, h_read: read_slot(), h_write: write_slot(), extra: 0.into() };
            decode::record(b, layer.fused(), op, Dim::ROWS, at);
            (h, Input::Rows(write_slot()))
        });
        after.iter().for_each(|attention| self.attend(b, attention, drawn, kept));
        let last = self.layers.last().expect("a decoder has a layer");
        let plain = SelectRowsOffsets::plain(last.hidden);
        let to_column = self.model.part_column(ReadoutInput::State);
        self.copy(b, [last.h, self.parts], SelectRowsOffsets { from: write_slot(), to_column, ..plain });
        if let Some(x) = self.x.filter(|_| coupling.readout.reads(ReadoutInput::Embedding)) {
            let to_column = self.model.part_column(ReadoutInput::Embedding);
            self.copy(b, [x, self.parts], SelectRowsOffsets { to_column, ..SelectRowsOffsets::plain(embedding) });
        }
        if let Some(readout) = &self.readout {
            readout.forward(b, self.parts, Dim::ROWS, [Affine::from(0); 2]);
        }
        head.record(b, Rows { tensor: self.y(), first: 0.into() }, drawn.logits, Dim::ROWS);
    }

    fn embed(&self, b: &mut Builder, x: TensorId, ids: TensorId) {
        let op = embed::Embed { ids, table: self.table, y: x };
        embed::record(b, op, Dim::ROWS, embed::EmbedOffsets { ids: 0.into(), y: 0.into() });
        let f = self.model.coupling.embedding_activation;
        if f != Activation::Linear {
            activate::record(b, [self.parts, x], Dim::ROWS, f, 0.into(), activate::Way::Forward);
        }
    }
}
