//! The training plan of an encoder-decoder.
//!
//! ```text
//! forward    sources: embed -> layers of one or two directions -> bridge -> first states; keys
//!            targets: embed -> layers -> attention -> readout, T steps of each at once unless a step needs the one before
//! backward   logits, losses and their gradients -> readout, attention, layers -> first states -> bridge -> encoder
//! optimise   as a language model's
//! evaluate   forward without dropout -> losses
//! ```
//! No state outlives a window, and B, T and S may be others in each.

use super::super::backward::{HeadBackward, embedding_backward};
use super::super::head::head_with;
use super::super::level::Ends;
use super::super::optimiser::Optimised;
use super::super::training::{Io, Losses, Pairs, Recipe, Training, slot};
use super::super::{Head, Rows, head};
use super::decoder::Decoder;
use super::encoder::{Bridge, Encoder};
use super::parts::Common;
use super::shape::EncoderDecoder;
use crate::ops::embed_gradient::EmbedGradient;
use crate::plan::{Builder, Dim, Role, TensorId};

/// All parts of a window.
struct Window {
    io: Io,
    /// `[1, V, E]`: of sources and targets, which may be one.
    tables: [TensorId; 2],
    encoder: Encoder,
    bridge: Bridge,
    decoder: Decoder,
    head: Head,
    losses: Losses,
    /// First rows of the slot's ids.
    ids: [Rows; 2],
}

impl Window {
    fn declare(b: &mut Builder, recipe: &Recipe, pairs: &Pairs, model: EncoderDecoder) -> Window {
        let row_order = b.u32(Role::Io, "row_order", &[Dim::ROWS]);
        let io = Io::declare(b, recipe, row_order);
        let sources = io.sources.expect("pairs have sources");
        let ends = Ends { lengths: sources.lengths, first: slot().times(recipe.rows), time: Dim::SOURCE };
        let common = Common { ends, always: io.always, dropout: recipe.dropout, seed: recipe.seed };
        let tables = tables(b, &model);
        let encoder = Encoder::declare(b, &model, common);
        let bridge = Bridge::declare(b, &model, common);
        let decoder = Decoder::declare(b, model, common, encoder.memory());
        let head = if model.tied { head_with(b, tables[1]) } else { head(b, model.decoder.vocab, model.readout()) };
        let losses = Losses::declare(b, recipe, head, io);
        let first = |steps: usize| slot().times(recipe.rows * steps);
        let ids = [(sources.ids, pairs.source), (io.input, recipe.time)]
            .map(|(tensor, steps)| Rows { tensor, first: first(steps) });
        Window { io, tables, encoder, bridge, decoder, head, losses, ids }
    }

    /// All weights, in the order of a model file.
    fn weights(&self, model: &EncoderDecoder) -> Vec<TensorId> {
        let own_table = (!model.coupling.share_embeddings).then_some(self.tables[0]);
        let mut weights: Vec<TensorId> = own_table.into_iter().chain(self.encoder.weights()).collect();
        weights.extend(self.bridge.weights());
        weights.extend(self.decoder.attention.iter().flat_map(|attention| attention.parameters()));
        weights.push(self.tables[1]);
        let layers = self.decoder.layers.iter();
        weights.extend(layers.flat_map(|(layer, _)| [layer.w_ih, layer.w_hh, layer.b_ih, layer.b_hh]));
        weights.extend(self.decoder.readout.iter().flat_map(|readout| readout.weights()));
        weights.extend((!model.tied).then_some(self.head.weight));
        weights.push(self.head.bias);
        weights
    }

    fn forward(&self, b: &mut Builder, training: bool) {
        let [source, target] = self.ids;
        self.encoder.forward(b, (source, self.tables[0]), training);
        self.bridge.forward(b, &self.encoder, &self.decoder.first_states());
        self.decoder.forward(b, (target, self.tables[1]), training);
    }
}

/// Embeddings of sources and targets, `[1, V, E]`.
pub(super) fn tables(b: &mut Builder, model: &EncoderDecoder) -> [TensorId; 2] {
    let table = |b: &mut Builder, name: &str, vocab: usize, width: usize| {
        let table = b.f32(Role::Weight, format!("{name}.embedding.weight"), &[1.into(), vocab.into(), width.into()]);
        let group = b.shard_group();
        b.shard(table, 1, group);
        table
    };
    let (source, target) = (model.coupling.encoder.shape, model.decoder);
    let of_targets = table(b, "decoder", target.vocab, target.embedding);
    let of_sources = match model.coupling.share_embeddings {
        true => of_targets,
        false => table(b, "encoder", source.vocab, source.embedding),
    };
    [of_sources, of_targets]
}

/// Writes the plan of a training run.
pub(in super::super) fn training(recipe: Recipe, pairs: Pairs) -> Training {
    let model = EncoderDecoder { decoder: recipe.shape, tied: recipe.tied, coupling: pairs.coupling };
    assert_eq!(model.check(), Ok(()), "an encoder-decoder's options go together");
    let b = &mut Builder::new();
    let parts = Window::declare(b, &recipe, &pairs, model);
    let Window { io, tables, encoder, bridge, decoder, head, losses, ids } = &parts;
    let optimised = Optimised::declare(b, recipe.optimizer, &parts.weights(&model));
    let gradient = |weight: TensorId| optimised.gradient(weight);
    let of_encoder = encoder.flow(b, &gradient);
    let of_bridge = bridge.flow(b);
    let of_decoder = decoder.flow(b, &gradient);
    let d_memory = of_encoder.d_memory();

    let forward = b.section("forward", |b| parts.forward(b, true));
    let backward = b.section("backward", |b| {
        let dy = Rows { tensor: of_decoder.d_y, first: Dim::ROWS.into() };
        let to = HeadBackward { weight: gradient(head.weight), bias: gradient(head.bias), dy };
        losses.record(b, decoder.outputs(), Some(&to));
        let d_targets = decoder.backward(b, &of_decoder, d_memory, &gradient);
        let finals = bridge.backward(b, &of_bridge, &of_decoder.layers, (encoder, d_memory), &gradient);
        encoder.backward(b, &of_encoder, &finals);
        let sources = io.sources.expect("pairs have sources");
        let embeddings = |b: &mut Builder, side: usize, order, dx, rows, adds| {
            let op = EmbedGradient { ids: ids[side].tensor, order, dx, dtable: gradient(tables[side]) };
            embedding_backward(b, op, rows, ids[side].first, adds);
        };
        embeddings(b, 1, io.order, d_targets, Dim::TIME * Dim::ROWS, model.tied);
        let shared = model.coupling.share_embeddings;
        embeddings(b, 0, sources.order, of_encoder.d_x, Dim::SOURCE * Dim::ROWS, shared);
    });
    let optimise = b.section("optimise", |b| optimised.optimise(b, recipe.clip, slot(), io));
    let evaluate = b.section("evaluate", |b| {
        parts.forward(b, false);
        losses.record(b, decoder.outputs(), None);
    });
    let io = *io;
    let parameters = optimised.parameters;
    let plan = std::mem::take(b).finish();
    Training { plan, recipe, io, parameters, layers: vec![], evaluated: vec![], forward, backward, optimise, evaluate }
}
