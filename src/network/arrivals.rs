//! How sequences come into a batch: a queue that idle rows take from, and long prompts that are read on the side.
//!
//! A prompt on the side has a *place*: a row of the parked states. `prefill` loads the states of some places into
//! lanes, reads tokens, and parks them again, so that any prompts can go on together. A record in the queue names the
//! place that its sequence starts from; `admit` moves records, states and marks to rows that are idle.

use super::{Layer, Rows, StackScratch, rnn_stack};
use crate::ops::rows::ROW_WORDS;
use crate::ops::{admit, embed, gather_rows::GatherRows, place_rows, place_rows::Place, start_marks};
use crate::plan::{Builder, Dim, Role, SectionId, TensorId};

/// What sections of arrivals share with a step.
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
    pub marks: Option<TensorId>,
}

/// The queue, the parked states, and the sections that fill rows.
#[derive(Clone, Copy, Debug)]
pub struct Arrivals {
    /// `[2, 1]` u32: how many sequences were taken from the queue, and how many have come.
    pub queue: TensorId,
    /// `[Q, 32]` u32: records of the table that wait.
    pub records: TensorId,
    /// `[B]` u32: numbers of sequences that end at once.
    pub cancels: TensorId,
    /// `[E, 2]` u32: tokens and their marks, where rows may have filters.
    pub edits: Option<TensorId>,
    /// `[B]` u32: the place whose states each lane of `prefill` loads.
    pub lane_from: TensorId,
    /// `[B]` u32: the place where each lane parks them.
    pub lane_to: TensorId,
    /// Section `prefill`: lanes read T tokens of `input`. Always run as step 0, with as many rows as there are lanes.
    pub prefill: SectionId,
    /// Section `admit`: idle rows take what is next in the queue.
    pub admit: SectionId,
}

/// A layer's states, and the slot of h that is meant.
type Slots = Vec<(TensorId, crate::plan::Affine)>;

fn slots(layers: &[Layer], h: crate::plan::Affine) -> Slots {
    layers.iter().flat_map(|layer| std::iter::once((layer.h, h)).chain(layer.c.map(|c| (c, 0.into())))).collect()
}

/// Declares what arrivals need and writes their sections; `queue` is Q.
pub(super) fn arrivals(
    b: &mut Builder,
    layers: &[Layer],
    scratch: &StackScratch,
    on: Shared,
    queue: usize,
) -> Arrivals {
    let words = |b: &mut Builder, role, name, shape: &[Dim]| b.u32(role, name, shape);
    let records = words(b, Role::Io, "records", &[queue.into(), ROW_WORDS.into()]);
    let cancels = words(b, Role::Io, "cancels", &[Dim::ROWS]);
    let counters = words(b, Role::State, "queue", &[2.into(), 1.into()]);
    let places = words(b, Role::State, "places", &[Dim::ROWS]);
    let lane_from = words(b, Role::Io, "lane_from", &[Dim::ROWS]);
    let lane_to = words(b, Role::Io, "lane_to", &[Dim::ROWS]);
    let vocab = b.tensor(on.embedding).shape[0].as_fixed().expect("a vocabulary is fixed");
    let edits = on.marks.map(|_| words(b, Role::Io, "edits", &[(vocab + EDITS).into(), 2.into()]));
    let lanes: Vec<Layer> = layers.iter().enumerate().map(|(i, layer)| lane_of(b, i, layer)).collect();
    let parked: Vec<TensorId> = slots(layers, 0.into())
        .iter()
        .map(|(state, _)| {
            let name = format!("parked_{}", b.tensor(*state).name);
            let hidden = *b.tensor(*state).shape.last().expect("a state has an axis");
            b.f32(Role::State, name, &[Dim::ROWS, hidden])
        })
        .collect();

    let place = |b: &mut Builder, from, index, to, place| {
        place_rows::record(b, GatherRows { from, index, to }, Dim::ROWS, place);
    };
    let prefill = b.section("prefill", |b| {
        for ((lane, at), parked) in slots(&lanes, 0.into()).into_iter().zip(&parked) {
            place(b, *parked, lane_from, lane, Place::Gather { from: 0.into(), to: at });
        }
        let op = embed::Embed { ids: on.input, table: on.embedding, y: on.x };
        embed::record(b, op, Dim::TIME * Dim::ROWS, embed::Offsets { ids: 0.into(), y: 0.into() });
        rnn_stack(b, &lanes, scratch, Rows { tensor: on.x, first: 0.into() });
        // Step 0 wrote slot 1.
        for ((lane, at), parked) in slots(&lanes, Dim::ROWS.into()).into_iter().zip(&parked) {
            place(b, lane, lane_to, *parked, Place::Scatter { from: at, to: 0.into() });
        }
    });
    let admit = b.section("admit", |b| {
        let Shared { table, tokens, .. } = on;
        admit::record(b, admit::Admit { table, queue: counters, records, cancels, tokens, places }, Dim::ROWS);
        for ((state, at), parked) in slots(layers, super::stack::read_slot()).into_iter().zip(&parked) {
            place(b, *parked, places, state, Place::Gather { from: 0.into(), to: at });
        }
        if let (Some(edits), Some(marks)) = (edits, on.marks) {
            start_marks::record(b, start_marks::StartMarks { table, places, edits, marks }, Dim::ROWS);
        }
    });
    Arrivals { queue: counters, records, cancels, edits, lane_from, lane_to, prefill, admit }
}

/// Marks of sequences that wait, beyond a vocabulary of them.
const EDITS: usize = 1 << 16;

/// The same weights with states of their own.
fn lane_of(b: &mut Builder, index: usize, layer: &Layer) -> Layer {
    let like = |b: &mut Builder, state: TensorId, name: &str| {
        let shape = b.tensor(state).shape.clone();
        b.f32(Role::State, format!("lane_{name}_l{index}"), &shape)
    };
    Layer { h: like(b, layer.h, "h"), c: layer.c.map(|c| like(b, c, "c")), ..*layer }
}
