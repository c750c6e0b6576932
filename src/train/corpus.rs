//! Texts as ids in flat memory: read where they lie, so that a mapped file may be larger than memory.

use std::ops::Range;
use std::sync::Arc;

use super::permutation::Permutation;
use crate::model::Bytes;
use crate::plan::philox;

/// Bytes that an id takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    /// Vocabularies of at most 256 tokens.
    One,
    /// At most 65,536.
    Two,
    /// More.
    Four,
}

impl Width {
    /// The least that holds every id of a vocabulary.
    pub fn of(vocab: usize) -> Width {
        match vocab {
            0..=0x100 => Width::One,
            0x101..=0x1_0000 => Width::Two,
            _ => Width::Four,
        }
    }

    /// As a number.
    pub fn bytes(self) -> usize {
        match self {
            Width::One => 1,
            Width::Two => 2,
            Width::Four => 4,
        }
    }

    /// Appends ids as they stand in a file: little endian. They must be below the vocabulary that the width is of.
    pub fn write(self, ids: &[u32], out: &mut Vec<u8>) {
        match self {
            Width::One => out.extend(ids.iter().map(|id| *id as u8)),
            Width::Two => out.extend(ids.iter().flat_map(|id| (*id as u16).to_le_bytes())),
            Width::Four => out.extend(ids.iter().flat_map(|id| id.to_le_bytes())),
        }
    }
}

/// The ids of a text, one after another.
#[derive(Clone, Debug)]
pub struct Ids {
    bytes: Bytes,
    width: Width,
}

impl Ids {
    /// Ids of this width in bytes that [`Width::write`] made.
    pub fn new(bytes: Bytes, width: Width) -> Ids {
        Ids { bytes, width }
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.bytes.len() / self.width.bytes()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// An id. The place must be below [`Ids::len`].
    #[inline]
    pub fn get(&self, at: usize) -> u32 {
        let b = &self.bytes;
        match self.width {
            Width::One => u32::from(b[at]),
            Width::Two => u32::from(u16::from_le_bytes([b[2 * at], b[2 * at + 1]])),
            Width::Four => u32::from_le_bytes([b[4 * at], b[4 * at + 1], b[4 * at + 2], b[4 * at + 3]]),
        }
    }
}

/// Where each sequence of a corpus ends: 8 bytes each, little endian, counted in ids.
#[derive(Clone, Debug)]
pub struct Ends(Bytes);

impl Ends {
    /// Ends in bytes.
    pub fn new(bytes: Bytes) -> Ends {
        Ends(bytes)
    }

    /// How many sequences.
    pub fn len(&self) -> usize {
        self.0.len() / 8
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The ids of a sequence. It must be below [`Ends::len`].
    pub fn range(&self, sequence: usize) -> Range<usize> {
        let end = |i: usize| {
            let bytes = self.0[8 * i..8 * i + 8].try_into().expect("eight bytes");
            u64::from_le_bytes(bytes) as usize
        };
        (if sequence == 0 { 0 } else { end(sequence - 1) })..end(sequence)
    }
}

/// Tokens that a model learns from, or is measured on.
#[derive(Clone, Debug)]
pub struct Corpus {
    /// All ids.
    pub ids: Ids,
    /// Where its sequences end; `None` for one continuous text. Sequences have two ids or more: bos, text, eos.
    pub ends: Option<Ends>,
    /// The order that its sequences are counted in, where it is not the file's.
    order: Option<Order>,
}

/// An order of sequences.
#[derive(Clone, Debug)]
enum Order {
    /// A random one.
    Random(Permutation),
    /// The numbers of the file's sequences, one after the other.
    Listed(Arc<[u32]>),
}

/// The purpose of a corpus' order, which epochs and their groups do not have.
const ORDER: u64 = u32::MAX as u64;

impl Corpus {
    /// A corpus in the file's order.
    pub fn new(ids: Ids, ends: Option<Ends>) -> Corpus {
        Corpus { ids, ends, order: None }
    }

    /// The same with its sequences in a random order, so that a part of them is a random sample; a continuous text
    /// stays as it is.
    pub fn shuffled(self, seed: u64) -> Corpus {
        let order = self.ends.as_ref().map(|ends| Permutation::new(ends.len() as u64, seed, 0, ORDER));
        Corpus { order: order.map(Order::Random), ..self }
    }

    /// Targets and their sources, number by number, in a random order in which equal sources stand side by side.
    pub fn paired(self, sources: Corpus, seed: u64) -> (Corpus, Corpus) {
        let count = self.len().min(sources.len());
        let key = |i: usize| {
            let ids = sources.sequence(i).map(|at| sources.ids.get(at));
            let mix = |[a, b, ..]: [u32; 4], id| philox([a, b, id, ORDER as u32], [seed as u32, (seed >> 32) as u32]);
            ids.fold([0; 4], mix)
        };
        let mut keys: Vec<([u32; 4], u32)> = (0..count).map(|i| (key(i), i as u32)).collect();
        keys.sort_unstable();
        let order: Arc<[u32]> = keys.into_iter().map(|(_, i)| i).collect();
        let listed = |corpus: Corpus| Corpus { order: Some(Order::Listed(order.clone())), ..corpus };
        (listed(self), listed(sources))
    }

