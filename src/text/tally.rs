//! Counts of the text that was read, and of what the vocabulary lacked.

/// Different pieces of lacking text that are remembered; of the others only the number is.
const KINDS: usize = 6;
/// Characters of such a piece at most.
const LONGEST: usize = 24;

/// Counts of an [`Encoder`](super::Encoder) since they were last taken.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Bytes of text, as it stood there.
    pub bytes: u64,
    /// Bytes that the first token stands for.
    pub first: u64,
    /// Text that the vocabulary lacked, where that was no error.
    pub lacking: Lacking,
}

impl Tally {
    /// Bytes after the first token that became tokens of the vocabulary or the unknown token; with `first`, those of the
    /// first token too.
    pub fn encoded(&self, first: bool, skipped: bool) -> u64 {
        let not = if first { 0 } else { self.first } + if skipped { self.lacking.bytes } else { 0 };
        self.bytes.saturating_sub(not)
    }
}

/// Text that a vocabulary lacked: how much, and what.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lacking {
    /// How often something was lacking.
    pub places: u64,
    /// Bytes of all that.
    pub bytes: u64,
    /// The first different pieces, each with how often it came.
    pub kinds: Vec<(String, u64)>,
}

impl Lacking {
    /// Notes a piece of text.
    pub fn add(&mut self, text: &str) {
        self.places += 1;
        self.bytes += text.len() as u64;
        let end = text.char_indices().nth(LONGEST).map_or(text.len(), |(at, _)| at);
        self.note(&text[..end], 1);
    }

    /// Adds what another text lacked.
    pub fn extend(&mut self, other: &Lacking) {
        self.places += other.places;
        self.bytes += other.bytes;
        other.kinds.iter().for_each(|(text, times)| self.note(text, *times));
    }

    fn note(&mut self, text: &str, times: u64) {
        if let Some((_, before)) = self.kinds.iter_mut().find(|(kind, _)| kind == text) {
            *before += times;
        } else if self.kinds.len() < KINDS {
            self.kinds.push((text.into(), times));
        }
    }
}
