//! Training: a language model's forward and backward sections over a window, and the optimiser's.
//!
//! ```text
//! forward    embed -> (input products -> T steps that keep their gates -> dropout) of each layer
//! backward   chunks of logits: head -> loss and its gradient -> gradients of the head, of the last layer's output
//!            layers from the last to the first: T steps backward -> gradients of weights, biases, inputs
//!            gradient of the embedding
//! optimise   norm of all gradients -> one update of all parameters
//! evaluate   forward without dropout, on states of its own -> losses
//! ```
//! Steps in flight have a slot each of `ring` in `input`, `targets`, `losses` and so on: the host writes windows ahead
//! and reads losses later, and the device waits for neither.

use super::backward::{HeadBackward, LayerGradients, embedding_backward, head_backward, layer_backward};
use super::head::head_with;
use super::optimiser::{Optimised, Optimizer, Parameter, like};
use super::stack::{OverTime, Starts, layer_over_time, stack_scratch_kept};
use super::{Coupling, Head, Layer, Rows, Shape, layer};
use crate::ops::embed_gradient::EmbedGradient;
use crate::ops::{cross_entropy, dropout, embed, logsumexp, mean_loss, schedule};
use crate::plan::{Affine, Builder, Dim, Direction, Plan, Role, SectionId, Sizes, TensorId};

/// The sizes and options that a training plan is written for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Recipe {
    /// The model.
    pub shape: Shape,
    /// Whether the embedding is the output layer's weight too.
    pub tied: bool,
    /// B: streams side by side.
    pub rows: usize,
    /// T: tokens of a window at most.
    pub time: usize,
    /// Probability that an element between layers is dropped.
    pub dropout: f32,
    /// Keys the masks of dropout.
    pub seed: u64,
    /// The optimiser.
    pub optimizer: Optimizer,
    /// Gradients whose norm is larger are scaled down to it.
    pub clip: Option<f32>,
    /// What an encoder-decoder has besides: the model, its decoder's `shape` apart, and its sources.
    pub pairs: Option<Pairs>,
}

/// What training an encoder-decoder takes beyond what a language model's does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pairs {
    /// All of the model but its decoder.
    pub coupling: Coupling,
    /// S: tokens of a source at most. Rows and steps of a batch may be any: B is at most `rows`, T B at most `rows` times
    /// `time`, S B at most `rows` times `source`, and T S B at most the product of all three.
    pub source: usize,
    /// The share of a target's probability that is given to all tokens alike.
    pub label_smoothing: f32,
}

impl Pairs {
    /// Rows, time and source of a recipe that batches `[B, T, S]` fit.
    pub fn fit(batches: impl IntoIterator<Item = [usize; 3]>) -> Sizes {
        let most =
            |a: [usize; 4], [b, t, s]: [usize; 3]| [a[0].max(b), a[1].max(t * b), a[2].max(s * b), a[3].max(t * s * b)];
        let [rows, targets, sources, weights] = batches.into_iter().fold([1; 4], most);
        let (time, source) = (targets.div_ceil(rows), sources.div_ceil(rows));
        Sizes { rows, time, source: source.max(weights.div_ceil(rows * time)) }
    }
}

/// A training plan and the names of what the host touches. S is [`RING`], `[S, ...]` has a row for each step in flight.
#[derive(Clone, Debug)]
pub struct Training {
    /// The plan.
    pub plan: Plan,
    /// The recipe that it was written for.
    pub recipe: Recipe,
    /// The tensors that the host writes and reads.
    pub io: Io,
    /// All parameters, in the order of a model file.
    pub parameters: Vec<Parameter>,
    /// The layers with the states that training carries from window to window.
    pub layers: Vec<Layer>,
    /// The same with the states of evaluation.
    pub evaluated: Vec<Layer>,
    /// Section `forward`.
    pub forward: SectionId,
    /// Section `backward`.
    pub backward: SectionId,
    /// Section `optimise`.
    pub optimise: SectionId,
    /// Section `evaluate`.
    pub evaluate: SectionId,
}

/// The tensors that the host writes and reads.
#[derive(Clone, Copy, Debug)]
pub struct Io {
    /// `[S, T, B]` u32: the tokens that are read. A shorter window takes the first rows of its slot.
    pub input: TensorId,
    /// `[S, T, B]` u32: the tokens that follow, or IGNORED.
    pub targets: TensorId,
    /// `[S, T, B]` u32: positions of the window by (token, position), for the embedding's gradient.
    pub order: TensorId,
    /// `[S, B]` u32: rows whose states begin at zero.
    pub starts: TensorId,
    /// `[S, 4]`: see [`crate::ops::schedule`].
    pub schedule: TensorId,
    /// `[S]`: mean loss in nats.
    pub losses: TensorId,
    /// `[S, 2]`: norm of all gradients, and what they were scaled by.
    pub clips: TensorId,
    /// `[4 B]` u32, all one, for rows that are always set to zero.
    pub always: TensorId,
    /// `[B]` u32, for copies in order.
    pub row_order: TensorId,
    /// What an encoder reads.
    pub sources: Option<SourceIo>,
}

