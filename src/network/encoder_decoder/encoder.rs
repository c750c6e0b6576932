//! The encoder over a window of sources, and the bridge from it to the decoder's first states; forward and backward.

use super::super::Rows;
use super::super::backward::LayerGradients;
use super::super::level::{Finals, Level, LevelFlow};
use super::parts::{Common, Dense, gradient_of};
use super::shape::{EncoderDecoder, Pool};
use crate::ops::select_rows::SelectRowsOffsets;
use crate::ops::{embed, mean_rows};
use crate::plan::{Affine, Builder, Dim, Role, TensorId};

/// Dropout behind the sources' embeddings, and from the next site on behind each layer but the last.
const SITE: u32 = 64;

/// The encoder.
pub(super) struct Encoder {
    common: Common,
    /// `[S, B, E]`: embeddings, and what dropout leaves of them.
    x: TensorId,
    x_left: TensorId,
    pub levels: Vec<Level>,
    /// What dropout leaves of each level's outputs; of the last all.
    left: Vec<TensorId>,
}

/// What flows backward through it.
pub(super) struct EncoderFlow {
    flows: Vec<LevelFlow>,
    /// `[S, B, *]`: of each level's outputs, what was left of them.
    d_left: Vec<TensorId>,
    d_outputs: Vec<TensorId>,
    d_x_left: TensorId,
    /// `[S, B, E]`: of the embeddings.
    pub d_x: TensorId,
}

impl Encoder {
    pub fn declare(b: &mut Builder, model: &EncoderDecoder, common: Common) -> Encoder {
        let super::Encoder { shape, bidirectional, reverse } = model.coupling.encoder;
        let ways: &[bool] = if bidirectional { &[false, true] } else { &[reverse] };
        let width = model.coupling.encoder.outputs();
        let levels: Vec<Level> = (0..shape.layers)
            .map(|i| {
                let sizes = [if i == 0 { shape.embedding } else { width }, shape.hidden];
                Level::declare(b, shape.cell, ["encoder.rnn.", "encoder."], i, sizes, (ways, common.ends))
            })
            .collect();
        let x = b.f32(Role::Saved, "encoder.x", &[common.ends.time, Dim::ROWS, shape.embedding.into()]);
        let x_left = common.left_of(b, x, Role::Saved);
        let (last, below) = levels.split_last().expect("an encoder has a layer");
        let left = below.iter().map(|level| common.left_of(b, level.outputs, Role::Saved));
        let left = left.collect::<Vec<_>>().into_iter().chain([last.outputs]).collect();
        Encoder { common, x, x_left, levels, left }
    }

    /// `[S, B, D]`: the memory.
    pub fn memory(&self) -> TensorId {
        *self.left.last().expect("an encoder has a layer")
    }

    pub fn weights(&self) -> impl Iterator<Item = TensorId> {
        let layers = self.levels.iter().flat_map(|level| &level.ways).map(|way| &way.layer);
        layers.flat_map(|layer| [layer.w_ih, layer.w_hh, layer.b_ih, layer.b_hh])
    }

    fn inputs(&self, level: usize) -> Rows {
        let tensor = level.checked_sub(1).map_or(self.x_left, |below| self.left[below]);
        Rows { tensor, first: 0.into() }
    }

    pub fn forward(&self, b: &mut Builder, (ids, table): (Rows, TensorId), training: bool) {
        let rows = self.common.ends.window();
        let op = embed::Embed { ids: ids.tensor, table, y: self.x };
        embed::record(b, op, rows, embed::EmbedOffsets { ids: ids.first, y: 0.into() });
        self.common.drop(b, [self.x, self.x_left], rows, 0.into(), (SITE, training));
        for (i, level) in self.levels.iter().enumerate() {
            level.begin_at_zero(b, self.common.always);
            level.forward(b, self.inputs(i));
            let site = SITE + 1 + i as u32;
            self.common.drop(b, [level.outputs, self.left[i]], rows, 0.into(), (site, training));
        }
    }

