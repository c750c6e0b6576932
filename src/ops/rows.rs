//! The row table: one record for each sequence in flight, kept where the sampler runs.

use bytemuck::{Pod, Zeroable};

/// Not a token: an unused stop id, the output of a row that is not running.
pub const NO_TOKEN: u32 = u32::MAX;

/// 32-bit words of a record.
pub const ROW_WORDS: usize = 32;

/// Why a row is not running any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// It drew one of its stop ids.
    Stop,
    /// It reached its last position.
    Length,
}

/// The record of a row. Options are data here and never constants of a kernel.
#[derive(Clone, Copy, Debug, Pod, Zeroable, PartialEq)]
#[repr(C)]
pub struct Row {
    /// 1 while tokens are drawn for it.
    pub running: u32,
    /// Position in the sequence of the token that is drawn next; the start token has position 0.
    pub position: u32,
    /// Number of the sequence, low word first.
    pub sequence: [u32; 2],
    /// Seed, low word first.
    pub seed: [u32; 2],
    /// 1 / temperature; 0 takes the most likely token, without noise.
    pub inverse_temperature: f32,
    /// The row ends when its position reaches this.
    pub end_position: u32,
    /// Next prompt token to be forced, an index into the tensor `forced`.
    pub forced_next: u32,
    /// One past the last prompt token to be forced.
    pub forced_end: u32,
    /// Tokens that end the row, or [`NO_TOKEN`].
    pub stop: [u32; 4],
    /// 0 while running, 1 after a stop id, 2 at the last position.
    pub finish: u32,
    /// The options below that the row has: bits of [`super::filters`]. A greedy row has no use for a limit,
    /// and has none of [`super::filters::LIMITS`].
    pub filters: u32,
    /// Tokens that are kept: the likeliest ones.
    pub top_k: u32,
    /// Mass that is kept, in units of 2^-32.
    pub top_p: u32,
    /// Logarithm of the smallest probability that is kept, in terms of the largest.
    pub ln_min_p: f32,
    /// Multiplies negative logits of tokens that occurred.
    pub repetition: f32,
    /// Its reciprocal multiplies positive ones: a device's division may be inexact, its products are not.
    pub inverse_repetition: f32,
    /// Subtracted from the logits of tokens that occurred.
    pub presence: f32,
    /// Subtracted from a logit for each time that its token occurred.
    pub frequency: f32,
    /// The key of the last token that is kept, low word first: see [`super::filters::key`]. Written by `filter`.
    pub limit: [u32; 2],
    /// The host's name of what the row generates, so that it can be cancelled: see [`super::admit`]. 0 names nothing.
    pub number: u32,
    /// The token that a sequence reads first, when [`super::admit`] starts it.
    pub first_token: u32,
    /// Where the state is that it starts from: a row of the saved states, or [`super::place_rows::ZERO_ROW`].
    pub place: u32,
    /// Its first entry of `edits`: what is known of tokens when it starts, see [`super::start_token_flags`].
    pub edits_first: u32,
    /// One past its last entry.
    pub edits_end: u32,
    /// Zero, which no compiler knows: see `pinned` in `shaders/lib/filters.wgsl`.
    pub zero: u32,
    /// Tokens of the source that its decoder attends to, at `place` of the memory; 0 without one.
    pub source_len: u32,
}

impl Row {
    /// An idle row.
    pub const IDLE: Row = Row {
        running: 0,
        position: 0,
        sequence: [0; 2],
        seed: [0; 2],
        inverse_temperature: 0.0,
        end_position: 0,
        forced_next: 0,
        forced_end: 0,
        stop: [NO_TOKEN; 4],
        finish: 0,
        filters: 0,
        top_k: 0,
        top_p: 0,
        ln_min_p: 0.0,
        repetition: 1.0,
        inverse_repetition: 1.0,
        presence: 0.0,
        frequency: 0.0,
        limit: [0; 2],
        number: 0,
        first_token: 0,
        place: 0,
        edits_first: 0,
        edits_end: 0,
        zero: 0,
        source_len: 0,
    };

    /// The record as it lies in the table.
    pub fn to_words(self) -> [u32; ROW_WORDS] {
        bytemuck::cast(self)
    }

    /// A record of the table.
    pub fn from_words(words: &[u32]) -> Row {
        bytemuck::pod_read_unaligned(bytemuck::cast_slice(&words[..ROW_WORDS]))
    }

    /// Moves on by the token that was drawn or forced; the counterpart of `advance` in `shaders/lib/advance.wgsl`.
    pub fn advance(&mut self, token: u32, forced: bool) {
        self.position += 1;
        self.forced_next += u32::from(forced);
        if !forced && self.stop.contains(&token) {
            self.finish = 1;
        } else if self.position >= self.end_position {
            self.finish = 2;
        }
        self.running = u32::from(self.finish == 0);
    }

    /// Whether the token that is drawn next is one of its prompt.
    pub fn is_forced(&self) -> bool {
        self.forced_next < self.forced_end
    }

    /// Why the row ended, if it did.
    pub fn finished(&self) -> Option<Finish> {
        match self.finish {
            1 => Some(Finish::Stop),
            2 => Some(Finish::Length),
            _ => None,
        }
    }
}

/// A 64-bit number as the table holds it, low word first.
pub fn halves(x: u64) -> [u32; 2] {
    [x as u32, (x >> 32) as u32]
}
