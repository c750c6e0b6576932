//! Texts in order: requests are pulled as rows become free, and sequences come out in the order they went in.

use std::collections::VecDeque;

use super::{Event, Generator, Request, Sequence};
use crate::error::Result;

/// A sequence to be generated, and what its tokens are added to.
#[derive(Debug)]
pub struct Job {
    /// The request; one for no token is answered at once.
    pub request: Request,
    /// Without tokens.
    pub sequence: Sequence,
}

/// Requests that wait for a row, for each row: enough for what ends while a submission runs.
const BACKLOG: usize = 4;
/// Sequences that wait for an earlier one to end, for each row: memory stays flat when one takes long.
const WINDOW: usize = 32;

/// An iterator of finished sequences, in the order of the jobs, each with what its job was tagged with. A job that is
/// an error is an error at its place, and the others go on; an error of the device ends the iterator.
pub struct Completions<T, J> {
    generator: Generator,
    jobs: J,
    clock: Box<dyn Fn() -> u64>,
    /// Jobs that were pulled and not given out.
    window: VecDeque<Entry<T>>,
    /// How many were given out.
    given: u64,
    /// The index among all jobs of each request that was submitted and not given out.
    places: VecDeque<u64>,
    first_id: u64,
    events: Vec<Event>,
    tokens: u64,
    failed: bool,
    exhausted: bool,
}

struct Entry<T> {
    tag: T,
    sequence: Result<Sequence>,
    submitted: bool,
    done: bool,
}

impl<T, J: Iterator<Item = (T, Result<Job>)>> Completions<T, J> {
    /// Runs jobs on a generator without requests. `clock` gives the time in microseconds.
    pub fn new(generator: Generator, jobs: J, clock: Box<dyn Fn() -> u64>) -> Completions<T, J> {
        assert!(generator.is_idle(), "a generator without requests");
        Completions {
            first_id: generator.next_id(),
            generator,
            jobs,
            clock,
            window: VecDeque::new(),
            given: 0,
            places: VecDeque::new(),
            events: Vec::new(),
            tokens: 0,
            failed: false,
            exhausted: false,
        }
    }

    /// Tokens that have arrived for all sequences so far.
    pub fn tokens(&self) -> u64 {
        self.tokens
    }

    /// The sequence that is given out next, as far as it has come.
    pub fn front(&self) -> Option<&Sequence> {
        self.window.front().and_then(|entry| entry.sequence.as_ref().ok())
    }

    /// Whether [`Iterator::next`] has something to give without waiting.
    pub fn is_ready(&self) -> bool {
        self.failed || self.window.front().is_some_and(|entry| entry.done) || self.exhausted && self.window.is_empty()
    }

    /// Pulls jobs where rows may become free, and waits for the tokens of a submission.
    ///
    /// # Errors
    /// A device that failed.
    pub fn advance(&mut self) -> Result<()> {
        let outcome = self.pull_and_wait();
        self.failed |= outcome.is_err();
        outcome
    }

    fn pull_and_wait(&mut self) -> Result<()> {
        let rows = self.generator.executor().capacity().rows;
        while !self.exhausted && self.generator.backlog() < BACKLOG * rows && self.window.len() < WINDOW * (rows + 32) {
            match self.jobs.next() {
                None => self.exhausted = true,
                Some((tag, job)) => self.take_in(tag, job),
            }
        }
        let mut events = std::mem::take(&mut self.events);
        if !self.generator.is_idle() {
            self.generator.wait(&self.clock, &mut events)?;
        }
        self.tokens += events.len() as u64;
        for event in events.drain(..) {
            self.add(event)?;
        }
        self.events = events;
        Ok(())
    }

    fn take_in(&mut self, tag: T, job: Result<Job>) {
        let submit = |job: Job| -> Result<(Sequence, bool)> {
            if job.request.max_tokens == 0 {
                return Ok((job.sequence, false));
            }
            self.generator.submit(job.request)?;
            Ok((job.sequence, true))
        };
        let entry = match job.and_then(submit) {
            Ok((sequence, submitted)) => Entry { tag, sequence: Ok(sequence), submitted, done: !submitted },
            Err(error) => Entry { tag, sequence: Err(error), submitted: false, done: true },
        };
        if entry.submitted {
            self.places.push_back(self.given + self.window.len() as u64);
        }
        self.window.push_back(entry);
    }

    fn add(&mut self, event: Event) -> Result<()> {
        let place = self.places[(event.id - self.first_id) as usize];
        let entry = &mut self.window[(place - self.given) as usize];
        let sequence = entry.sequence.as_mut().expect("it was submitted");
        sequence.push(event.token, event.log_prob, event.finish)?;
        if sequence.finish.is_some() && !entry.done {
            entry.done = true;
            if event.finish.is_none() {
                self.generator.cancel(event.id);
            }
        }
        Ok(())
    }

    fn give(&mut self) -> Option<(T, Result<Sequence>)> {
        if !self.window.front()?.done {
            return None;
        }
        let entry = self.window.pop_front()?;
        self.given += 1;
        if entry.submitted {
            self.places.pop_front();
            self.first_id += 1;
        }
        Some((entry.tag, entry.sequence))
    }
}

impl<T, J: Iterator<Item = (T, Result<Job>)>> Iterator for Completions<T, J> {
    type Item = Result<(T, Result<Sequence>)>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.is_ready() {
            if let Err(error) = self.advance() {
                return Some(Err(error));
            }
        }
        if self.failed { None } else { self.give().map(Ok) }
    }
}
