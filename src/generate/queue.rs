//! The queue on the device as the host keeps it: records of sequences that no row has taken, and the room they use.

use std::collections::VecDeque;

use super::slots::Slot;
use super::{FORCED, Request};
use crate::error::Result;
use crate::executor::{Executor, Values};
use crate::network::Decoding;
use crate::ops::place_rows::ZERO_ROW;
use crate::ops::rows::{NO_TOKEN, ROW_WORDS, Row, halves};

/// A request whose first `read` tokens were read on the side.
pub(super) struct Ready {
    pub id: u64,
    pub request: Request,
    pub read: usize,
    pub place: Option<u32>,
}

/// Sequences on the device that wait for a row, in order.
pub(super) struct Queue {
    capacity: u32,
    /// Sequences that have come; of these the last ones are `waiting`.
    end: u32,
    pub waiting: VecDeque<Slot>,
    /// Rows of forced tokens that are free.
    blocks: Vec<u32>,
    edits: Edits,
    numbers: u32,
    /// Words of records that were not written yet.
    unwritten: Vec<u32>,
}

impl Queue {
    pub fn new(model: &Decoding, executor: &dyn Executor) -> Queue {
        let fixed = |id, axis: usize| executor.plan().tensor(id).shape(executor.capacity())[axis] as u32;
        let capacity = fixed(model.admission.records, 0);
        Queue {
            capacity,
            end: 0,
            waiting: VecDeque::new(),
            blocks: (0..fixed(model.rows.forced, 0)).rev().collect(),
            edits: Edits { capacity: model.admission.edits.map_or(0, |id| fixed(id, 0)), ..Default::default() },
            numbers: 0,
            unwritten: Vec::new(),
        }
    }

    /// How many sequences have come.
    pub fn end(&self) -> u32 {
        self.end
    }

    /// How many were taken.
    pub fn taken(&self) -> u32 {
        self.end.wrapping_sub(self.waiting.len() as u32)
    }

    /// Whether there is room for a sequence.
    pub fn has_room(&self) -> bool {
        self.waiting.len() < self.capacity as usize
    }

    /// Puts a sequence after the others; gives it back where its token flags have no room yet.
    pub fn push(&mut self, model: &Decoding, executor: &mut dyn Executor, ready: Ready) -> Result<Option<Ready>> {
        let Ready { request, read, .. } = &ready;
        let vocab = model.vocab;
        let edits = if request.options.reads_token_flags() {
            request.options.token_flags(&request.prompt[..*read])
        } else {
            vec![]
        };
        let Some(first_edit) = self.edits.take(edits.len() as u32) else { return Ok(Some(ready)) };
        if let Some(id) = model.admission.edits.filter(|_| !edits.is_empty()) {
            executor.write(id, first_edit as usize, Values::U32(edits.as_flattened()))?;
        }
        let forced = &request.prompt[read + 1..];
        assert!(forced.len() <= FORCED, "what is longer was read on the side");
        let block = if forced.is_empty() { None } else { self.blocks.pop() };
        if let Some(block) = block {
            executor.write(model.rows.forced, block as usize, Values::U32(forced))?;
        }
        self.numbers = self.numbers.wrapping_add(1).max(1);
        let forced_next = block.unwrap_or(0) * FORCED as u32;
        let row = Row {
            forced_next,
            forced_end: forced_next + forced.len() as u32,
            number: self.numbers,
            first_token: request.prompt[*read],
            place: ready.place.unwrap_or(ZERO_ROW),
            source_len: request.source.len() as u32,
            edits_first: first_edit,
            edits_end: first_edit + edits.len() as u32,
            ..row_of(request, *read, vocab)
        };
        self.unwritten.extend(row.to_words());
        self.end = self.end.wrapping_add(1);
        self.waiting.push_back(Slot {
            id: ready.id,
            number: self.numbers,
            running: true,
            filtered: row.filters != 0,
            forced: forced.len() as u32,
            left: row.end_position - row.position,
            stop: row.stop,
            block,
            place: ready.place,
            edits: edits.len() as u32,
            source_len: row.source_len,
            ..Slot::IDLE
        });
        Ok(None)
    }

