//! A language model: what generation and scoring run.

use super::arrivals::{Arrivals, Shared, arrivals};
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
pub struct Room {
    /// Steps whose ids and log-probabilities are kept on the device until they are read.
    pub ring: usize,
    /// Sequences that can wait for a row: Q, a power of two.
    pub queue: usize,
    /// Prompt tokens of a sequence that can wait to be forced: R.
    pub forced: usize,
    /// Whether rows may have filters: marks `[B, V]`, and the section `step_filtered`.
    pub filters: bool,
}

/// A language model's plan and the names of what the host touches.
///
/// Sections: `prefill` and `admit` (see [`Arrivals`]), `step` (one token for every row, drawn and fed back),
/// `step_filtered` (the same for rows that may have filters, if there is room for them), `score` (reads T tokens a row,
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
    pub marks: Option<TensorId>,
    /// `[B]` u32: where each row of `permute` comes from.
    pub row_source: TensorId,
    /// The queue and the prompts on the side.
    pub arrivals: Arrivals,
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
pub fn language_model(shape: Shape, room: Room) -> LanguageModel {
    let b = &mut Builder::new();
    let Shape { cell, vocab, embedding, hidden, .. } = shape;
    let window = Dim::TIME * Dim::ROWS;

    let table_e = b.f32(Role::Weight, "embedding.weight", &[vocab.into(), embedding.into()]);
    let embedding_group = b.split_group();
    b.split(table_e, 0, embedding_group);
    let layers = layers(b, cell, "rnn.", embedding, hidden, shape.layers);
    let head = head(b, vocab, cell.form().outputs(hidden));

    let input = b.u32(Role::Io, "input", &[Dim::TIME, Dim::ROWS]);
    let targets = b.u32(Role::Io, "targets", &[Dim::TIME, Dim::ROWS]);
    let table = b.u32(Role::State, "table", &[Dim::ROWS, ROW_WORDS.into()]);
    let tokens = b.u32(Role::State, "tokens", &[Dim::ROWS]);
    let forced = b.u32(Role::Io, "forced", &[Dim::ROWS.plus(room.queue), room.forced.into()]);
    let ids = b.u32(Role::Io, "ids", &[room.ring.into(), Dim::ROWS]);
    let log_probs = b.f32(Role::Io, "log_probs", &[room.ring.into(), Dim::ROWS]);
    let no_marks = b.u32(Role::State, "no_marks", &[1.into()]);
    let marks = room.filters.then(|| head.marks(b, "marks", Dim::ROWS));
    let target_log_probs = b.f32(Role::Io, "target_log_probs", &[window]);
    let row_source = b.u32(Role::Io, "row_source", &[Dim::ROWS]);

    let scratch = stack_scratch(b, &layers);
    let x = b.f32(Role::Scratch, "x", &[window, embedding.into()]);
    let step_logits = head.logits(b, Role::Scratch, "step_logits", Dim::ROWS);
    let window_logits = head.logits(b, Role::Scratch, "window_logits", window);
    let all_log_probs = head.logits(b, Role::Io, "all_log_probs", window);
    let lse = b.f32(Role::Scratch, "lse", &[window]);

    let read_window = |b: &mut Builder| {
        let op = embed::Embed { ids: input, table: table_e, y: x };
        embed::record(b, op, window, embed::Offsets { ids: 0.into(), y: 0.into() });
        rnn_stack(b, &layers, &scratch, Rows { tensor: x, first: 0.into() })
    };
    let window_lse = |b: &mut Builder| {
        let y = read_window(b);
        head.record(b, y, window_logits, window);
        logsumexp::record(b, window_logits, lse, window);
    };

    let shared = Shared { input, embedding: table_e, x, table, tokens, marks };
    let arrivals = arrivals(b, &layers, &scratch, shared, room.queue);
    let draw = |b: &mut Builder, marks| {
        let op = sample::Sample { logits: step_logits, table, tokens, forced, ids, log_probs, marks };
        sample::record(b, op, Dim::ROWS, Affine::STEP.modulo(room.ring));
    };
    let step = b.section("step", |b| {
        if cell.is_bidirectional() {
            return;
        }
        let y = decode_stack(b, &layers, table_e, tokens);
        head.record(b, y, step_logits, Dim::ROWS);
        draw(b, sample::Marks::Unfiltered(no_marks));
    });
    let step_filtered = marks.filter(|_| !cell.is_bidirectional()).map(|marks| {
        b.section("step_filtered", |b| {
            count_token::record(b, table, tokens, marks, Dim::ROWS);
            let y = decode_stack(b, &layers, table_e, tokens);
            head.record(b, y, step_logits, Dim::ROWS);
            filter::record(b, step_logits, table, marks, Dim::ROWS);
            draw(b, sample::Marks::Filtered(marks));
        })
    });
    let score = b.section("score", |b| {
        window_lse(b);
        let op = target_log_prob::TargetLogProb { x: window_logits, lse, targets, y: target_log_probs };
        target_log_prob::record(b, op, window);
    });
    let logits = b.section("logits", |b| {
        window_lse(b);
        softmax::record(b, window_logits, lse, all_log_probs, window, softmax::Kind::LogSoftmax);
    });
    let permute = permute_section(b, &layers, &scratch, row_source);

    LanguageModel {
        plan: std::mem::take(b).finish(),
        shape,
        layers,
        input,
        targets,
        target_log_probs,
        window_logits,
        all_log_probs,
        table,
        tokens,
        forced,
        ids,
        log_probs,
        marks,
        row_source,
        arrivals,
        step,
        step_filtered,
        score,
        logits,
        permute,
    }
}

/// Row m of every state becomes what row `source[m]` was; through slot 0 of the scratch over time.
fn permute_section(b: &mut Builder, layers: &[Layer], scratch: &StackScratch, source: TensorId) -> SectionId {
    b.section("permute", |b| {
        for (layer, over_time) in layers.iter().zip(&scratch.layers) {
            let slots = std::iter::once((layer.h, read_slot())).chain(layer.c.map(|c| (c, 0.into())));
            for (state, at) in slots {
                let room = layer.parts.filter(|_| Some(state) == layer.c).map_or(over_time.states, |parts| parts.c);
                let away = gather_rows::GatherRows { from: state, index: source, to: room };
                let offsets = gather_rows::Offsets { from: at, to: 0.into(), gather: true };
                gather_rows::record(b, away, Dim::ROWS, offsets);
                let back = gather_rows::GatherRows { from: room, index: source, to: state };
                let offsets = gather_rows::Offsets { from: 0.into(), to: at, gather: false };
                gather_rows::record(b, back, Dim::ROWS, offsets);
            }
        }
    })
}
