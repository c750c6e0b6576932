//! How sequences come into a batch: a queue that idle rows take from, and long prompts that are read on the side.
//!
//! A prompt on the side has an *index*: a row of the saved states. `prefill` loads the states of some indices into
//! prefill slots, reads tokens, and saves them again, so that any prompts can go on together. A record in the queue names the
//! place that its sequence starts from; `admit` moves records, states and token flags to rows that are idle.

use super::{Layer, Rows, StackScratch, rnn_stack};
use crate::ops::rows::ROW_WORDS;
use crate::ops::{admit, embed, gather_rows::GatherRows, place_rows, place_rows::Indexed, start_token_flags};
use crate::plan::{Builder, Dim, Role, SectionId, TensorId};

/// The tensors that sections of admission share with a step.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shared {
    /// `[T, B]` u32.
    pub input: TensorId,
    /// `[V, E]`.
    pub embedding: TensorId,
    /// `[T * B, E]`.
    pub x: TensorId,
    /// `[B, 32]` u32.
    pub table: TensorId,
    /// `[B]` u32.
    pub tokens: TensorId,
    /// `[B, V]` u32.
    pub token_flags: Option<TensorId>,
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

/// A layer's states, and the slot of h that is meant.
type Slots = Vec<(TensorId, crate::plan::Affine)>;

fn slots(layers: &[Layer], h: crate::plan::Affine) -> Slots {
    layers.iter().flat_map(|layer| std::iter::once((layer.h, h)).chain(layer.c.map(|c| (c, 0.into())))).collect()
}

/// Declares what admission need and writes their sections; `queue` is Q.
pub(super) fn admission(
    b: &mut Builder,
    layers: &[Layer],
    scratch: &StackScratch,
    on: Shared,
    queue: usize,
) -> Admission {
    let words = |b: &mut Builder, role, name, shape: &[Dim]| b.u32(role, name, shape);
    let records = words(b, Role::Io, "records", &[queue.into(), ROW_WORDS.into()]);
    let cancels = words(b, Role::Io, "cancels", &[Dim::ROWS]);
    let counters = words(b, Role::State, "queue", &[2.into(), 1.into()]);
    let places = words(b, Role::State, "places", &[Dim::ROWS]);
    let prefill_from = words(b, Role::Io, "prefill_from", &[Dim::ROWS]);
    let prefill_to = words(b, Role::Io, "prefill_to", &[Dim::ROWS]);
    let vocab = b.tensor(on.embedding).shape[0].as_fixed().expect("a vocabulary is fixed");
    let edits = on.token_flags.map(|_| words(b, Role::Io, "edits", &[(vocab + EDITS).into(), 2.into()]));
    let prefill_slots: Vec<Layer> = layers.iter().enumerate().map(|(i, layer)| lane_of(b, i, layer)).collect();
    let saved: Vec<TensorId> = slots(layers, 0.into())
        .iter()
        .map(|(state, _)| {
            let name = format!("saved_{}", b.tensor(*state).name);
            let hidden = *b.tensor(*state).shape.last().expect("a state has an axis");
            b.f32(Role::State, name, &[Dim::ROWS, hidden])
        })
        .collect();

    let place = |b: &mut Builder, from, index, to, place| {
        place_rows::record(b, GatherRows { from, index, to }, Dim::ROWS, place);
    };
    let prefill = b.section("prefill", |b| {
        for ((lane, at), saved) in slots(&prefill_slots, 0.into()).into_iter().zip(&saved) {
            place(b, *saved, prefill_from, lane, Indexed::Gather { from: 0.into(), to: at });
        }
        let op = embed::Embed { ids: on.input, table: on.embedding, y: on.x };
        embed::record(b, op, Dim::TIME * Dim::ROWS, embed::EmbedOffsets { ids: 0.into(), y: 0.into() });
        rnn_stack(b, &prefill_slots, scratch, Rows { tensor: on.x, first: 0.into() });
        // Step 0 wrote slot 1.
        for ((lane, at), saved) in slots(&prefill_slots, Dim::ROWS.into()).into_iter().zip(&saved) {
            place(b, lane, prefill_to, *saved, Indexed::Scatter { from: at, to: 0.into() });
        }
    });
    let admit = b.section("admit", |b| {
        let Shared { table, tokens, .. } = on;
        admit::record(b, admit::Admit { table, queue: counters, records, cancels, tokens, places }, Dim::ROWS);
        for ((state, at), saved) in slots(layers, super::stack::read_slot()).into_iter().zip(&saved) {
            place(b, *saved, places, state, Indexed::Gather { from: 0.into(), to: at });
        }
        if let (Some(edits), Some(token_flags)) = (edits, on.token_flags) {
            start_token_flags::record(
                b,
                start_token_flags::StartTokenFlags { table, places, edits, token_flags },
                Dim::ROWS,
            );
        }
    });
    Admission { queue: counters, records, cancels, edits, prefill_from, prefill_to, prefill, admit }
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
