//! The scheduler: what is submitted next, and what came back.

use std::collections::VecDeque;

use super::pacer::Pacer;
use super::prefill::Prefill;
use super::queue::{Queue, Ready};
use super::slots::Slots;
use super::{Event, FORCED, Request};
use crate::error::{Error, Result};
use crate::executor::{Executor, Kernel, Run, Ticket, Values};
use crate::network::{Decoding, LanguageModel};
use crate::plan::{Buffer, Sizes, TensorId};

/// Submissions that are queued at once.
const IN_FLIGHT: usize = 2;
/// Tokens that sequences are expected to have before any has ended.
const FIRST_GUESS: f64 = 64.0;
/// Where the step counter begins again.
const MOST_STEPS: u32 = 1 << 30;

/// Generates sequences on one executor; requests may come at any time.
///
/// It never blocks in [`Generator::poll`], owns no thread and knows no clock: the caller polls, or waits in
/// [`Generator::wait`]. What a request's tokens are depends on the request alone.
pub struct Generator {
    model: Decoding,
    executor: Box<dyn Executor>,
    slots: Slots,
    queue: Queue,
    prefill_slots: Prefill,
    /// Requests that are not on the device: those with short prompts, and those with long ones.
    short: VecDeque<(u64, Request)>,
    long: VecDeque<(u64, Request)>,
    /// Rows and numbers of sequences that the next submission ends.
    cancels: Vec<(usize, u32)>,
    ids: u64,
    /// Sequences that are wanted and have not ended.
    live: usize,
    log_probs: bool,
    /// Steps whose results the device keeps.
    ring: u32,
    /// Step counter of the states' slots and of the ring.
    step: u32,
    flights: VecDeque<Flight>,
    step_pacer: Pacer,
    lane_pacer: Pacer,
    taken_us: u64,
    /// Mean length of sequences that have ended.
    length: f64,
    /// Attention of the events since it was taken, each as many numbers as its source has tokens.
    pub(super) attention: Vec<f32>,
}

struct Flight {
    tickets: Vec<Ticket>,
    work: Work,
    submitted_us: u64,
}

enum Work {
    /// Chunks of long prompts.
    Prefill,
    Steps(Steps),
}

struct Steps {
    first: u32,
    /// Steps between admissions.
    chunks: Vec<u32>,
    /// Whether idle rows take sequences before each chunk: then, how many had come, and what was cancelled.
    admits: Option<(u32, Vec<(usize, u32)>)>,
}

impl Steps {
    fn count(&self) -> u32 {
        self.chunks.iter().sum()
    }
}

impl Generator {
    /// A generator on a fresh executor whose plan is `model`'s; it has as many rows as the executor, and its weights
    /// are there.
    ///
    /// # Errors
    /// A model of two directions.
    pub fn new(model: LanguageModel, executor: Box<dyn Executor>) -> Result<Generator> {
        if model.shape.cell.is_bidirectional() {
            let what = "a bidirectional model reads a text from its end too, so it cannot write one token after \
                        another; it can score texts";
            return Err(Error::model("", what));
        }
        Ok(Generator::of(model.decoding, executor))
    }

    /// The same for what another network draws.
    pub(super) fn of(model: Decoding, executor: Box<dyn Executor>) -> Generator {
        let capacity = executor.capacity();
        let ring = executor.plan().tensor(model.rows.ids).shape(capacity)[0] as u32;
        Generator {
            slots: Slots::new(capacity.rows),
            queue: Queue::new(&model, &*executor),
            prefill_slots: Prefill::new(capacity, model.sources.map_or(capacity.rows, |sources| sources.places)),
            short: VecDeque::new(),
            long: VecDeque::new(),
            cancels: Vec::new(),
            ids: 0,
            live: 0,
            log_probs: true,
            ring,
            step: 0,
            flights: VecDeque::new(),
            step_pacer: Pacer::new(ring),
            lane_pacer: Pacer::new(ring),
            taken_us: 0,
            length: FIRST_GUESS,
            attention: Vec::new(),
            model,
            executor,
        }
    }

    /// Whether log-probabilities come back from the device; they do, unless this says otherwise.
    pub fn want_log_probs(&mut self, wanted: bool) {
        self.log_probs = wanted;
    }

    /// The executor, for questions about the device.
    pub fn executor(&self) -> &dyn Executor {
        &*self.executor
    }

