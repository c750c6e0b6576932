//! Generation in batches: rows of a plan's table, filled with requests and stepped until all have ended.
//!
//! The host only schedules. States, drawn tokens and the loop stay on the device; ids and log-probabilities come
//! back a submission at a time, while the next ones already run.

mod options;
mod pacer;
mod sequence;

use std::collections::VecDeque;

use crate::error::{Error, Result};
use crate::executor::{Executor, Run, Ticket, Values};
use crate::ops::rows::{Finish, NO_TOKEN, ROW_WORDS, Row, halves};
use crate::plan::network::{LanguageModel, Room, Shape, language_model};
use crate::plan::{SectionId, Sizes};
pub use options::Options;
use pacer::Pacer;
pub use sequence::{FinishReason, Sequence};

/// Steps whose results are kept on the device: the most that one submission takes.
pub const RING: usize = 256;
/// Tokens of a prompt that one submission reads.
pub const PREFILL_WINDOW: usize = 64;
/// Submissions that are queued at once.
const IN_FLIGHT: usize = 2;

/// A sequence to be generated.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// Ids of the prompt: at least one.
    pub prompt: Vec<u32>,
    /// The number that the noise is keyed by, with the seed; its place in a batch does not matter.
    pub sequence: u64,
    /// The seed.
    pub seed: u64,
    /// How its tokens are chosen.
    pub options: Options,
    /// Tokens after the prompt at most.
    pub max_tokens: usize,
    /// Up to four ids that end the sequence.
    pub stop: Vec<u32>,
}

/// A token of a row, behind its prompt.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Event {
    /// The row: the request's place in the batch.
    pub row: usize,
    /// The token.
    pub token: u32,
    /// Its log-probability in nats, under the model at temperature 1.
    pub log_prob: f32,
    /// Set with the row's last token.
    pub finish: Option<Finish>,
}

struct Flight {
    ticket: Ticket,
    steps: std::ops::Range<u32>,
    submitted_us: u64,
}

/// The plan that batches of a model run, with a temperature for each row and no filters.
pub fn plan(shape: Shape, forced: usize) -> LanguageModel {
    language_model(shape, Room { ring: RING, forced, filters: false })
}

/// The plan of batches whose rows may have all of [`Options`]: they keep a word for each row and token.
pub fn plan_with_filters(shape: Shape, forced: usize) -> LanguageModel {
    language_model(shape, Room { ring: RING, forced, filters: true })
}

/// The sections that a [`Batch`] runs.
pub fn sections(model: &LanguageModel) -> Vec<SectionId> {
    [model.prefill, model.step, model.reset].into_iter().chain(model.step_filtered).collect()
}

/// Sequences in flight on one executor.
pub struct Batch {
    model: LanguageModel,
    executor: Box<dyn Executor>,
    /// The table as the device will have it once all that was taken back has run.
    rows: Vec<Row>,
    /// Step counter of the states' slots.
    step: u32,
    flights: VecDeque<Flight>,
    pacer: Pacer,
    taken_us: u64,
}

impl Batch {
    /// A batch on an executor whose plan is `model`'s; its capacity is the number of rows, and its weights are there.
    pub fn new(model: LanguageModel, executor: Box<dyn Executor>) -> Batch {
        let rows = vec![Row::IDLE; executor.capacity().rows];
        let pacer = Pacer::new(RING as u32);
        Batch { model, executor, rows, step: 0, flights: VecDeque::new(), pacer, taken_us: 0 }
    }

    /// The executor, for questions about the device.
    pub fn executor(&self) -> &dyn Executor {
        &*self.executor
    }