/// Sources of an encoder: what the host writes. `[S, ...]` as elsewhere in [`Io`]; S' are a source's steps.
#[derive(Clone, Copy, Debug)]
pub struct SourceIo {
    /// `[S, S', B]` u32: the tokens, padded at their ends.
    pub ids: TensorId,
    /// `[S, S', B]` u32: their positions by (token, position).
    pub order: TensorId,
    /// `[S, B]` u32: the tokens of each row.
    pub lengths: TensorId,
}

/// Steps in flight: windows that are written ahead, losses that are read later.
pub const RING: usize = 16;

/// Bytes of logits that should exist at once, where the plan has the choice.
const LOGIT_BYTES: usize = 16 << 20;

/// Time steps whose logits exist at once: all where they are few, else a divisor of T.
fn chunk_steps(recipe: &Recipe) -> usize {
    let step_bytes = 4 * recipe.rows * recipe.shape.vocab;
    let most = (LOGIT_BYTES / step_bytes).max(1);
    (1..=recipe.time).rev().find(|steps| recipe.time.is_multiple_of(*steps) && *steps <= most).unwrap_or(1)
}

/// State that the sections share while they are written.
struct Window {
    recipe: Recipe,
    io: Io,
    layers: Vec<Layer>,
    over_time: Vec<OverTime>,
    /// `[T * B, H]`: outputs of layers after dropout; none for the last, and none at all without dropout.
    dropped: Vec<TensorId>,
    /// `[1, V, E]`.
    table: TensorId,
    /// `[T * B, E]`: the window's embeddings.
    x: TensorId,
    losses: Losses,
}

/// The output layer over a window, and its losses.
pub(super) struct Losses {
    io: Io,
    head: Head,
    chunk: Chunk,
    window_row: Affine,
    smoothing: f32,
}

/// Logits of some time steps, and how many such chunks a window has.
#[derive(Clone, Copy)]
struct Chunk {
    count: Dim,
    rows: Dim,
    /// `[R, 1, V]`.
    logits: TensorId,
    /// `[R]`.
    lse: TensorId,
    /// `[T * B]`, of the whole window.
    losses: TensorId,
}

/// The whole window: rows of `[T * B, *]`.
fn window() -> Dim {
    Dim::TIME * Dim::ROWS
}

/// The slot of a step in flight.
pub(super) fn slot() -> Affine {
    Affine::STEP.modulo(RING)
}

impl Window {
    fn declare(b: &mut Builder, recipe: Recipe) -> Window {
        let Recipe { shape, .. } = recipe;
        let Shape { cell, vocab, embedding, hidden, layers } = shape;
        let table = b.f32(Role::Weight, "embedding.weight", &[1.into(), vocab.into(), embedding.into()]);
        let group = b.shard_group();
        b.shard(table, 1, group);
        let layers: Vec<Layer> =
            (0..layers).map(|i| layer(b, cell, "rnn.", i, if i == 0 { embedding } else { hidden }, hidden)).collect();
        let head = if recipe.tied { head_with(b, table) } else { super::head(b, vocab, hidden) };
        let scratch = stack_scratch_kept(b, &layers);
        let drops = if recipe.dropout > 0.0 { layers.len() - 1 } else { 0 };
        let dropped = (0..drops).map(|i| b.f32(Role::Saved, format!("dropped_l{i}"), &[window(), hidden.into()]));
        let dropped = dropped.collect();
        let io = Io::declare(b, &recipe, scratch.order);
        let x = b.f32(Role::Saved, "x", &[window(), embedding.into()]);
        let losses = Losses::declare(b, &recipe, head, io);
        Window { recipe, io, layers, over_time: scratch.layers, dropped, table, x, losses }
    }

    /// First row of the slot's window in `input`, `targets` and `order`.
    fn window_row(&self) -> Affine {
        slot().times(self.recipe.rows * self.recipe.time)
    }

    /// The inputs of a layer, `[T * B, K]`, once the one below has run.
    fn inputs(&self, layer: usize) -> Rows {
        let Some(below) = layer.checked_sub(1) else { return Rows { tensor: self.x, first: 0.into() } };
        match self.dropped.get(below) {
            Some(dropped) => Rows { tensor: *dropped, first: 0.into() },
            None => self.outputs(below),
        }
    }