    /// Hands the records that were pushed to the device.
    pub fn flush(&mut self, model: &Decoding, executor: &mut dyn Executor) -> Result<()> {
        if self.unwritten.is_empty() {
            return Ok(());
        }
        let count = self.unwritten.len() / ROW_WORDS;
        let first = self.end.wrapping_sub(count as u32) as usize % self.capacity as usize;
        let until_end = count.min(self.capacity as usize - first);
        let (front, back) = self.unwritten.split_at(until_end * ROW_WORDS);
        executor.write(model.admission.records, first, Values::U32(front))?;
        if !back.is_empty() {
            executor.write(model.admission.records, 0, Values::U32(back))?;
        }
        self.unwritten.clear();
        // Only the second counter: the first is the device's own.
        executor.write(model.admission.queue, 1, Values::U32(&[self.end]))
    }

    /// The next sequence, taken by a row; its room for token flags is free again.
    pub fn pop(&mut self) -> Option<Slot> {
        let slot = self.waiting.pop_front()?;
        self.edits.give_back(slot.edits);
        Some(slot)
    }

    /// The sequence of a row has ended.
    pub fn free(&mut self, slot: &Slot) {
        self.blocks.extend(slot.block);
    }
}

/// Room for entries in a ring; each sequence has its own in one piece, and they are given back in order.
#[derive(Default)]
struct Edits {
    capacity: u32,
    next: u32,
    /// (entries of a sequence, those that were left unused in front of them)
    taken: VecDeque<(u32, u32)>,
    used: u32,
}

impl Edits {
    fn take(&mut self, count: u32) -> Option<u32> {
        if count == 0 {
            return Some(0);
        }
        if self.used == 0 {
            self.next = 0;
        }
        // The rest at the end is skipped, even if it is empty, when the entries have to stand at the beginning.
        let wraps = self.next + count > self.capacity;
        let gap = if wraps { self.capacity - self.next } else { 0 };
        if self.used + gap + count > self.capacity {
            return None;
        }
        let first = if wraps { 0 } else { self.next };
        self.next = first + count;
        self.used += gap + count;
        self.taken.push_back((count, gap));
        Some(first)
    }

    fn give_back(&mut self, count: u32) {
        if count > 0 {
            let (taken, gap) = self.taken.pop_front().expect("given back in order");
            debug_assert_eq!(taken, count);
            self.used -= taken + gap;
        }
    }
}

/// The table's record of a request of whose prompt tokens 0 to `read` were read or are read next.
fn row_of(request: &Request, read: usize, vocab: usize) -> Row {
    let mut stop = [NO_TOKEN; 4];
    stop[..request.stop.len()].copy_from_slice(&request.stop);
    Row {
        running: 1,
        position: read as u32 + 1,
        sequence: halves(request.sequence),
        seed: halves(request.seed),
        end_position: (request.prompt.len() + request.max_tokens) as u32,
        stop,
        ..request.options.row(vocab)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ring_of_edits_has_no_overlaps() {
        let mut edits = Edits { capacity: 10, ..Default::default() };
        assert_eq!([4, 5].map(|n| edits.take(n)), [Some(0), Some(4)]);
        assert_eq!((edits.take(2), edits.take(0)), (None, Some(0)));
        edits.give_back(4);
        // One entry at the end is left unused.
        assert_eq!((edits.take(3), edits.take(2)), (Some(0), None));
        edits.give_back(5);
        edits.give_back(3);
        assert_eq!(edits.used, 0);
        assert_eq!(edits.take(10), Some(0));
    }

    /// Entries that are taken stand inside the ring and apart, through thousands of rounds, exact fills among them.
    #[test]
    fn a_ring_of_edits_goes_round_for_ever() {
        for sizes in [&[5u32][..], &[4], &[10], &[3, 7], &[1, 2, 3, 4], &[8, 0, 7, 5]] {
            let mut edits = Edits { capacity: 20, ..Default::default() };
            let (mut waiting, mut exact) = (VecDeque::new(), 0);
            for count in sizes.iter().cycle().take(10_000) {
                let first = loop {
                    match edits.take(*count) {
                        Some(first) => break first,
                        // One is always left, so that the ring never begins anew.
                        None => edits.give_back(waiting.pop_front().map(|(_, count)| count).expect("room for one")),
                    }
                };
                let end = first + count;
                assert!(end <= 20, "{sizes:?}: entries {first} to {end} of 20");
                exact += u32::from(end == 20);
                let apart = |(other, of_it): &(u32, u32)| end <= *other || other + of_it <= first;
                assert!(*count == 0 || waiting.iter().filter(|(_, of_it)| *of_it > 0).all(apart), "{sizes:?}");
                waiting.push_back((first, *count));
            }
            assert!(exact > 500, "{sizes:?}: {exact} exact fills");
        }
    }
}
