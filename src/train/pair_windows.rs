//! What each step of training on pairs reads: a batch of targets, each from its beginning to its end, and their sources.

use std::ops::Range;

use super::corpus::Corpus;
use super::engine::Sources;
use super::groups::Groups;
use super::{Position, Window};

/// Pairs of a source and a target, in batches of similar lengths.
#[derive(Clone, Debug)]
pub struct PairWindows {
    targets: Corpus,
    sources: Corpus,
    groups: Groups,
}

impl PairWindows {
    /// Batches of at most `rows` pairs of a part of two corpora; number i of the one belongs to number i of the other.
    /// Sources begin with an id that is passed over: an encoder reads no bos.
    pub fn new(targets: Corpus, sources: Corpus, part: Range<usize>, rows: usize, seed: Option<u64>) -> PairWindows {
        PairWindows { targets, sources, groups: Groups::new(part, rows, seed, true) }
    }

    /// Batches of an epoch.
    pub fn groups(&self) -> usize {
        self.groups.count()
    }

    /// The window at a position, which moves on to the one after it.
    pub(super) fn next(&mut self, position: &mut Position) -> Window {
        let (targets, sources) = (&self.targets, &self.sources);
        let length = |i| [targets.sequence(i).len(), sources.sequence(i).len()];
        let numbers = self.groups.get(position.epoch, position.group, length);
        let time = numbers.iter().map(|i| targets.sequence(*i).len() - 1).max().expect("a batch has a pair");
        let mut window = Window::padding(time, vec![true; numbers.len()]);
        for (row, i) in numbers.iter().enumerate() {
            let sequence = targets.sequence(*i);
            window.fill(row, sequence.len() - 1, |i| targets.ids.get(sequence.start + i));
        }
        window.sources = Some(self.sources_of(&numbers));
        position.group += 1;
        if position.group == self.groups.count() as u64 {
            *position = Position { epoch: position.epoch + 1, ..Position::default() };
        }
        window
    }

    fn sources_of(&self, numbers: &[usize]) -> Sources {
        let sequences: Vec<Range<usize>> = numbers.iter().map(|i| self.sources.sequence(*i)).collect();
        let lengths: Vec<u32> = sequences.iter().map(|sequence| sequence.len() as u32 - 1).collect();
        let (rows, time) = (numbers.len(), lengths.iter().copied().max().unwrap_or(1) as usize);
        let mut ids = vec![0; time * rows];
        for (row, sequence) in sequences.iter().enumerate() {
            for (step, at) in sequence.clone().skip(1).enumerate() {
                ids[step * rows + row] = self.sources.ids.get(at);
            }
        }
        Sources { time, ids, lengths }
    }
}
