//! How sequences come into a batch: a queue that idle rows take from, and long prompts that are read on the side.
//!
//! A prompt on the side has an *index*: a row of the saved states. `prefill` loads the states of some indices into
//! prefill slots, reads tokens, and saves them again, so that any prompts can go on together. A record in the queue names the
//! place that its sequence starts from; `admit` moves records, states and token flags to rows that are idle.

use super::decoding::DrawnRows;
use super::{Layer, Rows, StackScratch, rnn_stack};
use crate::ops::rows::ROW_WORDS;
use crate::ops::{admit, embed, gather_rows::GatherRows, place_rows, place_rows::Indexed, start_token_flags};
use crate::plan::{Builder, Dim, Role, SectionId, TensorId};

/// What a language model's prompts are read with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shared {
    /// `[T, B]` u32.
    pub input: TensorId,
    /// `[V, E]`.
    pub embedding: TensorId,
    /// `[T * B, E]`.
    pub x: TensorId,
}

/// The queue, the saved states, and the sections that fill rows.
#[derive(Clone, Copy, Debug)]
pub struct Admission {
    /// `[2, 1]` u32: how many sequences were taken from the queue, and how many have come.
    pub queue: TensorId,
    /// `[Q, 32]` u32: records of the table that wait.
    pub records: TensorId,
    /// `[B]` u32: numbers of sequences that end at once.
    pub cancels: TensorId,
    /// `[E, 2]` u32: tokens and their token flags, where rows may have filters.
    pub edits: Option<TensorId>,
    /// `[B]` u32: the index whose states each slot of `prefill` loads.
    pub prefill_from: TensorId,
    /// `[B]` u32: the index where each slot saves them.
    pub prefill_to: TensorId,
    /// Section `prefill`: prefill slots read T tokens of `input`. Always run as step 0, with as many rows as there are prefill slots.
    pub prefill: SectionId,
    /// Section `admit`: idle rows take what is next in the queue.
    pub admit: SectionId,
}

/// States, and the rows of each that are meant.
pub(super) type States = Vec<(TensorId, crate::plan::Affine)>;

/// Those of layers, whose h stands there.
pub(super) fn states(layers: &[Layer], h: crate::plan::Affine) -> States {
    layers.iter().flat_map(|layer| std::iter::once((layer.h, h)).chain(layer.c.map(|c| (c, 0.into())))).collect()
}

/// Places of states that wait for a row, and where `prefill` finds and leaves them.
pub(super) struct Saved<'a> {
    /// `[P, *]`: in the order of the states.
    pub tensors: &'a [TensorId],
    pub from: TensorId,
    pub to: TensorId,
}

/// Puts rows where an index says.
pub(super) fn place(b: &mut Builder, from: TensorId, index: TensorId, to: TensorId, by: Indexed) {
    place_rows::record(b, GatherRows { from, index, to }, Dim::ROWS, by);
}

/// Declares what admission needs and writes its sections: `queue` is Q, `vocab` V, `places` P. `prefill` writes how
/// states come to their places.
pub(super) fn admission(
    b: &mut Builder,
    states: &States,
    rows: &DrawnRows,
    (queue, vocab, places): (usize, usize, Dim),
    prefill: impl FnOnce(&mut Builder, Saved),
) -> Admission {
    let words = |b: &mut Builder, role, name, shape: &[Dim]| b.u32(role, name, shape);
    let records = words(b, Role::Io, "records", &[queue.into(), ROW_WORDS.into()]);
    let cancels = words(b, Role::Io, "cancels", &[Dim::ROWS]);
    let counters = words(b, Role::State, "queue", &[2.into(), 1.into()]);
    let admitted = words(b, Role::State, "places", &[Dim::ROWS]);
    let prefill_from = words(b, Role::Io, "prefill_from", &[Dim::ROWS]);
    let prefill_to = words(b, Role::Io, "prefill_to", &[Dim::ROWS]);
    let edits = rows.token_flags.map(|_| words(b, Role::Io, "edits", &[(vocab + EDITS).into(), 2.into()]));
    let saved = |(state, _): &(TensorId, _)| {
        let name = format!("saved_{}", b.tensor(*state).name);
        let width = *b.tensor(*state).shape.last().expect("a state has an axis");
        b.f32(Role::State, name, &[places, width])
    };
    let saved: Vec<TensorId> = states.iter().map(saved).collect();
    let write = |b: &mut Builder| prefill(b, Saved { tensors: &saved, from: prefill_from, to: prefill_to });
    let prefill = b.section("prefill", write);
    let admit = b.section("admit", |b| {
        let DrawnRows { table, tokens, token_flags, .. } = *rows;
        admit::record(
            b,
            admit::Admit { table, queue: counters, records, cancels, tokens, places: admitted },
            Dim::ROWS,
        );
        for ((state, at), saved) in states.iter().zip(&saved) {
            place(b, *saved, admitted, *state, Indexed::Gather { from: 0.into(), to: *at });
        }
        if let (Some(edits), Some(token_flags)) = (edits, token_flags) {
            let op = start_token_flags::StartTokenFlags { table, places: admitted, edits, token_flags };
            start_token_flags::record(b, op, Dim::ROWS);
        }
    });
    Admission { queue: counters, records, cancels, edits, prefill_from, prefill_to, prefill, admit }
}

/// A language model's states on the side, one a prompt that is being read.
pub(super) fn prefill_slots(b: &mut Builder, layers: &[Layer]) -> Vec<Layer> {
    layers.iter().enumerate().map(|(i, layer)| lane_of(b, i, layer)).collect()
}

/// Reads T tokens of some prompts, from the states at their places and back to there.
pub(super) fn read_prompts(b: &mut Builder, slots: &[Layer], scratch: &StackScratch, on: Shared, saved: Saved) {
    for ((slot, at), from) in states(slots, 0.into()).into_iter().zip(saved.tensors) {
        place(b, *from, saved.from, slot, Indexed::Gather { from: 0.into(), to: at });
    }
    let op = embed::Embed { ids: on.input, table: on.embedding, y: on.x };
    embed::record(b, op, Dim::TIME * Dim::ROWS, embed::EmbedOffsets { ids: 0.into(), y: 0.into() });
    rnn_stack(b, slots, scratch, Rows { tensor: on.x, first: 0.into() });
    // Step 0 wrote slot 1.
    for ((slot, at), to) in states(slots, Dim::ROWS.into()).into_iter().zip(saved.tensors) {
        place(b, slot, saved.to, *to, Indexed::Scatter { from: at, to: 0.into() });
    }
}

/// Token flags of sequences that wait, beyond a vocabulary of them.
const EDITS: usize = 1 << 16;

/// The same weights with states of their own.
fn lane_of(b: &mut Builder, index: usize, layer: &Layer) -> Layer {
    let like = |b: &mut Builder, state: TensorId, name: &str| {
        let shape = b.tensor(state).shape.clone();
        b.f32(Role::State, format!("lane_{name}_l{index}"), &shape)
    };
    Layer { h: like(b, layer.h, "h"), c: layer.c.map(|c| like(b, c, "c")), ..*layer }
}