    /// The kernels that sequences depend on, and the orders of their sums.
    pub fn kernels(&self) -> Vec<Kernel> {
        self.model.sections().into_iter().flat_map(|section| self.executor.kernels(section)).collect()
    }

    /// The id of the next request.
    pub fn next_id(&self) -> u64 {
        self.ids
    }

    /// Sequences that are wanted and have not ended.
    pub fn live(&self) -> usize {
        self.live
    }

    /// Whether there is nothing to be generated.
    pub fn is_idle(&self) -> bool {
        self.live == 0
    }

    /// Requests that wait for a row.
    pub fn backlog(&self) -> usize {
        self.short.len() + self.long.len() + self.prefill_slots.len() + self.queue.waiting.len()
    }

    /// Takes a request; gives the id that its events have: 0 for the first one, then 1, ...
    ///
    /// # Errors
    /// As [`Request::check`]; filters where the plan has no room for them.
    pub fn submit(&mut self, request: Request) -> Result<u64> {
        request.check(&self.model)?;
        if request.options.need_filters() && self.model.step_filtered.is_none() {
            return Err(Error::Limit(
                "this generator has no room for filters; it was planned for temperatures only".into(),
            ));
        }
        let id = self.ids;
        self.ids += 1;
        self.live += 1;
        let is_short = request.prompt.len() - 1 <= FORCED.min(self.prefill_slots.window());
        let of = if is_short && request.source.is_empty() { &mut self.short } else { &mut self.long };
        of.push_back((id, request));
        Ok(id)
    }

    /// Ends a request: no event of it comes any more. `false` where it has ended already.
    pub fn cancel(&mut self, id: u64) -> bool {
        let in_list = |list: &mut VecDeque<(u64, Request)>| {
            let found = list.iter().position(|(other, _)| *other == id);
            found.and_then(|i| list.remove(i)).is_some()
        };
        let found = if let Some((row, slot)) = self.slots.find(id) {
            slot.cancelled = true;
            self.cancels.push((row, slot.number));
            true
        } else if let Some(slot) = self.queue.waiting.iter_mut().find(|slot| slot.id == id && !slot.cancelled) {
            // It is cancelled in its row, once it has one.
            slot.cancelled = true;
            true
        } else {
            in_list(&mut self.short) || in_list(&mut self.long) || self.prefill_slots.cancel(id)
        };
        self.live -= usize::from(found);
        found
    }

    /// Adds the tokens that have arrived to `events`: submits, never blocks. `now_us` is any steady clock.
    ///
    /// # Errors
    /// A device that failed.
    pub fn poll(&mut self, now_us: u64, events: &mut Vec<Event>) -> Result<()> {
        self.fill(now_us)?;
        let Some(ticket) = self.flights.front().and_then(|flight| flight.tickets.last().copied()) else {
            return Ok(());
        };
        match self.executor.try_take(ticket)? {
            Some(results) => self.take(&results, now_us, events),
            None => Ok(()),
        }
    }

    /// Adds the tokens of the next submission to `events`; blocks until it has run. `clock` gives the time in
    /// microseconds.
    ///
    /// # Errors
    /// A device that failed.
    pub fn wait(&mut self, clock: &dyn Fn() -> u64, events: &mut Vec<Event>) -> Result<()> {
        self.fill(clock())?;
        let Some(ticket) = self.flights.front().and_then(|flight| flight.tickets.last().copied()) else {
            return Ok(());
        };
        let results = self.executor.wait(ticket)?;
        self.take(&results, clock(), events)
    }

    /// Calls `then` once [`Generator::poll`] has something to take; `false` where nothing is in flight.
    pub fn on_ready(&mut self, then: Box<dyn FnOnce() + Send>) -> bool {
        let ticket = self.flights.front().and_then(|flight| flight.tickets.last().copied());
        ticket.map(|ticket| self.executor.on_ready(ticket, then)).is_some()
    }

    /// Queues submissions: long prompts and steps take turns.
    fn fill(&mut self, now_us: u64) -> Result<()> {
        while self.flights.len() < IN_FLIGHT && self.live > 0 {
            self.stage()?;
            let read_last = matches!(self.flights.back(), Some(Flight { work: Work::Prefill, .. }));
            let steps = self.useful_steps();
            let (tickets, work) = if self.prefill_slots.has_work() && (steps == 0 || !read_last) {
                (self.submit_prefill()?, Work::Prefill)
            } else if steps > 0 {
                let (ticket, steps) = self.submit_steps(steps)?;
                (vec![ticket], Work::Steps(steps))
            } else {
                break;
            };
            self.flights.push_back(Flight { tickets, work, submitted_us: now_us });
        }
        Ok(())
    }