    pub fn flow(&self, b: &mut Builder, gradient: &dyn Fn(TensorId) -> TensorId) -> EncoderFlow {
        let flows = self.levels.iter().map(|level| level.flow(b, |_, weight| gradient(weight))).collect();
        let d_outputs: Vec<TensorId> = self.levels.iter().map(|level| gradient_of(b, level.outputs)).collect();
        let last = d_outputs.len() - 1;
        let d_left = (d_outputs.iter().enumerate())
            .map(|(i, d)| if i == last { *d } else { self.common.left_of(b, *d, Role::Scratch) })
            .collect();
        let d_x = gradient_of(b, self.x);
        EncoderFlow { flows, d_left, d_outputs, d_x_left: self.common.left_of(b, d_x, Role::Scratch), d_x }
    }

    /// From the memory's gradient and those of final states, level by level, to those of weights and embeddings.
    pub fn backward(&self, b: &mut Builder, flow: &EncoderFlow, finals: &[Vec<Finals>]) {
        let rows = self.common.ends.window();
        for (i, level) in self.levels.iter().enumerate().rev() {
            let site = SITE + 1 + i as u32;
            self.common.drop(b, [flow.d_left[i], flow.d_outputs[i]], rows, 0.into(), (site, true));
            let to = i.checked_sub(1).map_or(flow.d_x_left, |below| flow.d_left[below]);
            let from = (flow.d_outputs[i], &finals[i][..]);
            level.backward(b, &flow.flows[i], from, self.inputs(i), (to, false), self.common.always);
        }
        self.common.drop(b, [flow.d_x_left, flow.d_x], rows, 0.into(), (SITE, true));
    }
}

impl EncoderFlow {
    /// `[S, B, D]`: of the memory.
    pub fn d_memory(&self) -> TensorId {
        *self.d_outputs.last().expect("an encoder has a layer")
    }
}

/// From the encoder to the decoder's first states.
pub(super) struct Bridge {
    common: Common,
    from: Pool,
    /// `[B, W]`.
    pools: Vec<TensorId>,
    /// The states that it fills; the others begin at zero.
    states: Vec<Bridged>,
}

/// A state of the decoder that the bridge fills.
struct Bridged {
    cells: bool,
    layer: usize,
    pool: usize,
    dense: Option<Dense>,
}

/// What flows backward through it.
pub(super) struct BridgeFlow {
    d_pools: Vec<TensorId>,
    /// `[B, 1, H]`: of a state with weights before it.
    d_states: Vec<Option<TensorId>>,
}

impl Bridge {
    pub fn declare(b: &mut Builder, model: &EncoderDecoder, common: Common) -> Bridge {
        let super::Bridge { from, activation, .. } = model.coupling.bridge;
        let names = model.bridged_states();
        let of_states = names.iter().flat_map(|name| (0..model.decoder.layers).map(move |layer| (*name, layer)));
        let mut states = Vec::new();
        for (i, (name, layer)) in of_states.enumerate() {
            let sizes = [model.decoder.hidden, model.pool_width()];
            let called = format!("bridge.{name}_l{layer}");
            let dense = activation.map(|f| Dense::declare(b, &called, sizes, (&[Dim::ROWS], Role::Saved), true, f));
            states.push(Bridged { cells: name == "c", layer, pool: if from == Pool::Last { i } else { 0 }, dense });
        }
        let count = states.iter().map(|state| state.pool + 1).max().unwrap_or(0);
        let shape = [Dim::ROWS, model.pool_width().into()];
        let pools = (0..count).map(|i| b.f32(Role::Saved, format!("bridge.pool_{i}"), &shape)).collect();
        Bridge { common, from, pools, states }
    }

    pub fn weights(&self) -> impl Iterator<Item = TensorId> {
        self.states.iter().filter_map(|state| state.dense).flat_map(|dense| dense.weights())
    }

