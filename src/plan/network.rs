//! The networks, from free functions that each write a part: weights, a recurrent stack over time, a decode step,
//! the head, the sampler. An encoder-decoder would be built from the same parts.

use super::{Affine, Builder, Dim, Direction, Plan, Role, SectionId, TensorId};
use crate::ops::lstm_decode::Input;
use crate::ops::rows::ROW_WORDS;
use crate::ops::{
    count_token, embed, filter, gather_rows, gru_decode, gru_step, logsumexp, lstm_decode, lstm_step, matmul,
    reset_rows, sample, softmax, target_log_prob,
};

/// The recurrent cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cell {
    /// Long short-term memory: gates i f g o, states h and c.
    Lstm,
    /// Gated recurrent unit: gates r z n, state h.
    Gru,
}

impl Cell {
    /// Number of gates.
    pub fn gates(self) -> usize {
        match self {
            Cell::Lstm => 4,
            Cell::Gru => 3,
        }
    }

    /// The name in config.json.
    pub fn name(self) -> &'static str {
        match self {
            Cell::Lstm => "lstm",
            Cell::Gru => "gru",
        }
    }
}

/// Weights and states of one recurrent layer.
#[derive(Clone, Copy, Debug)]
pub struct Layer {
    /// The cell.
    pub cell: Cell,
    /// H.
    pub hidden: usize,
    /// `[G, H, K]`.
    pub w_ih: TensorId,
    /// `[G, H, H]`.
    pub w_hh: TensorId,
    /// `[G, H]`.
    pub b_ih: TensorId,
    /// `[G, H]`.
    pub b_hh: TensorId,
    /// `[2, B, H]`: the state before and after a step, in turn.
    pub h: TensorId,
    /// `[1, B, H]`: the cell state, an LSTM's.
    pub c: Option<TensorId>,
}

/// Slots of a layer's `h`: the step of the section reads one and writes the other.
const SLOTS: usize = 2;

/// The slot that step t reads, as a row offset.
fn read_slot() -> Affine {
    Affine::STEP.modulo(SLOTS).times(Dim::ROWS)
}

/// The slot that step t writes, as a row offset.
fn write_slot() -> Affine {
    Affine::STEP.plus(1).modulo(SLOTS).times(Dim::ROWS)
}

/// Declares a layer under PyTorch's names `{prefix}weight_ih_l{index}` and so on, and its states.
pub fn layer(b: &mut Builder, cell: Cell, prefix: &str, index: usize, inputs: usize, hidden: usize) -> Layer {
    let gates = cell.gates();
    let weight = |b: &mut Builder, name: &str, shape: &[usize]| {
        let shape: Vec<Dim> = shape.iter().map(|&n| n.into()).collect();
        b.f32(Role::Weight, format!("{prefix}{name}_l{index}"), &shape)
    };
    let w_ih = weight(b, "weight_ih", &[gates, hidden, inputs]);
    let w_hh = weight(b, "weight_hh", &[gates, hidden, hidden]);
    let b_ih = weight(b, "bias_ih", &[gates, hidden]);
    let b_hh = weight(b, "bias_hh", &[gates, hidden]);
    let units = b.split_group();
    b.split(w_ih, 1, units);
    b.split(w_hh, 1, units);
    let h = b.f32(Role::State, format!("h_l{index}"), &[SLOTS.into(), Dim::ROWS, hidden.into()]);
    let c =
        (cell == Cell::Lstm).then(|| b.f32(Role::State, format!("c_l{index}"), &[1.into(), Dim::ROWS, hidden.into()]));
    Layer { cell, hidden, w_ih, w_hh, b_ih, b_hh, h, c }
}

/// A run of rows of a tensor: where a sequence `[T, B, K]` starts.
#[derive(Clone, Copy, Debug)]
pub struct Rows {
    /// `[*, K]`.
    pub tensor: TensorId,
    /// The first row.
    pub first: Affine,
}

/// Scratch of one layer over time.
#[derive(Clone, Copy, Debug)]
struct OverTime {
    /// `[T, B, G, H]`: the input products.
    gx: TensorId,
    /// `[T + 1, B, H]`: the states, the initial one first.
    states: TensorId,
}

/// Scratch that [`rnn_stack`] needs, declared once and shared by the sections.
#[derive(Clone, Debug)]
pub struct StackScratch {
    layers: Vec<OverTime>,
    /// `[B]` u32 for row copies in order.
    order: TensorId,
}

