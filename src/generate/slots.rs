//! The host's copy of the row table: it makes the device's moves, so nothing has to be asked of the device.

use super::Event;
use crate::ops::rows::{Finish, NO_TOKEN};

/// The host's record of a sequence that waits in the device's queue or runs in a row.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slot {
    /// The caller's name for it.
    pub id: u64,
    /// The device's name for it.
    pub number: u32,
    pub running: bool,
    /// Nobody wants its tokens any more.
    pub cancelled: bool,
    pub filtered: bool,
    /// Prompt tokens that are still to be forced.
    pub forced: u32,
    /// Tokens until its last position, forced ones included.
    pub left: u32,
    pub drawn: u32,
    pub stop: [u32; 4],
    /// Its row of forced tokens.
    pub block: Option<u32>,
    /// Its index among the saved states.
    pub place: Option<u32>,
    /// Entries of `edits`.
    pub edits: u32,
    /// Tokens of its source.
    pub source_len: u32,
}

impl Slot {
    pub const IDLE: Slot = Slot {
        id: 0,
        number: 0,
        running: false,
        cancelled: false,
        filtered: false,
        forced: 0,
        left: 0,
        drawn: 0,
        stop: [NO_TOKEN; 4],
        block: None,
        place: None,
        edits: 0,
        source_len: 0,
    };

    /// Whether its next token is an event.
    pub fn draws(&self) -> bool {
        self.running && !self.cancelled && self.forced == 0
    }

    /// Moves on by a token, as `Row::advance` does; gives the event of a token that was drawn.
    fn advance(&mut self, token: u32, log_prob: f32) -> Option<Event> {
        self.left -= 1;
        let is_forced = self.forced > 0;
        if is_forced {
            self.forced -= 1;
            self.running = self.left > 0;
            return None;
        }
        self.drawn += 1;
        let finish = match (self.stop.contains(&token), self.left) {
            (true, _) => Some(Finish::Stop),
            (false, 0) => Some(Finish::Length),
            (false, _) => None,
        };
        self.running = finish.is_none();
        (!self.cancelled).then_some(Event { id: self.id, token, log_prob, finish })
    }
}

/// The rows.
pub(super) struct Slots {
    pub rows: Vec<Slot>,
}

impl Slots {
    pub fn new(rows: usize) -> Slots {
        Slots { rows: vec![Slot::IDLE; rows] }
    }

    /// One step of all rows, from the step's ids and log-probabilities. `ended` is called with each row that ends.
    pub fn step(
        &mut self,
        ids: &[u32],
        log_probs: Option<&[f32]>,
        events: &mut Vec<Event>,
        mut ended: impl FnMut(&Slot),
    ) {
        for (m, slot) in self.rows.iter_mut().enumerate().filter(|(_, slot)| slot.running) {
            debug_assert_ne!(ids[m], NO_TOKEN, "the host's row table runs with the device's");
            events.extend(slot.advance(ids[m], log_probs.map_or(f32::NAN, |p| p[m])));
            if !slot.running {
                ended(slot);
            }
        }
    }

    /// The row of a running sequence.
    pub fn find(&mut self, id: u64) -> Option<(usize, &mut Slot)> {
        self.rows.iter_mut().enumerate().find(|(_, slot)| slot.running && !slot.cancelled && slot.id == id)
    }

    /// Sequences that run and are wanted.
    pub fn wanted(&self) -> impl Iterator<Item = &Slot> {
        self.rows.iter().filter(|slot| slot.running && !slot.cancelled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::rows::Row;

    #[test]
    fn a_slot_moves_as_its_row_does() {
        for (forced, tokens, stop) in [(0, 3, 9), (2, 3, 9), (2, 4, 5), (0, 1, 0)] {
            let mut row = Row {
                running: 1,
                position: 4,
                end_position: 4 + forced + tokens,
                forced_next: 10,
                forced_end: 10 + forced,
                stop: [stop, NO_TOKEN, NO_TOKEN, NO_TOKEN],
                ..Row::IDLE
            };
            let mut slot = Slot { running: true, forced, left: forced + tokens, stop: row.stop, ..Slot::IDLE };
            for token in 4.. {
                let is_forced = row.is_forced();
                row.advance(token, is_forced);
                let event = slot.advance(token, -1.0);
                assert_eq!(event.is_none(), is_forced);
                assert_eq!(event.and_then(|e| e.finish), row.finished());
                assert_eq!((slot.running, slot.left), (row.running == 1, row.end_position - row.position));
                if row.running == 0 {
                    break;
                }
            }
        }
    }
}