    /// Fills the first B rows of the decoder's states, h and an LSTM's c of each layer.
    pub fn forward(&self, b: &mut Builder, encoder: &Encoder, decoder: &[(TensorId, Option<TensorId>)]) {
        decoder.iter().flat_map(|(h, c)| [Some(*h), *c]).flatten().for_each(|state| self.common.zero(b, state));
        let last = encoder.levels.last().expect("an encoder has a layer");
        match self.from {
            Pool::Mean => self.mean(b, [encoder.memory(), self.pools[0]], mean_rows::Way::Mean),
            Pool::FirstBackward => last.copy_final_states(b, 1, false, (self.pools[0], 0)),
            Pool::Zero | Pool::Last => {}
        }
        for Bridged { cells, layer, pool, dense } in &self.states {
            let pool = self.pools[*pool];
            if self.from == Pool::Last {
                let level = &encoder.levels[*layer];
                for way in 0..level.ways.len() {
                    level.copy_final_states(b, way, *cells, (pool, way * level.ways[way].layer.hidden));
                }
            }
            if let Some(dense) = dense {
                dense.forward(b, pool, Dim::ROWS, [Affine::from(0); 2]);
            }
            let (h, c) = decoder[*layer];
            let to = if *cells { c.expect("an LSTM has c") } else { h };
            let from = dense.as_ref().map_or(pool, |dense| dense.y);
            let plain = SelectRowsOffsets::plain(super::parts::width(b, to));
            self.common.ends.select(b, [from, to], Dim::ROWS, plain);
        }
    }

    fn mean(&self, b: &mut Builder, [from, to]: [TensorId; 2], way: mean_rows::Way) {
        let ends = self.common.ends;
        let op = mean_rows::MeanRows { from, lengths: ends.lengths, to };
        mean_rows::record(b, op, [Dim::ROWS, ends.time], ends.first, way);
    }

    pub fn flow(&self, b: &mut Builder) -> BridgeFlow {
        let d_pools = self.pools.iter().map(|pool| gradient_of(b, *pool)).collect();
        let d_states = self.states.iter().map(|state| state.dense.map(|dense| gradient_of(b, dense.y))).collect();
        BridgeFlow { d_pools, d_states }
    }

    /// From the gradients of the decoder's first states to those of weights and, added to what is there, of the memory.
    /// Gives those of the encoder's final states, level by level.
    pub fn backward(
        &self,
        b: &mut Builder,
        flow: &BridgeFlow,
        decoder: &[LayerGradients],
        (encoder, d_memory): (&Encoder, TensorId),
        gradient: &dyn Fn(TensorId) -> TensorId,
    ) -> Vec<Vec<Finals>> {
        let mut finals: Vec<Vec<Finals>> =
            encoder.levels.iter().map(|level| vec![Finals::default(); level.ways.len()]).collect();
        for (i, Bridged { cells, layer, pool, dense }) in self.states.iter().enumerate() {
            let first = self.states[..i].iter().all(|other| other.pool != *pool);
            let (d_pool, pool) = (flow.d_pools[*pool], self.pools[*pool]);
            let of = &decoder[*layer];
            let d_state = if *cells { of.dc.expect("an LSTM has c") } else { of.dh };
            let hidden = super::parts::width(b, d_state);
            let to = flow.d_states[i].unwrap_or(d_pool);
            let add = dense.is_none() && !first;
            let at = SelectRowsOffsets { add, ..SelectRowsOffsets::plain(hidden) };
            self.common.ends.select(b, [d_state, to], Dim::ROWS, at);
            if let Some(dense) = dense {
                dense.backward(b, [to, d_pool], Dim::ROWS, [Affine::from(0); 2], !first);
                dense.weight_gradients(b, [to, pool], Dim::ROWS, [Affine::from(0); 2], gradient);
            }
            if self.from == Pool::Last {
                for (way, finals) in finals[*layer].iter_mut().enumerate() {
                    let columns = Some((d_pool, way * encoder.levels[*layer].ways[way].layer.hidden));
                    *if *cells { &mut finals.c } else { &mut finals.h } = columns;
                }
            }
        }
        match self.from {
            Pool::Mean => self.mean(b, [flow.d_pools[0], d_memory], mean_rows::Way::Spread { accumulate: true }),
            Pool::FirstBackward => finals.last_mut().expect("a level")[1].h = Some((flow.d_pools[0], 0)),
            Pool::Zero | Pool::Last => {}
        }
        finals
    }
}