/// Declares the scratch of a stack over time. Layers share one tensor of input products.
pub fn stack_scratch(b: &mut Builder, layers: &[Layer]) -> StackScratch {
    let mut products: Vec<((usize, usize), TensorId)> = Vec::new();
    let over_time = layers.iter().enumerate().map(|(i, layer)| {
        let key = (layer.cell.gates(), layer.hidden);
        let known = products.iter().find(|(k, _)| *k == key).map(|(_, id)| *id);
        let gx = known.unwrap_or_else(|| {
            let shape = [Dim::TIME, Dim::ROWS, key.0.into(), key.1.into()];
            b.f32(Role::Scratch, format!("input_products_{}x{}", key.0, key.1), &shape)
        });
        products.push((key, gx));
        let states = b.f32(Role::Scratch, format!("states_l{i}"), &[Dim::TIME.plus(1), Dim::ROWS, layer.hidden.into()]);
        OverTime { gx, states }
    });
    let layers = over_time.collect();
    StackScratch { layers, order: b.u32(Role::Io, "row_order", &[Dim::ROWS]) }
}

/// A stack of layers over T steps: from x `[T, B, K]` and the layers' states to y `[T, B, H]` and the new states.
///
/// Each layer takes one matrix product for all its inputs, then T steps. Counts as one step of the section's
/// counter: the states are read from one slot and written to the other.
pub fn rnn_stack(b: &mut Builder, layers: &[Layer], scratch: &StackScratch, x: Rows) -> Rows {
    let mut x = x;
    for (layer, over_time) in layers.iter().zip(&scratch.layers) {
        let OverTime { gx, states } = *over_time;
        let product = matmul::Matmul { x: x.tensor, w: layer.w_ih, bias: layer.b_ih, y: gx };
        matmul::record(b, product, Dim::TIME * Dim::ROWS, x.first, 0);
        let copy = |b: &mut Builder, from, to, at: [Affine; 2]| {
            let at = gather_rows::Offsets { from: at[0], to: at[1], gather: false };
            gather_rows::record(b, gather_rows::GatherRows { from, index: scratch.order, to }, Dim::ROWS, at);
        };
        copy(b, layer.h, states, [read_slot(), 0.into()]);
        b.repeat(Dim::TIME, Direction::Forward, |b| {
            let now = Affine::REPEAT.times(Dim::ROWS);
            step(b, layer, gx, states, now, Affine::REPEAT.plus(1).times(Dim::ROWS));
        });
        copy(b, states, layer.h, [(Dim::TIME * Dim::ROWS).into(), write_slot()]);
        x = Rows { tensor: states, first: Dim::ROWS.into() };
    }
    x
}

/// One step of a layer over time; row `now` of the input products and states, to row `next` of the states.
fn step(b: &mut Builder, layer: &Layer, gx: TensorId, h: TensorId, now: Affine, next: Affine) {
    let Layer { w_hh, b_hh, .. } = *layer;
    match layer.c {
        Some(c) => {
            let zero = 0.into();
            let at = lstm_step::Offsets { gx: now, h_read: now, h_write: next, c_read: zero, c_write: zero };
            lstm_step::record(b, lstm_step::LstmStep { gx, w_hh, b_hh, h, c }, Dim::ROWS, at);
        }
        None => {
            let at = gru_step::Offsets { gx: now, h_read: now, h_write: next };
            gru_step::record(b, gru_step::GruStep { gx, w_hh, b_hh, h }, Dim::ROWS, at);
        }
    }
}

/// One token through a stack: row `ids[m]` of `table` through all layers, one op each. Gives the last h.
pub fn decode_stack(b: &mut Builder, layers: &[Layer], table: TensorId, ids: TensorId) -> Rows {
    let (mut source, mut x) = (table, Input::Gather);
    for layer in layers {
        let Layer { w_ih, w_hh, b_ih, b_hh, h, .. } = *layer;
        let (h_read, h_write) = (read_slot(), write_slot());
        match layer.c {
            Some(c) => {
                let op = lstm_decode::LstmDecode { source, ids, w_ih, w_hh, b_ih, b_hh, h, c };
                lstm_decode::record(b, op, Dim::ROWS, lstm_decode::Offsets { x, h_read, h_write, c: 0.into() });
            }
            None => {
                let op = gru_decode::GruDecode { source, ids, w_ih, w_hh, b_ih, b_hh, h };
                gru_decode::record(b, op, Dim::ROWS, gru_decode::Offsets { x, h_read, h_write });
            }
        }
        (source, x) = (h, Input::Rows(write_slot()));
    }
    Rows { tensor: source, first: write_slot() }
}

/// The output layer: weight `[1, V, H]`, bias `[1, V]`, and what is cut with them.
#[derive(Clone, Copy, Debug)]
pub struct Head {
    /// `[1, V, H]`.
    pub weight: TensorId,
    /// `[1, V]`.
    pub bias: TensorId,
    /// V.
    pub vocab: usize,
    group: super::SplitGroup,
}

