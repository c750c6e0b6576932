//! What draws tokens for the rows of a batch, whatever network gives the logits.

use super::Head;
use super::admission::Admission;
use crate::ops::rows::ROW_WORDS;
use crate::ops::{count_token, filter, sample};
use crate::plan::{Affine, Builder, Dim, Role, SectionId, TensorId};

/// How much memory sections that draw are written for, apart from B and T.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// Steps whose ids and log-probabilities are kept on the device until they are read.
    pub ring: usize,
    /// Sequences that can wait for a row: Q, a power of two.
    pub queue: usize,
    /// Prompt tokens of a sequence that can wait to be forced: R.
    pub forced: usize,
    /// Whether rows may have filters: token_flags `[B, V]`, and the section `step_filtered`.
    pub filters: bool,
}

/// What a generator runs and touches.
#[derive(Clone, Copy, Debug)]
pub struct Decoding {
    /// V.
    pub vocab: usize,
    /// `[T, B]` u32: tokens of prompts, or of sources, that `prefill` reads.
    pub input: TensorId,
    /// The tensors of what draws.
    pub rows: DrawnRows,
    /// The queue and the prompts on the side.
    pub admission: Admission,
    /// Section `step`: one token for every row, drawn and fed back.
    pub step: SectionId,
    /// Section `step_filtered`: the same for rows that may have filters.
    pub step_filtered: Option<SectionId>,
    /// Of an encoder-decoder, what its sources take.
    pub sources: Option<SourceMemory>,
}

/// Where an encoder-decoder keeps sources: places of the memory, which a sequence holds until its end.
#[derive(Clone, Copy, Debug)]
pub struct SourceMemory {
    /// S: tokens of a source at most.
    pub longest: usize,
    /// P: places.
    pub places: usize,
    /// V of the sources.
    pub vocab: usize,
    /// `[B]` u32: tokens of the sources that `prefill` reads.
    pub lengths: TensorId,
    /// `[4 B]` u32, all one.
    pub always: TensorId,
    /// `[ring B S]`: attention, where it is wanted.
    pub attention: Option<TensorId>,
}

impl Decoding {
    /// The sections that a generator runs.
    pub fn sections(&self) -> Vec<SectionId> {
        [self.admission.prefill, self.admission.admit, self.step].into_iter().chain(self.step_filtered).collect()
    }
}

/// The rows of a batch, and what they have drawn.
#[derive(Clone, Copy, Debug)]
pub struct DrawnRows {
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
    no_flags: TensorId,
    /// `[B, 1, V]`.
    pub(super) logits: TensorId,
    ring: usize,
}

impl DrawnRows {
    pub(super) fn declare(b: &mut Builder, head: &Head, capacity: Capacity) -> DrawnRows {
        let Capacity { ring, queue, forced, filters } = capacity;
        DrawnRows {
            table: b.u32(Role::State, "table", &[Dim::ROWS, ROW_WORDS.into()]),
            tokens: b.u32(Role::State, "tokens", &[Dim::ROWS]),
            forced: b.u32(Role::Io, "forced", &[Dim::ROWS.plus(queue), forced.into()]),
            ids: b.u32(Role::Io, "ids", &[ring.into(), Dim::ROWS]),
            log_probs: b.f32(Role::Io, "log_probs", &[ring.into(), Dim::ROWS]),
            token_flags: filters.then(|| head.token_flags(b, "token_flags", Dim::ROWS)),
            no_flags: b.u32(Role::State, "no_flags", &[1.into()]),
            logits: head.logits(b, Role::Scratch, "step_logits", Dim::ROWS),
            ring,
        }
    }

    /// The row block of a step in what is kept of each.
    pub(super) fn slot(&self) -> Affine {
        Affine::STEP.modulo(self.ring)
    }

    /// Sections `step` and `step_filtered`: from each row's token to its logits, by `read_token`, and to the next token.
    pub(super) fn sections(
        &self,
        b: &mut Builder,
        read_token: impl Fn(&mut Builder),
    ) -> (SectionId, Option<SectionId>) {
        let step = b.section("step", |b| {
            read_token(b);
            self.draw(b, sample::TokenFlags::Unfiltered(self.no_flags));
        });
        let filtered = self.token_flags.map(|flags| {
            b.section("step_filtered", |b| {
                count_token::record(b, self.table, self.tokens, flags, Dim::ROWS);
                read_token(b);
                filter::record(b, self.logits, self.table, flags, Dim::ROWS);
                self.draw(b, sample::TokenFlags::Filtered(flags));
            })
        });
        (step, filtered)
    }

    fn draw(&self, b: &mut Builder, token_flags: sample::TokenFlags) {
        let DrawnRows { logits, table, tokens, forced, ids, log_probs, .. } = *self;
        let op = sample::Sample { logits, table, tokens, forced, ids, log_probs, token_flags };
        sample::record(b, op, Dim::ROWS, self.slot());
    }
}