    /// Whether two sequences are the same.
    fn alike(&self, a: usize, b: usize) -> bool {
        let (a, b) = (self.sequence(a), self.sequence(b));
        a.len() == b.len() && a.zip(b).all(|(a, b)| self.ids.get(a) == self.ids.get(b))
    }

    /// The ids of a sequence, by its number in the corpus' order.
    pub fn sequence(&self, number: usize) -> Range<usize> {
        let ends = self.ends.as_ref().expect("a corpus of sequences");
        ends.range(match &self.order {
            None => number,
            Some(Order::Random(order)) => order.get(number as u64) as usize,
            Some(Order::Listed(order)) => order[number] as usize,
        })
    }

    /// Sequences, or ids of a continuous text: what a part of a corpus is counted in.
    pub fn len(&self) -> usize {
        self.ends.as_ref().map_or(self.ids.len(), Ends::len)
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The part that is learnt from and the last twentieth, at least one, which is held out: of shuffled sequences a
    /// random sample.
    pub fn hold_out(&self) -> (Range<usize>, Range<usize>) {
        let all = self.len();
        let cut = all - all.div_ceil(20);
        (0..cut, cut..all)
    }

    /// The same of sources that are [`Corpus::paired`]: none that is held out occurs in what is learnt from.
    pub fn hold_out_sources(&self) -> (Range<usize>, Range<usize>) {
        let (train, held_out) = self.hold_out();
        let mut cut = train.end;
        while cut > 1 && self.alike(cut - 1, cut) {
            cut -= 1;
        }
        (0..cut, cut..held_out.end)
    }

    /// The beginning of a part that has `most` ids, or little more; the part itself if it has less.
    pub fn first(&self, part: Range<usize>, most: usize) -> Range<usize> {
        if self.ends.is_none() {
            return part.start..part.end.min(part.start.saturating_add(most));
        }
        let (mut end, mut ids) = (part.start, 0);
        while end < part.end && ids < most {
            ids += self.sequence(end).len();
            end += 1;
        }
        part.start..end
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A corpus of these sequences.
    pub fn of_lines(lines: &[Vec<u32>]) -> Corpus {
        let (mut bytes, mut ends, mut end) = (Vec::new(), Vec::new(), 0u64);
        for line in lines {
            Width::Two.write(line, &mut bytes);
            end += line.len() as u64;
            ends.extend(end.to_le_bytes());
        }
        Corpus::new(Ids::new(Bytes::new(bytes), Width::Two), Some(Ends::new(Bytes::new(ends))))
    }

    /// A continuous text of the ids 0, 1, 2, ...
    pub fn counting(len: u32) -> Corpus {
        let mut bytes = Vec::new();
        Width::Four.write(&(0..len).collect::<Vec<_>>(), &mut bytes);
        Corpus::new(Ids::new(Bytes::new(bytes), Width::Four), None)
    }

    #[test]
    fn ids_come_back_at_every_width() {
        for (vocab, ids) in [(256, [0u32, 255, 7]), (65_536, [0, 65_535, 256]), (1 << 20, [0, 65_536, 1_048_575])] {
            let mut bytes = Vec::new();
            let width = Width::of(vocab);
            width.write(&ids, &mut bytes);
            let read = Ids::new(Bytes::new(bytes), width);
            assert_eq!((0..read.len()).map(|i| read.get(i)).collect::<Vec<_>>(), ids);
        }
    }

    #[test]
    fn the_last_twentieth_is_held_out() {
        assert_eq!(counting(100).hold_out(), (0..95, 95..100));
        assert_eq!(counting(101).hold_out(), (0..95, 95..101));
        assert_eq!(of_lines(&[vec![1, 2], vec![3, 4]]).hold_out(), (0..1, 1..2));
    }

    #[test]
    fn of_sequences_a_random_sample_is_held_out() {
        let lines: Vec<Vec<u32>> = (0..2000).map(|i| vec![i, i]).collect();
        let held_out = |seed| {
            let corpus = of_lines(&lines).shuffled(seed);
            let ids = |part: Range<usize>| part.map(|i| corpus.ids.get(corpus.sequence(i).start)).collect::<Vec<_>>();
            let (train, valid) = corpus.hold_out();
            let mut all = [ids(train), ids(valid.clone())].concat();
            all.sort_unstable();
            assert_eq!(all, (0..2000).collect::<Vec<_>>());
            ids(valid)
        };
        let (one, two) = (held_out(1), held_out(2));
        assert_eq!((one.len(), one == held_out(1), one == two), (100, true, false));
        // Of each quarter of the file about a quarter: 25, give or take four standard deviations.
        for quarter in 0..4 {
            let of_it = one.iter().filter(|i| **i / 500 == quarter).count();
            assert!((8..=42).contains(&of_it), "{of_it}");
        }
        assert_eq!(counting(100).shuffled(1).hold_out(), (0..95, 95..100));
    }

    #[test]
    fn the_first_part_has_the_ids_asked_for() {
        assert_eq!(counting(100).first(95..100, 3), 95..98);
        assert_eq!(counting(100).first(95..100, 30), 95..100);
        let lines = of_lines(&[vec![1; 4], vec![1; 3], vec![1; 2], vec![1; 5]]);
        for (most, expected) in [(1, 1..2), (3, 1..2), (4, 1..3), (5, 1..3), (6, 1..4), (99, 1..4)] {
            assert_eq!(lines.first(1..4, most), expected, "{most}");
        }
    }
}
