//! Prompts that are read on the side, some tokens at a time, while rows go on.

use super::{PREFILL_WINDOW, Request};
use crate::error::Result;
use crate::executor::{Executor, Run, Ticket, Values};
use crate::generate::queue::Ready;
use crate::network::{Decoding, SourceMemory};
use crate::ops::place_rows::ZERO_ROW;
use crate::plan::Sizes;

/// Long prompts, and the indices at which their states are saved.
pub(super) struct Prefill {
    reading: Vec<Reading>,
    free: Vec<u32>,
    /// Tokens of a slot that are read at once.
    window: usize,
    /// The most slots.
    most: usize,
}

struct Reading {
    id: u64,
    request: Request,
    place: u32,
    read: usize,
    to_read: usize,
}

impl Prefill {
    pub fn new(capacity: Sizes, places: usize) -> Prefill {
        let tokens = capacity.rows * capacity.time;
        let window = PREFILL_WINDOW.min(tokens);
        let most = (tokens / window).min(capacity.rows);
        Prefill { reading: Vec::new(), free: (0..places as u32).rev().collect(), window, most }
    }

    /// Tokens of a slot that are read at once.
    pub fn window(&self) -> usize {
        self.window
    }

    /// Whether there is a saved state for one more prompt.
    pub fn has_room(&self) -> bool {
        !self.free.is_empty()
    }

    /// Takes a prompt in, of which `to_read` tokens are to be read here.
    pub fn push(&mut self, id: u64, request: Request, to_read: usize) {
        let place = self.free.pop().expect("the caller asked for room");
        self.reading.push(Reading { id, request, place, read: 0, to_read });
    }

    /// Whether there are tokens to be read.
    pub fn has_work(&self) -> bool {
        self.reading.iter().any(|r| r.read < r.to_read)
    }

    /// A prompt whose tokens have been submitted to be read.
    pub fn pop_ready(&mut self) -> Option<Ready> {
        let i = self.reading.iter().position(|r| r.read == r.to_read)?;
        let Reading { id, request, place, read, .. } = self.reading.remove(i);
        // Of a source no token is the prompt's.
        let read = if request.source.is_empty() { read } else { 0 };
        Some(Ready { id, request, read, place: Some(place) })
    }

    /// Keeps a prompt that [`Prefill::pop_ready`] gave.
    pub fn put_back(&mut self, ready: Ready) {
        let place = ready.place.expect("a place among the saved states");
        let Ready { id, request, read, .. } = ready;
        self.reading.push(Reading { id, request, place, read, to_read: read });
    }

    /// A row has taken the state over.
    pub fn free(&mut self, place: Option<u32>) {
        self.free.extend(place);
    }

    /// Drops a prompt. What still runs for it on the device is done before its index is used again.
    pub fn cancel(&mut self, id: u64) -> bool {
        let found = self.reading.iter().position(|r| r.id == id);
        found.map(|i| self.reading.swap_remove(i)).map(|r| self.free.push(r.place)).is_some()
    }

    /// Prompts that are being read.
    pub fn len(&self) -> usize {
        self.reading.len()
    }

    /// Submits the next tokens of the first prompt and of those that have as many to go.
    pub fn submit(&mut self, model: &Decoding, executor: &mut dyn Executor) -> Result<Ticket> {
        if let Some(sources) = &model.sources {
            return self.read_sources(model, sources, executor);
        }
        let first = self.reading.iter().find(|r| r.read < r.to_read).expect("there is work");
        let time = self.window.min(first.to_read - first.read);
        let prefill_slots: Vec<&mut Reading> =
            self.reading.iter_mut().filter(|r| r.to_read - r.read >= time).take(self.most).collect();
        let mut input = vec![0; time * prefill_slots.len()];
        for (p, lane) in prefill_slots.iter().enumerate() {
            for (t, token) in lane.request.prompt[lane.read..lane.read + time].iter().enumerate() {
                input[t * prefill_slots.len() + p] = *token;
            }
        }
        let from: Vec<u32> =
            prefill_slots.iter().map(|lane| if lane.read == 0 { ZERO_ROW } else { lane.place }).collect();
        let to: Vec<u32> = prefill_slots.iter().map(|lane| lane.place).collect();
        let sizes = Sizes::of(prefill_slots.len(), time);
        prefill_slots.into_iter().for_each(|lane| lane.read += time);
        executor.write(model.input, 0, Values::U32(&input))?;
        executor.write(model.admission.prefill_from, 0, Values::U32(&from))?;
        executor.write(model.admission.prefill_to, 0, Values::U32(&to))?;
        executor.submit(&[Run::new(model.admission.prefill, sizes, 0..1)], &[])
    }

    /// Submits whole sources, in order, as many as there is room for.
    fn read_sources(&mut self, model: &Decoding, memory: &SourceMemory, executor: &mut dyn Executor) -> Result<Ticket> {
        let Sizes { rows: most, source, .. } = executor.capacity();
        let (mut group, mut longest) = (Vec::new(), 0);
        for reading in self.reading.iter_mut().filter(|r| r.read < r.to_read) {
            let time = reading.to_read.max(longest);
            if group.len() == most || (group.len() + 1) * time > most * source {
                break;
            }
            longest = time;
            reading.read = reading.to_read;
            group.push(reading);
        }
        let rows = group.len();
        let mut ids = vec![0; longest * rows];
        for (m, reading) in group.iter().enumerate() {
            reading.request.source.iter().enumerate().for_each(|(s, id)| ids[s * rows + m] = *id);
        }
        let lengths: Vec<u32> = group.iter().map(|r| r.to_read as u32).collect();
        let to: Vec<u32> = group.iter().map(|r| r.place).collect();
        executor.write(model.input, 0, Values::U32(&ids))?;
        executor.write(memory.lengths, 0, Values::U32(&lengths))?;
        executor.write(memory.always, 0, Values::U32(&vec![1; 4 * rows]))?;
        executor.write(model.admission.prefill_to, 0, Values::U32(&to))?;
        let sizes = Sizes { source: longest, ..Sizes::of(rows, 1) };
        executor.submit(&[Run::new(model.admission.prefill, sizes, 0..1)], &[])
    }
}
