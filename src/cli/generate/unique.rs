//! Texts that were written before.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

/// A set of texts: 64 bits each, in a table of 32 bytes a text at most while it grows. The chance that a text is taken
/// for another is 3 in 10^8 among a million.
#[derive(Default)]
pub(super) struct Unique {
    seen: HashSet<u64>,
    /// Texts that had been there.
    pub dropped: u64,
}

impl Unique {
    /// Whether a text is new.
    pub fn insert(&mut self, text: &str) -> bool {
        let mut hasher = DefaultHasher::new();
        text.hash(&mut hasher);
        let is_new = self.seen.insert(hasher.finish());
        self.dropped += u64::from(!is_new);
        is_new
    }
}