    /// Starts requests, one a row; rows beyond them stay idle. What ran before is dropped.
    ///
    /// What all prompts have in length is read as matrix products, the rest token by token inside the steps.
    ///
    /// # Errors
    /// More requests than rows, an empty prompt, an id outside the vocabulary, prompts too long for the room, options
    /// out of their ranges, filters where the plan has no room for them.
    pub fn start(&mut self, requests: &[Request]) -> Result<()> {
        let capacity = self.executor.capacity();
        self.check(requests)?;
        self.flights.clear();
        let shortest = requests.iter().map(|r| r.prompt.len()).min().unwrap_or(1);
        self.reset()?;
        let mut read = 0;
        while read < shortest - 1 {
            let time = (shortest - 1 - read).min(capacity.time);
            self.prefill(requests, read..read + time)?;
            read += time;
        }
        let (mut forced, mut tokens) = (Vec::new(), vec![0; capacity.rows]);
        self.rows.fill(Row::IDLE);
        for (m, request) in requests.iter().enumerate() {
            tokens[m] = request.prompt[read];
            let forced_next = forced.len() as u32;
            forced.extend_from_slice(&request.prompt[read + 1..]);
            let forced_end = forced.len() as u32;
            self.rows[m] = Row { forced_next, forced_end, ..row_of(request, read, self.model.shape.vocab) };
        }
        self.write_marks(requests, read)?;
        if !forced.is_empty() {
            self.executor.write(self.model.forced, 0, Values::U32(&forced))?;
        }
        let words: Vec<u32> = self.rows.iter().flat_map(|row| row.to_words()).collect();
        debug_assert_eq!(words.len(), capacity.rows * ROW_WORDS);
        self.executor.write(self.model.table, 0, Values::U32(&words))?;
        self.executor.write(self.model.tokens, 0, Values::U32(&tokens))
    }

    /// The marks of requests of whose prompts `read` tokens were read; steps count the others when they read them.
    fn write_marks(&mut self, requests: &[Request], read: usize) -> Result<()> {
        let Some(marks) = self.model.marks.filter(|_| requests.iter().any(|r| r.options.need_filters())) else {
            return Ok(());
        };
        let vocab = self.model.shape.vocab;
        let mut words = vec![0; self.rows.len() * vocab];
        for (request, words) in requests.iter().zip(words.chunks_exact_mut(vocab)) {
            request.options.mark(&request.prompt[..read], words);
        }
        self.executor.write(marks, 0, Values::U32(&words))
    }

    fn check(&self, requests: &[Request]) -> Result<()> {
        let rows = self.executor.capacity().rows;
        if requests.len() > rows {
            return Err(Error::Limit(format!("{} requests for a batch of {rows} rows", requests.len())));
        }
        if self.model.shape.cell.is_bidirectional() {
            return Err(Error::Model(
                "a bidirectional model reads a text from its end too, so it cannot write one token after another; \
                 it can score texts"
                    .into(),
            ));
        }
        let vocab = self.model.shape.vocab;
        let shortest = requests.iter().map(|r| r.prompt.len()).min().unwrap_or(1);
        let forced: usize = requests.iter().map(|r| r.prompt.len().saturating_sub(shortest)).sum();
        let room = self.model.plan.tensor(self.model.forced).len(self.executor.capacity());
        if forced > room {
            return Err(Error::Limit(format!(
                "prompts differ by {forced} tokens in all, but the batch has room for {room}"
            )));
        }
        for (i, request) in requests.iter().enumerate() {
            request.options.check(vocab).map_err(|e| e.within(&format!("request {i}")))?;
            if request.options.need_filters() && self.model.step_filtered.is_none() {
                return Err(Error::Limit(format!(
                    "request {i}: this batch has no room for filters; it was planned for temperatures only"
                )));
            }
            if request.prompt.is_empty() {
                return Err(Error::Text(format!("request {i}: the prompt has no token")));
            }
            if request.stop.len() > 4 {
                return Err(Error::Limit(format!("request {i}: {} stop ids; a row has 4", request.stop.len())));
            }
            if let Some(id) = request.prompt.iter().find(|id| **id as usize >= vocab) {
                return Err(Error::Text(format!("request {i}: token id {id} in a vocabulary of {vocab}")));
            }
            if request.prompt.len() + request.max_tokens >= NO_TOKEN as usize {
                return Err(Error::Limit(format!("request {i}: a sequence has fewer than {NO_TOKEN} tokens")));
            }
        }
        Ok(())
    }

    /// Zero states for all rows.
    fn reset(&mut self) -> Result<()> {
        let flags = vec![1; self.rows.len()];
        self.executor.write(self.model.reset_flags, 0, Values::U32(&flags))?;
        self.run_once(self.model.reset, 1, 0)
    }

    /// Reads tokens `range` of every prompt.
    fn prefill(&mut self, requests: &[Request], range: std::ops::Range<usize>) -> Result<()> {
        let rows = self.rows.len();
        let mut input = vec![0; range.len() * rows];
        for (m, request) in requests.iter().enumerate() {
            for (t, token) in request.prompt[range.clone()].iter().enumerate() {
                input[t * rows + m] = *token;
            }
        }
        self.executor.write(self.model.input, 0, Values::U32(&input))?;
        self.run_once(self.model.prefill, range.len(), 1)
    }