    /// Moves requests to the prefill slots and to the device's queue, as far as there is room.
    fn stage(&mut self) -> Result<()> {
        // Where nothing else is to be done, a prompt is read on the side to its last token but one.
        let alone = self.live == 1;
        while !self.long.is_empty() && self.prefill_slots.has_room() {
            let (id, request) = self.long.pop_front().expect("not empty");
            let all = request.prompt.len() - 1;
            let to_read = match request.source.len() {
                0 if alone => all,
                0 => all - all % self.prefill_slots.window(),
                source => source,
            };
            self.prefill_slots.push(id, request, to_read);
        }
        while self.queue.has_room() {
            let ready = match self.prefill_slots.pop_ready() {
                Some(ready) => Some(ready),
                None => self.short.pop_front().map(|(id, request)| Ready { id, request, read: 0, place: None }),
            };
            let Some(ready) = ready else { break };
            if let Some(ready) = self.queue.push(&self.model, &mut *self.executor, ready)? {
                self.put_back(ready);
                break;
            }
        }
        self.queue.flush(&self.model, &mut *self.executor)
    }

    /// Keeps a request that has no room on the device yet.
    fn put_back(&mut self, ready: Ready) {
        match ready.place {
            None => self.short.push_front((ready.id, ready.request)),
            Some(_) => self.prefill_slots.put_back(ready),
        }
    }

    /// Reads as much of the long prompts as the pacer allows.
    fn submit_prefill(&mut self) -> Result<Vec<Ticket>> {
        let mut tickets = Vec::new();
        while self.prefill_slots.has_work() && (tickets.len() as u32) < self.lane_pacer.steps() {
            tickets.push(self.prefill_slots.submit(&self.model, &mut *self.executor)?);
        }
        Ok(tickets)
    }

    /// Steps that may still draw a token that somebody wants, those in flight apart; 0 where there are none.
    fn useful_steps(&self) -> u32 {
        let most = self.step_pacer.steps();
        let wanted = self.slots.wanted().map(|slot| slot.left).max().unwrap_or(0);
        let waiting = self.queue.waiting.iter().map(|slot| slot.left).max().unwrap_or(0);
        let queued: u32 = self.flights.iter().map(|flight| flight.work.steps()).sum();
        if self.queue.waiting.len() > self.idle_rows() {
            return most;
        }
        wanted.max(waiting).saturating_sub(queued).min(most)
    }

    fn idle_rows(&self) -> usize {
        self.slots.rows.len() - self.slots.wanted().count()
    }

    /// Steps after which idle rows look into the queue: the square root of a sequence's length is where rows that
    /// idle and rows that look cost about the same.
    fn admission_interval(&self) -> u32 {
        (self.length.sqrt() as u32).clamp(4, 32)
    }

    /// Submits steps, with admissions between them where sequences wait.
    fn submit_steps(&mut self, count: u32) -> Result<(Ticket, Steps)> {
        let rows = self.slots.rows.len();
        let admits = !self.queue.waiting.is_empty() || !self.cancels.is_empty();
        let cancels = std::mem::take(&mut self.cancels);
        if !cancels.is_empty() {
            let mut words = vec![0; rows];
            cancels.iter().for_each(|(row, number)| words[*row] = *number);
            self.executor.write(self.model.admission.cancels, 0, Values::U32(&words))?;
        }
        // Where each sequence that waits has an idle row, they all come in at once.
        let often = self.queue.waiting.len() > self.idle_rows();
        let interval = if often { self.admission_interval() } else { count };
        let chunks: Vec<u32> = (0..count).step_by(interval as usize).map(|at| interval.min(count - at)).collect();
        if self.step >= MOST_STEPS {
            self.step %= 2 * self.ring;
        }
        let section = self.step_section();
        let sizes = Sizes::of(rows, 1);
        let first = self.step;
        let mut runs = Vec::new();
        for chunk in &chunks {
            runs.extend(admits.then(|| Run::new(self.model.admission.admit, sizes, self.step..self.step + 1)));
            runs.push(Run::new(section, sizes, self.step..self.step + chunk));
            self.step += chunk;
        }
        let rows = self.model.rows;
        let attention = self.model.sources.and_then(|sources| sources.attention);
        let wanted = [Some(rows.ids), Some(rows.log_probs).filter(|_| self.log_probs), attention];
        let read: Vec<TensorId> = wanted.into_iter().flatten().collect();
        let ticket = self.executor.submit(&runs, &read)?;
        let admits = admits.then(|| (self.queue.end(), cancels));
        Ok((ticket, Steps { first, chunks, admits }))
    }

