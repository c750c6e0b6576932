//! A language model: what generation and scoring run.

use super::admission::{Admission, Shared, admission};
use super::head::Head;
use super::stack::read_slot;
use super::{Cell, Layer, Rows, StackScratch, decode_stack, head, layers, rnn_stack, stack_scratch};
use crate::ops::rows::ROW_WORDS;
use crate::ops::{count_token, embed, filter, gather_rows, logsumexp, sample, softmax, target_log_prob};
use crate::plan::{Affine, Builder, Dim, Plan, Role, SectionId, TensorId};

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

/// How much memory the sections of a language model are written for, apart from B and T.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// Steps whose ids and log-probabilities are kept on the device until they are read.
    pub ring: usize,
    /// Sequences that can wait for a row: Q, a power of two.
    pub queue: usize,
    /// Prompt tokens of a sequence that can wait to be forced: R.
    pub forced: usize,
    /// Whether rows may have filters: `token_flags` `[B, V]`, and the section `step_filtered`.
    pub filters: bool,
}

/// A language model's plan and the names of what the host touches.
///
/// Sections: `prefill` and `admit` (see [`Admission`]), `step` (one token for every row, drawn and fed back),
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
    /// `[B, 32]` u32: the row table.
    pub table: TensorId,
    /// `[B]` u32: the token that each row reads next.
    pub tokens: TensorId,
    /// `[B + Q, R]` u32: prompt tokens to be forced, R for each sequence that waits or runs.
    pub forced: TensorId,
    /// `[ring, B]` u32: drawn tokens.
    pub ids: TensorId,
    /// `[ring, B]`: their log-probabilities.
    pub log_probs: TensorId,
    /// `[B, V]` u32: how often tokens occurred, and which are banned; see [`crate::ops::filters`].
    pub token_flags: Option<TensorId>,
    /// `[B]` u32: where each row of `permute` comes from.
    pub row_source: TensorId,
    /// The queue and the prompts on the side.
    pub admission: Admission,
    /// Section `step`.
    pub step: SectionId,
    /// Section `step_filtered`.
    pub step_filtered: Option<SectionId>,
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
    let admission = admission(b, &net.layers, &net.scratch, net.shared(), capacity.queue);
    // With a direction that runs backward there is no next token to draw.
    let draws = !shape.cell.is_bidirectional();
    let step = b.section("step", |b| {
        if draws {
            net.step(b);
        }
    });
    let filtered = net.token_flags.filter(|_| draws);
    let step_filtered = filtered.map(|token_flags| b.section("step_filtered", |b| net.step_filtered(b, token_flags)));
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
        table: net.table,
        tokens: net.tokens,
        forced: net.forced,
        ids: net.ids,
        log_probs: net.log_probs,
        token_flags: net.token_flags,
        row_source: net.row_source,
        admission,
        step,
        step_filtered,
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
    capacity: Capacity,
    embedding: TensorId,
    layers: Vec<Layer>,
    head: Head,
    input: TensorId,
    targets: TensorId,
    table: TensorId,
    tokens: TensorId,
    forced: TensorId,
    ids: TensorId,
    log_probs: TensorId,
    no_marks: TensorId,
    token_flags: Option<TensorId>,
    target_log_probs: TensorId,
    row_source: TensorId,
    scratch: StackScratch,
    /// `[T B, E]`: the embedded tokens of a window.
    x: TensorId,
    /// `[B, 1, V]`.
    step_logits: TensorId,
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
            capacity,
            embedding,
            input: b.u32(Role::Io, "input", &[Dim::TIME, Dim::ROWS]),
            targets: b.u32(Role::Io, "targets", &[Dim::TIME, Dim::ROWS]),
            table: b.u32(Role::State, "table", &[Dim::ROWS, ROW_WORDS.into()]),
            tokens: b.u32(Role::State, "tokens", &[Dim::ROWS]),
            forced: b.u32(Role::Io, "forced", &[Dim::ROWS.plus(capacity.queue), capacity.forced.into()]),
            ids: b.u32(Role::Io, "ids", &[capacity.ring.into(), Dim::ROWS]),
            log_probs: b.f32(Role::Io, "log_probs", &[capacity.ring.into(), Dim::ROWS]),
            no_marks: b.u32(Role::State, "no_marks", &[1.into()]),
            token_flags: capacity.filters.then(|| head.token_flags(b, "token_flags", Dim::ROWS)),
            target_log_probs: b.f32(Role::Io, "target_log_probs", &[window()]),
            row_source: b.u32(Role::Io, "row_source", &[Dim::ROWS]),
            scratch: stack_scratch(b, &layers),
            x: b.f32(Role::Scratch, "x", &[window(), width.into()]),
            step_logits: head.logits(b, Role::Scratch, "step_logits", Dim::ROWS),
            window_logits: head.logits(b, Role::Scratch, "window_logits", window()),
            all_log_probs: head.logits(b, Role::Io, "all_log_probs", window()),
            lse: b.f32(Role::Scratch, "lse", &[window()]),
            layers,
            head,
        }
    }

    /// The tensors that prefill shares with the sections here.
    fn shared(&self) -> Shared {
        let Network { input, embedding, x, table, tokens, token_flags, .. } = *self;
        Shared { input, embedding, x, table, tokens, token_flags }
    }

    /// One token for every row, drawn and fed back.
    fn step(&self, b: &mut Builder) {
        self.read_token(b);
        self.draw(b, sample::TokenFlags::Unfiltered(self.no_marks));
    }

    /// The same for rows that may have filters.
    fn step_filtered(&self, b: &mut Builder, token_flags: TensorId) {
        count_token::record(b, self.table, self.tokens, token_flags, Dim::ROWS);
        self.read_token(b);
        filter::record(b, self.step_logits, self.table, token_flags, Dim::ROWS);
        self.draw(b, sample::TokenFlags::Filtered(token_flags));
    }

    /// From each row's token to its logits.
    fn read_token(&self, b: &mut Builder) {
        let y = decode_stack(b, &self.layers, self.embedding, self.tokens);
        self.head.record(b, y, self.step_logits, Dim::ROWS);
    }

    fn draw(&self, b: &mut Builder, token_flags: sample::TokenFlags) {
        let Network { step_logits: logits, table, tokens, forced, ids, log_probs, .. } = *self;
        let op = sample::Sample { logits, table, tokens, forced, ids, log_probs, token_flags };
        sample::record(b, op, Dim::ROWS, Affine::STEP.modulo(self.capacity.ring));
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
    use crate::plan::Sizes;

    #[test]
    fn a_step_needs_its_weights_and_states() {
        let shape = Shape { cell: Cell::Lstm, vocab: 10, embedding: 3, hidden: 5, layers: 1 };
        let lm = language_model(shape, Capacity { ring: 4, queue: 1, forced: 1, filters: false });
        let need = lm.plan.memory(&[lm.step], Sizes::of(2, 1));
        assert_eq!(need.weights, 4 * (10 * 3 + 20 * 3 + 20 * 5 + 40 + 10 * 5 + 10));
        // h in two slots, c, the row table, the token of each row, the stand-in for token flags.
        assert_eq!(need.states, 4 * (2 * 2 * 5 + 2 * 5 + 2 * ROW_WORDS as u64 + 2 + 1));
        assert_eq!((need.scratch, need.saved), (4 * 2 * 10, 0));
        // Drawn ids and their log-probabilities, a forced token for each row and for one sequence that waits.
        assert_eq!(need.io, 4 * (2 * 4 * 2 + 2 + 1));
        assert_eq!(need.total(), need.weights + need.states + need.scratch + need.io);
    }
}