    /// Runs a section once; `counts` is 1 where it moves the states to their other slot.
    fn run_once(&mut self, section: SectionId, time: usize, counts: u32) -> Result<()> {
        let sizes = Sizes { rows: self.rows.len(), time };
        let run = Run::new(section, sizes, self.step..self.step + 1);
        let ticket = self.executor.submit(&[run], &[])?;
        self.executor.wait(ticket)?;
        self.step += counts;
        Ok(())
    }

    /// Whether every row has ended.
    pub fn is_done(&self) -> bool {
        self.rows.iter().all(|row| row.active == 0)
    }

    /// The tokens that have arrived since the last call: submits, never blocks. `now_us` is any steady clock.
    ///
    /// # Errors
    /// A device that failed.
    pub fn poll(&mut self, now_us: u64) -> Result<Vec<Event>> {
        self.fill(now_us)?;
        let Some(flight) = self.flights.front() else { return Ok(Vec::new()) };
        match self.executor.try_take(flight.ticket)? {
            Some(results) => Ok(self.take(&results, now_us)),
            None => Ok(Vec::new()),
        }
    }

    /// The tokens of the next submission; blocks until it has run. `clock` gives the time in microseconds.
    ///
    /// # Errors
    /// A device that failed.
    pub fn wait(&mut self, clock: &dyn Fn() -> u64) -> Result<Vec<Event>> {
        self.fill(clock())?;
        let Some(flight) = self.flights.front() else { return Ok(Vec::new()) };
        let results = self.executor.wait(flight.ticket)?;
        Ok(self.take(&results, clock()))
    }

    /// Queues submissions of as many steps as the pacer allows.
    fn fill(&mut self, now_us: u64) -> Result<()> {
        while self.flights.len() < IN_FLIGHT && !self.is_done() {
            let queued: u32 = self.flights.iter().map(|f| f.steps.len() as u32).sum();
            let left = self.steps_left().saturating_sub(queued);
            if left == 0 {
                break;
            }
            let steps = self.step..self.step + self.pacer.steps().min(left);
            let sizes = Sizes { rows: self.rows.len(), time: 1 };
            let run = Run::new(self.step_section(), sizes, steps.clone());
            let ticket = self.executor.submit(&[run], &[self.model.ids, self.model.log_probs])?;
            self.step = steps.end;
            self.flights.push_back(Flight { ticket, steps, submitted_us: now_us });
        }
        Ok(())
    }

    /// The cheaper step where no running row has filters: a row without them has the same bits in both.
    fn step_section(&self) -> SectionId {
        let any = self.rows.iter().any(|row| row.active == 1 && row.filters != 0);
        self.model.step_filtered.filter(|_| any).unwrap_or(self.model.step)
    }

    /// Steps until the last row must have ended.
    fn steps_left(&self) -> u32 {
        let running = self.rows.iter().filter(|row| row.active == 1);
        running.map(|row| row.end_position - row.position).max().unwrap_or(0)
    }

    fn take(&mut self, results: &[crate::ops::Buffer<f32>], now_us: u64) -> Vec<Event> {
        let flight = self.flights.pop_front().expect("a flight was taken");
        let began = flight.submitted_us.max(self.taken_us);
        self.pacer.observe(flight.steps.len() as u32, now_us.saturating_sub(began));
        self.taken_us = now_us;
        let (ids, log_probs) = (results[0].word(), results[1].real());
        let rows = self.rows.len();
        let mut events = Vec::new();
        for step in flight.steps {
            let slot = step as usize % RING * rows;
            for (m, row) in self.rows.iter_mut().enumerate().filter(|(_, row)| row.active == 1) {
                let (token, log_prob) = (ids[slot + m], log_probs[slot + m]);
                debug_assert_ne!(token, NO_TOKEN, "the host's row table runs with the device's");
                let is_forced = row.is_forced();
                row.advance(token, is_forced);
                if !is_forced {
                    events.push(Event { row: m, token, log_prob, finish: row.finished() });
                }
            }
        }
        events
    }
}

/// The table's record of a request of whose prompt tokens 0 to `read` were read or are read next.
fn row_of(request: &Request, read: usize, vocab: usize) -> Row {
    let mut stop = [NO_TOKEN; 4];
    stop[..request.stop.len()].copy_from_slice(&request.stop);
    Row {
        active: u32::from(request.max_tokens > 0),
        position: read as u32 + 1,
        sequence: halves(request.sequence),
        seed: halves(request.seed),
        end_position: (request.prompt.len() + request.max_tokens) as u32,
        stop,
        ..request.options.row(vocab)
    }
}