    /// The outputs of a layer, `[T * B, H]`, before dropout.
    fn outputs(&self, layer: usize) -> Rows {
        Rows { tensor: self.over_time[layer].states, first: Dim::ROWS.into() }
    }

    /// Embeddings and layers of a window.
    fn forward(&self, b: &mut Builder) {
        self.embed(b);
        for (i, (layer, over_time)) in self.layers.iter().zip(&self.over_time).enumerate() {
            layer_over_time(b, layer, over_time, self.io.row_order, self.inputs(i), Some(self.starts()));
            if let Some(dropped) = self.dropped.get(i) {
                let x = self.outputs(i);
                let op = dropout::Dropout { x: x.tensor, y: *dropped };
                dropout::record(b, op, window(), x.first, 0, self.mask(i));
            }
        }
    }

    /// The same without dropout, on other states, and nothing saved. Gives the last layer's outputs.
    fn forward_only(&self, b: &mut Builder, layers: &[Layer]) -> Rows {
        self.embed(b);
        let mut x = Rows { tensor: self.x, first: 0.into() };
        for (layer, over_time) in layers.iter().zip(&self.over_time) {
            let over_time = OverTime { extra: None, keep_gates: false, ..*over_time };
            x = layer_over_time(b, layer, &over_time, self.io.row_order, x, Some(self.starts()));
        }
        x
    }

    fn embed(&self, b: &mut Builder) {
        let op = embed::Embed { ids: self.io.input, table: self.table, y: self.x };
        embed::record(b, op, window(), embed::EmbedOffsets { ids: self.window_row(), y: 0.into() });
    }

    fn starts(&self) -> Starts {
        Starts { flags: self.io.starts, first: slot().times(Dim::ROWS) }
    }

    /// The mask after a layer: the same in the backward pass.
    fn mask(&self, layer: usize) -> dropout::Settings {
        let Recipe { dropout, seed, .. } = self.recipe;
        dropout::Settings { probability: dropout, seed, site: layer as u32, step: Affine::STEP }
    }
}

impl Io {
    pub(super) fn declare(b: &mut Builder, recipe: &Recipe, row_order: TensorId) -> Io {
        let (ring, rows, time) = (Dim::fixed(RING), recipe.rows, recipe.time);
        let words = |b: &mut Builder, name: &str, time: usize| b.u32(Role::Io, name, &[ring, time.into(), rows.into()]);
        let sources = recipe.pairs.map(|Pairs { source, .. }| SourceIo {
            ids: words(b, "source", source),
            order: words(b, "source_order", source),
            lengths: b.u32(Role::Io, "lengths", &[ring, rows.into()]),
        });
        Io {
            input: words(b, "input", time),
            targets: words(b, "targets", time),
            order: words(b, "order", time),
            starts: b.u32(Role::Io, "starts", &[ring, rows.into()]),
            schedule: b.f32(Role::Io, "schedule", &[ring, schedule::SCHEDULE_COLUMNS.into()]),
            losses: b.f32(Role::Io, "losses", &[ring]),
            clips: b.f32(Role::Io, "clips", &[ring, schedule::CLIP_COLUMNS.into()]),
            always: b.u32(Role::Io, "always", &[Dim::ROWS * 4.into()]),
            row_order,
            sources,
        }
    }
}

impl Losses {
    pub(super) fn declare(b: &mut Builder, recipe: &Recipe, head: Head, io: Io) -> Losses {
        let steps = chunk_steps(recipe);
        let (count, rows) = match recipe.pairs {
            _ if steps == recipe.time => (1.into(), window()),
            // Windows have any number of steps.
            Some(_) => (Dim::TIME, Dim::ROWS),
            None => ((recipe.time / steps).into(), Dim::ROWS * steps.into()),
        };
        let chunk = Chunk {
            count,
            rows,
            logits: head.logits(b, Role::Scratch, "logits", rows),
            lse: b.f32(Role::Scratch, "lse", &[rows]),
            losses: b.f32(Role::Scratch, "row_losses", &[window()]),
        };
        let window_row = slot().times(recipe.rows * recipe.time);
        Losses { io, head, chunk, window_row, smoothing: recipe.pairs.map_or(0.0, |pairs| pairs.label_smoothing) }
    }

