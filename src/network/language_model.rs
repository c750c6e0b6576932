//! A language model: what generation and scoring run.

use super::admission::{Shared, admission, prefill_slots, read_prompts, states};
use super::decoding::{Capacity, Decoding, DrawnRows};
use super::head::Head;
use super::stack::read_slot;
use super::{Cell, Layer, Rows, StackScratch, decode_stack, head, layers, rnn_stack, stack_scratch};
use crate::ops::{embed, gather_rows, logsumexp, softmax, target_log_prob};
use crate::plan::{Builder, Dim, Plan, Role, SectionId, TensorId};

/// The sizes of a language model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// The cell of every layer.
    pub cell: Cell,
    /// V.
    pub vocab: usize,
    /// E.
    pub embedding: usize,
    /// H.
    pub hidden: usize,
    /// L.
    pub layers: usize,
}

/// A language model's plan and the names of what the host touches.
///
/// Sections: `prefill` and `admit` (see [`super::Admission`]), `step` (one token for every row, drawn and fed back),
/// `step_filtered` (the same for rows that may have filters, if there is capacity for them), `score` (reads T tokens a row,
/// keeps the states, and gives the log-probability of each next token), `logits` (as score, with all
/// log-probabilities), `permute` (rows change places).
#[derive(Clone, Debug)]
pub struct LanguageModel {
    /// The plan.
    pub plan: Plan,
    /// The sizes it was written for.
    pub shape: Shape,
    /// The layers.
    pub layers: Vec<Layer>,
    /// `[T, B]` u32: tokens that prefill, score and logits read.
    pub input: TensorId,
    /// `[T, B]` u32: the tokens that follow them.
    pub targets: TensorId,
    /// `[T, B]`: their log-probabilities.
    pub target_log_probs: TensorId,
    /// `[T, B, 1, V]`: logits of a window, of `score` and `logits`.
    pub window_logits: TensorId,
    /// `[T, B, 1, V]` log-probabilities, of `logits`.
    pub all_log_probs: TensorId,
    /// What a generator runs.
    pub decoding: Decoding,
    /// `[B]` u32: where each row of `permute` comes from.
    pub row_source: TensorId,
    /// Section `score`.
    pub score: SectionId,
    /// Section `logits`.
    pub logits: SectionId,
    /// Section `permute`.
    pub permute: SectionId,
}

/// Writes the plan of a language model.
pub fn language_model(shape: Shape, capacity: Capacity) -> LanguageModel {
    let b = &mut Builder::new();
    let net = Network::declare(b, shape, capacity);
    let slots = prefill_slots(b, &net.layers);
    let on = Shared { input: net.input, embedding: net.embedding, x: net.x };
    let at_steps = states(&net.layers, read_slot());
    let sizes = (capacity.queue, shape.vocab, Dim::ROWS);
    let admission =
        admission(b, &at_steps, &net.rows, sizes, |b, saved| read_prompts(b, &slots, &net.scratch, on, saved));
    let (step, step_filtered) = net.rows.sections(b, |b| net.read_token(b));
    let score = b.section("score", |b| net.score(b));
    let logits = b.section("logits", |b| net.all_logits(b));
    let permute = permute_section(b, &net.layers, &net.scratch, net.row_source);

    LanguageModel {
        plan: std::mem::take(b).finish(),
        shape,
        layers: net.layers,
        input: net.input,
        targets: net.targets,
        target_log_probs: net.target_log_probs,
        window_logits: net.window_logits,
        all_log_probs: net.all_log_probs,
        decoding: Decoding {
            vocab: shape.vocab,
            input: net.input,
            rows: net.rows,
            admission,
            step,
            step_filtered,
            sources: None,
        },
        row_source: net.row_source,
        score,
        logits,
        permute,
    }
}

/// Tokens of a window, T for each row.
fn window() -> Dim {
    Dim::TIME * Dim::ROWS
}

/// The tensors of a language model, of which [`LanguageModel`] names those that the host touches, and what its sections
/// do with them.
struct Network {
    shape: Shape,
    embedding: TensorId,
    layers: Vec<Layer>,
    head: Head,
    input: TensorId,
    targets: TensorId,
    rows: DrawnRows,
    target_log_probs: TensorId,
    row_source: TensorId,
    scratch: StackScratch,
    /// `[T B, E]`: the embedded tokens of a window.
    x: TensorId,
    window_logits: TensorId,
    all_log_probs: TensorId,
    /// `[T B]`: ln sum exp of each row of `window_logits`.
    lse: TensorId,
}

