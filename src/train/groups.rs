//! Which sequences make a batch.

use std::ops::Range;

use super::permutation::Permutation;

/// Batches of sequences that are put in order of their lengths together.
const CHUNK: usize = 64;

/// The batches of a part of a corpus. To learn from, sequences are shuffled by a seed, in another order each epoch; to
/// measure by, they keep their order. Where lengths matter, each chunk of 64 batches is put in order of them, which saves
/// padding, and its batches are shuffled.
#[derive(Clone, Debug)]
pub(super) struct Groups {
    part: Range<usize>,
    /// B: sequences of a batch; the last one may have fewer.
    pub rows: usize,
    seed: Option<u64>,
    by_length: bool,
    /// The chunk that was read last, by its epoch and number, in order.
    chunk: Option<((u64, usize), Vec<usize>)>,
}

impl Groups {
    pub fn new(part: Range<usize>, rows: usize, seed: Option<u64>, by_length: bool) -> Groups {
        assert!(!part.is_empty());
        Groups { part, rows, seed, by_length, chunk: None }
    }

    /// Batches of an epoch.
    pub fn count(&self) -> usize {
        self.part.len().div_ceil(self.rows)
    }

    /// The sequences of a batch, by their numbers in the corpus; `length` is what they are ordered by.
    pub fn get<K: Ord>(&mut self, epoch: u64, group: u64, length: impl Fn(usize) -> K) -> Vec<usize> {
        let (rows, group) = (self.rows, group as usize);
        if !self.by_length {
            return self.shuffled(epoch, group * rows..group * rows + rows);
        }
        let (chunk, at) = (group / CHUNK, group % CHUNK);
        if !matches!(&self.chunk, Some((read, _)) if *read == (epoch, chunk)) {
            let from = chunk * CHUNK * rows;
            let mut sequences = self.shuffled(epoch, from..from + CHUNK * rows);
            sequences.sort_by_cached_key(|i| (length(*i), *i));
            self.chunk = Some(((epoch, chunk), sequences));
        }
        let sequences = &self.chunk.as_ref().expect("just made").1;
        let groups = sequences.len().div_ceil(rows) as u64;
        let at = match self.seed {
            Some(seed) => Permutation::new(groups, seed, epoch, 1 + chunk as u64).get(at as u64) as usize,
            None => at,
        };
        sequences[at * rows..].iter().take(rows).copied().collect()
    }

    /// Some sequences in the epoch's order.
    fn shuffled(&self, epoch: u64, range: Range<usize>) -> Vec<usize> {
        let order = self.seed.map(|seed| Permutation::new(self.part.len() as u64, seed, epoch, 0));
        let range = range.start..range.end.min(self.part.len());
        range.map(|i| self.part.start + order.map_or(i, |order| order.get(i as u64) as usize)).collect()
    }
}