    /// Chunk after chunk: logits of the outputs `y`, then losses, and with `to` gradients of all that led there.
    pub(super) fn record(&self, b: &mut Builder, y: Rows, to: Option<&HeadBackward>) {
        let Chunk { count, rows, logits, lse, losses } = self.chunk;
        let io = self.io;
        b.repeat("chunk", count, Direction::Forward, |b, chunk| {
            let y = Rows { first: y.first.plus_each(chunk, rows), ..y };
            self.head.record(b, y, logits, rows);
            logsumexp::record(b, logits, lse, rows);
            let op = cross_entropy::CrossEntropy { logits, lse, targets: io.targets, schedule: io.schedule, losses };
            let at = cross_entropy::CrossEntropyOffsets {
                target_row: self.window_row.plus_each(chunk, rows),
                loss_row: Affine::constant(0).plus_each(chunk, rows),
                slot: slot(),
                gradient: to.is_some(),
                smoothing: self.smoothing,
            };
            cross_entropy::record(b, op, rows, at);
            if let Some(to) = to {
                head_backward(b, &self.head, to, logits, y, rows, chunk);
            }
        });
        let op = mean_loss::MeanLoss { row_losses: losses, schedule: io.schedule, means: io.losses };
        mean_loss::record(b, op, window(), slot());
    }
}

/// Writes the plan of a training run.
pub fn training(recipe: Recipe) -> Training {
    if let Some(pairs) = recipe.pairs {
        return super::encoder_decoder::training(recipe, pairs);
    }
    assert!(!recipe.tied || recipe.shape.embedding == recipe.shape.hidden, "tied weights have one width");
    let b = &mut Builder::new();
    let parts = Window::declare(b, recipe);
    let of_layer = |layer: &Layer| [layer.w_ih, layer.w_hh, layer.b_ih, layer.b_hh];
    let mut weights = vec![parts.table];
    weights.extend(parts.layers.iter().flat_map(of_layer));
    weights.extend((!recipe.tied).then_some(parts.losses.head.weight));
    weights.push(parts.losses.head.bias);
    let optimised = Optimised::declare(b, recipe.optimizer, &weights);

    let gradients: Vec<LayerGradients> = (parts.layers.iter().enumerate())
        .map(|(i, layer)| {
            let weights = of_layer(layer).map(|w| optimised.gradient(w));
            LayerGradients::flow(b, &format!("l{i}"), layer, (Dim::TIME, 0), weights)
        })
        .collect();
    let hidden = Dim::fixed(recipe.shape.hidden);
    let d_dropped = (!parts.dropped.is_empty()).then(|| b.f32(Role::Scratch, "d_dropped", &[window(), hidden]));
    let dx = b.f32(Role::Scratch, "dx", &[window(), recipe.shape.embedding.into()]);
    let evaluated: Vec<Layer> = (parts.layers.iter())
        .map(|layer| Layer { h: state_like(b, layer.h), c: layer.c.map(|c| state_like(b, c)), ..*layer })
        .collect();

    let forward = b.section("forward", |b| parts.forward(b));
    let backward = b.section("backward", |b| {
        let last = parts.layers.len() - 1;
        let to = HeadBackward {
            weight: optimised.gradient(parts.losses.head.weight),
            bias: optimised.gradient(parts.losses.head.bias),
            dy: Rows { tensor: gradients[last].dy, first: 0.into() },
        };
        parts.losses.record(b, parts.outputs(last), Some(&to));
        for (i, layer) in parts.layers.iter().enumerate().rev() {
            gradients[i].begin_at_zero(b, parts.io.always);
            let to = match i.checked_sub(1) {
                None => dx,
                Some(below) => d_dropped.unwrap_or(gradients[below].dy),
            };
            let flow = (&parts.over_time[i], &gradients[i]);
            layer_backward(b, layer, flow, parts.io.always, parts.inputs(i), Some((to, false)), None);
            if let (Some(below), Some(from)) = (i.checked_sub(1), d_dropped) {
                let op = dropout::Dropout { x: from, y: gradients[below].dy };
                dropout::record(b, op, window(), 0, 0, parts.mask(below));
            }
        }
        let Io { input: ids, order, .. } = parts.io;
        let op = EmbedGradient { ids, order, dx, dtable: optimised.gradient(parts.table) };
        embedding_backward(b, op, window(), parts.window_row(), recipe.tied);
    });
    let optimise = b.section("optimise", |b| optimised.optimise(b, recipe.clip, slot(), &parts.io));
    let evaluate = b.section("evaluate", |b| {
        let y = parts.forward_only(b, &evaluated);
        parts.losses.record(b, y, None);
    });

    Training {
        plan: std::mem::take(b).finish(),
        recipe,
        io: parts.io,
        parameters: optimised.parameters,
        layers: parts.layers,
        evaluated,
        forward,
        backward,
        optimise,
        evaluate,
    }
}

/// A state of the same shape, for evaluation.
fn state_like(b: &mut Builder, state: TensorId) -> TensorId {
    let name = format!("evaluated.{}", b.tensor(state).name);
    like(b, state, Role::State, &name)
}