/// Declares the output layer.
pub fn head(b: &mut Builder, vocab: usize, hidden: usize) -> Head {
    let weight = b.f32(Role::Weight, "output.weight", &[1.into(), vocab.into(), hidden.into()]);
    let bias = b.f32(Role::Weight, "output.bias", &[1.into(), vocab.into()]);
    let group = b.split_group();
    b.split(weight, 1, group);
    Head { weight, bias, vocab, group }
}

impl Head {
    /// Declares a tensor [rows, 1, V] that is cut where the weight is.
    pub fn logits(&self, b: &mut Builder, role: Role, name: &str, rows: Dim) -> TensorId {
        let logits = b.f32(role, name, &[rows, 1.into(), self.vocab.into()]);
        b.split(logits, 2, self.group);
        logits
    }

    /// Declares a tensor of words [rows, V] that is cut where the weight is.
    pub fn marks(&self, b: &mut Builder, name: &str, rows: Dim) -> TensorId {
        let marks = b.u32(Role::State, name, &[rows, self.vocab.into()]);
        b.split(marks, 1, self.group);
        marks
    }

    /// Records logits = W x + b.
    pub fn record(&self, b: &mut Builder, x: Rows, logits: TensorId, rows: Dim) {
        let op = matmul::Matmul { x: x.tensor, w: self.weight, bias: self.bias, y: logits };
        matmul::record(b, op, rows, x.first, 0);
    }
}

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
    /// Prompt tokens that rows can hold in all to be forced.
    pub forced: usize,
    /// Whether rows may have filters: marks `[B, V]`, and the section `step_filtered`.
    pub filters: bool,
}

/// A language model's plan and the names of what the host touches.
///
/// Sections: `prefill` (read T tokens a row, keep the states), `step` (one token for every row, drawn and fed back),
/// `step_filtered` (the same for rows that may have filters, if there is room for them), `score` (as prefill, with the log-probability of each next token), `logits` (as prefill, with all
/// log-probabilities), `reset` (zero states of some rows), `permute` (rows change places).
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
    /// `[T, B, 1, V]` log-probabilities, of `logits`.
    pub all_log_probs: TensorId,
    /// `[B, 32]` u32: the row table.
    pub table: TensorId,
    /// `[B]` u32: the token that each row reads next.
    pub tokens: TensorId,
    /// `[F]` u32: prompt tokens to be forced.
    pub forced: TensorId,
    /// `[ring, B]` u32: drawn tokens.
    pub ids: TensorId,
    /// `[ring, B]`: their log-probabilities.
    pub log_probs: TensorId,
    /// `[B, V]` u32: how often tokens occurred, and which are banned; see [`crate::ops::filters`].
    pub marks: Option<TensorId>,
    /// `[B]` u32: flags of `reset`.
    pub reset_flags: TensorId,
    /// `[B]` u32: where each row of `permute` comes from.
    pub row_source: TensorId,
    /// Section `prefill`.
    pub prefill: SectionId,
    /// Section `step`.
    pub step: SectionId,
    /// Section `step_filtered`.
    pub step_filtered: Option<SectionId>,
    /// Section `score`.
    pub score: SectionId,
    /// Section `logits`.
    pub logits: SectionId,
    /// Section `reset`.
    pub reset: SectionId,
    /// Section `permute`.
    pub permute: SectionId,
}