    /// The cheaper step where no sequence has filters: one without them has the same bits in both.
    fn step_section(&self) -> crate::plan::SectionId {
        let mut all = self.slots.rows.iter().filter(|slot| slot.running).chain(&self.queue.waiting);
        self.model.step_filtered.filter(|_| all.any(|slot| slot.filtered)).unwrap_or(self.model.step)
    }

    /// Takes the results of the first flight.
    fn take(&mut self, results: &[Buffer<f32>], now_us: u64, events: &mut Vec<Event>) -> Result<()> {
        let Flight { tickets, work, submitted_us } = self.flights.pop_front().expect("a flight was taken");
        for ticket in &tickets[..tickets.len() - 1] {
            self.executor.wait(*ticket)?;
        }
        let elapsed_us = now_us.saturating_sub(submitted_us.max(self.taken_us));
        self.taken_us = now_us;
        match work {
            Work::Prefill => self.lane_pacer.observe(tickets.len() as u32, elapsed_us),
            Work::Steps(steps) => {
                self.step_pacer.observe(steps.count(), elapsed_us);
                self.replay(&steps, results, events);
            }
        }
        Ok(())
    }

    /// Makes the moves that the device has made.
    fn replay(&mut self, steps: &Steps, results: &[Buffer<f32>], events: &mut Vec<Event>) {
        let log_probs = results.get(1).filter(|_| self.log_probs).map(Buffer::real);
        let sources = self.model.sources.filter(|sources| sources.attention.is_some());
        let attention = sources.map(|sources| (results.last().expect("it was read").real(), sources.longest));
        let ids = results[0].word();
        let rows = self.slots.rows.len();
        let mut step = steps.first;
        for chunk in &steps.chunks {
            if let Some((come, cancels)) = &steps.admits {
                self.admit(*come, cancels);
            }
            for _ in 0..*chunk {
                let at = (step % self.ring) as usize * rows;
                if let Some((attention, longest)) = attention {
                    for (m, slot) in self.slots.rows.iter().enumerate().filter(|(_, slot)| slot.draws()) {
                        self.attention.extend_from_slice(&attention[(at + m) * longest..][..slot.source_len as usize]);
                    }
                }
                let (queue, live, length) = (&mut self.queue, &mut self.live, &mut self.length);
                let (places, holds) = (&mut self.prefill_slots, self.model.sources.is_some());
                self.slots.step(&ids[at..at + rows], log_probs.map(|p| &p[at..at + rows]), events, |slot| {
                    queue.free(slot);
                    places.free(slot.place.filter(|_| holds));
                    *live -= usize::from(!slot.cancelled);
                    *length += (f64::from(slot.drawn) - *length) / 64.0;
                });
                step += 1;
            }
        }
    }

    /// Idle rows take sequences, as op `admit` does it.
    fn admit(&mut self, come: u32, cancels: &[(usize, u32)]) {
        // Attention reads a source's place until its sequence ends; other states are taken over at once.
        let holds = self.model.sources.is_some();
        for (row, number) in cancels {
            let slot = &mut self.slots.rows[*row];
            if slot.running && slot.number == *number {
                slot.running = false;
                self.queue.free(slot);
                self.prefill_slots.free(slot.place.filter(|_| holds));
            }
        }
        for (row, slot) in self.slots.rows.iter_mut().enumerate().filter(|(_, slot)| !slot.running) {
            if self.queue.taken() == come {
                break;
            }
            *slot = self.queue.pop().expect("as many as have come");
            self.prefill_slots.free(slot.place.filter(|_| !holds));
            if slot.cancelled {
                self.cancels.push((row, slot.number));
            }
        }
    }
}

impl Work {
    fn steps(&self) -> u32 {
        match self {
            Work::Prefill => 0,
            Work::Steps(steps) => steps.count(),
        }
    }
}