impl Network {
    fn declare(b: &mut Builder, shape: Shape, capacity: Capacity) -> Network {
        let Shape { cell, vocab, embedding: width, hidden, .. } = shape;
        let embedding = b.f32(Role::Weight, "embedding.weight", &[vocab.into(), width.into()]);
        let embedding_group = b.shard_group();
        b.shard(embedding, 0, embedding_group);
        let layers = layers(b, cell, "rnn.", width, hidden, shape.layers);
        let head = head(b, vocab, cell.form().outputs(hidden));
        Network {
            shape,
            embedding,
            input: b.u32(Role::Io, "input", &[Dim::TIME, Dim::ROWS]),
            targets: b.u32(Role::Io, "targets", &[Dim::TIME, Dim::ROWS]),
            rows: DrawnRows::declare(b, &head, capacity),
            target_log_probs: b.f32(Role::Io, "target_log_probs", &[window()]),
            row_source: b.u32(Role::Io, "row_source", &[Dim::ROWS]),
            scratch: stack_scratch(b, &layers),
            x: b.f32(Role::Scratch, "x", &[window(), width.into()]),
            window_logits: head.logits(b, Role::Scratch, "window_logits", window()),
            all_log_probs: head.logits(b, Role::Io, "all_log_probs", window()),
            lse: b.f32(Role::Scratch, "lse", &[window()]),
            layers,
            head,
        }
    }

    /// From each row's token to its logits; with a direction that runs backward there is no next token to draw.
    fn read_token(&self, b: &mut Builder) {
        if !self.shape.cell.is_bidirectional() {
            let y = decode_stack(b, &self.layers, self.embedding, self.rows.tokens);
            self.head.record(b, y, self.rows.logits, Dim::ROWS);
        }
    }

    /// The log-probability of each token that follows.
    fn score(&self, b: &mut Builder) {
        self.read_window(b);
        let Network { window_logits: x, lse, targets, target_log_probs: y, .. } = *self;
        target_log_prob::record(b, target_log_prob::TargetLogProb { x, lse, targets, y }, window());
    }

    /// The log-probabilities of all tokens.
    fn all_logits(&self, b: &mut Builder) {
        self.read_window(b);
        let kind = softmax::Kind::LogSoftmax;
        softmax::record(b, self.window_logits, self.lse, self.all_log_probs, window(), kind);
    }

    /// From the tokens of a window to its logits and their logsumexp.
    fn read_window(&self, b: &mut Builder) {
        let op = embed::Embed { ids: self.input, table: self.embedding, y: self.x };
        embed::record(b, op, window(), embed::EmbedOffsets { ids: 0.into(), y: 0.into() });
        let y = rnn_stack(b, &self.layers, &self.scratch, Rows { tensor: self.x, first: 0.into() });
        self.head.record(b, y, self.window_logits, window());
        logsumexp::record(b, self.window_logits, self.lse, window());
    }
}

/// Row m of every state becomes what row `source[m]` was; through slot 0 of the scratch over time.
fn permute_section(b: &mut Builder, layers: &[Layer], scratch: &StackScratch, source: TensorId) -> SectionId {
    b.section("permute", |b| {
        for (layer, over_time) in layers.iter().zip(&scratch.layers) {
            let slots = std::iter::once((layer.h, read_slot())).chain(layer.c.map(|c| (c, 0.into())));
            for (state, at) in slots {
                let capacity = layer.parts.filter(|_| Some(state) == layer.c).map_or(over_time.states, |parts| parts.c);
                let away = gather_rows::GatherRows { from: state, index: source, to: capacity };
                let offsets = gather_rows::GatherRowsOffsets { from: at, to: 0.into(), gather: true };
                gather_rows::record(b, away, Dim::ROWS, offsets);
                let back = gather_rows::GatherRows { from: capacity, index: source, to: state };
                let offsets = gather_rows::GatherRowsOffsets { from: 0.into(), to: at, gather: false };
                gather_rows::record(b, back, Dim::ROWS, offsets);
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::Cell;
    use crate::ops::rows::ROW_WORDS;
    use crate::plan::Sizes;

    #[test]
    fn a_step_needs_its_weights_and_states() {
        let shape = Shape { cell: Cell::Lstm, vocab: 10, embedding: 3, hidden: 5, layers: 1 };
        let lm = language_model(shape, Capacity { ring: 4, queue: 1, forced: 1, filters: false });
        let need = lm.plan.memory(&[lm.decoding.step], Sizes::of(2, 1));
        assert_eq!(need.weights, 4 * (10 * 3 + 20 * 3 + 20 * 5 + 40 + 10 * 5 + 10));
        // h in two slots, c, the row table, the token of each row, the stand-in for token flags.
        assert_eq!(need.states, 4 * (2 * 2 * 5 + 2 * 5 + 2 * ROW_WORDS as u64 + 2 + 1));
        assert_eq!((need.scratch, need.saved), (4 * 2 * 10, 0));
        // Drawn ids and their log-probabilities, a forced token for each row and for one sequence that waits.
        assert_eq!(need.io, 4 * (2 * 4 * 2 + 2 + 1));
        assert_eq!(need.total(), need.weights + need.states + need.scratch + need.io);
    }
}