/// Writes the plan of a language model.
pub fn language_model(shape: Shape, room: Room) -> LanguageModel {
    let b = &mut Builder::new();
    let Shape { cell, vocab, embedding, hidden, layers } = shape;
    let window = Dim::TIME * Dim::ROWS;

    let table_e = b.f32(Role::Weight, "embedding.weight", &[vocab.into(), embedding.into()]);
    let embedding_group = b.split_group();
    b.split(table_e, 0, embedding_group);
    let layers: Vec<Layer> =
        (0..layers).map(|i| layer(b, cell, "rnn.", i, if i == 0 { embedding } else { hidden }, hidden)).collect();
    let head = head(b, vocab, hidden);

    let input = b.u32(Role::Io, "input", &[Dim::TIME, Dim::ROWS]);
    let targets = b.u32(Role::Io, "targets", &[Dim::TIME, Dim::ROWS]);
    let table = b.u32(Role::State, "table", &[Dim::ROWS, ROW_WORDS.into()]);
    let tokens = b.u32(Role::State, "tokens", &[Dim::ROWS]);
    let forced = b.u32(Role::Io, "forced", &[room.forced.max(1).into()]);
    let ids = b.u32(Role::Io, "ids", &[room.ring.into(), Dim::ROWS]);
    let log_probs = b.f32(Role::Io, "log_probs", &[room.ring.into(), Dim::ROWS]);
    let no_marks = b.u32(Role::State, "no_marks", &[1.into()]);
    let marks = room.filters.then(|| head.marks(b, "marks", Dim::ROWS));
    let target_log_probs = b.f32(Role::Io, "target_log_probs", &[window]);
    let reset_flags = b.u32(Role::Io, "reset_flags", &[Dim::ROWS]);
    let row_source = b.u32(Role::Io, "row_source", &[Dim::ROWS]);

    let scratch = stack_scratch(b, &layers);
    let x = b.f32(Role::Scratch, "x", &[window, embedding.into()]);
    let step_logits = head.logits(b, Role::Scratch, "step_logits", Dim::ROWS);
    let window_logits = head.logits(b, Role::Scratch, "window_logits", window);
    let all_log_probs = head.logits(b, Role::Io, "all_log_probs", window);
    let lse = b.f32(Role::Scratch, "lse", &[window]);

    let read_window = |b: &mut Builder| {
        embed::record(b, input, table_e, x, window, 0);
        rnn_stack(b, &layers, &scratch, Rows { tensor: x, first: 0.into() })
    };
    let window_lse = |b: &mut Builder| {
        let y = read_window(b);
        head.record(b, y, window_logits, window);
        logsumexp::record(b, window_logits, lse, window);
    };

    let prefill = b.section("prefill", |b| {
        read_window(b);
    });
    let draw = |b: &mut Builder, marks| {
        let op = sample::Sample { logits: step_logits, table, tokens, forced, ids, log_probs, marks };
        sample::record(b, op, Dim::ROWS, Affine::STEP.modulo(room.ring));
    };
    let step = b.section("step", |b| {
        let y = decode_stack(b, &layers, table_e, tokens);
        head.record(b, y, step_logits, Dim::ROWS);
        draw(b, sample::Marks::Unfiltered(no_marks));
    });
    let step_filtered = marks.map(|marks| {
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
    let reset = b.section("reset", |b| {
        for layer in &layers {
            reset_rows::record(b, layer.h, reset_flags, Dim::ROWS, read_slot());
            if let Some(c) = layer.c {
                reset_rows::record(b, c, reset_flags, Dim::ROWS, 0.into());
            }
        }
    });
    let permute = permute_section(b, &layers, &scratch, row_source);

    LanguageModel {
        plan: std::mem::take(b).finish(),
        shape,
        layers,
        input,
        targets,
        target_log_probs,
        all_log_probs,
        table,
        tokens,
        forced,
        ids,
        log_probs,
        marks,
        reset_flags,
        row_source,
        prefill,
        step,
        step_filtered,
        score,
        logits,
        reset,
        permute,
    }
}

/// Row m of every state becomes what row `source[m]` was; through slot 0 of the scratch over time.
fn permute_section(b: &mut Builder, layers: &[Layer], scratch: &StackScratch, source: TensorId) -> SectionId {
    b.section("permute", |b| {
        for (layer, over_time) in layers.iter().zip(&scratch.layers) {
            let slots = std::iter::once((layer.h, read_slot())).chain(layer.c.map(|c| (c, 0.into())));
            for (state, at) in slots {
                let away = gather_rows::GatherRows { from: state, index: source, to: over_time.states };
                let offsets = gather_rows::Offsets { from: at, to: 0.into(), gather: true };
                gather_rows::record(b, away, Dim::ROWS, offsets);
                let back = gather_rows::GatherRows { from: over_time.states, index: source, to: state };
                let offsets = gather_rows::Offsets { from: 0.into(), to: at, gather: false };
                gather_rows::record(b, back, Dim::ROWS, offsets);
            }
        }
    })
}

/// A recurrent stack alone, with raw x, h0, c0 in and y, hn, cn out.
#[derive(Clone, Debug)]
pub struct Stack {
    /// The plan.
    pub plan: Plan,
    /// Section `forward`; step 0 reads slot 0 of each layer's h and writes slot 1.
    pub forward: SectionId,
    /// `[T, B, K]`.
    pub x: TensorId,
    /// The last layer's states `[T + 1, B, H]`; y is all but the first.
    pub y: TensorId,
    /// The layers, with their states.
    pub layers: Vec<Layer>,
}

/// Writes the plan of a recurrent stack alone. Weights have PyTorch's names without a prefix.
pub fn stack(cell: Cell, inputs: usize, hidden: usize, layers: usize) -> Stack {
    let b = &mut Builder::new();
    let layers: Vec<Layer> =
        (0..layers).map(|i| layer(b, cell, "", i, if i == 0 { inputs } else { hidden }, hidden)).collect();
    let x = b.f32(Role::Io, "x", &[Dim::TIME, Dim::ROWS, inputs.into()]);
    let scratch = stack_scratch(b, &layers);
    let y = scratch.layers.last().expect("a stack has a layer").states;
    let forward = b.section("forward", |b| {
        rnn_stack(b, &layers, &scratch, Rows { tensor: x, first: 0.into() });
    });
    Stack { plan: std::mem::take(b).finish(), forward, x, y, layers }
}
