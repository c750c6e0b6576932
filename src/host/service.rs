//! A generator on a thread of its own, for programs that answer many callers at once.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Instant;

use crate::error::{Error, Result};
use crate::generate::{Event, Generator, Request};

/// Takes requests from any thread; all of them share one batch.
pub struct Service {
    commands: Sender<Command>,
    numbers: AtomicU64,
    thread: Option<JoinHandle<()>>,
}

enum Command {
    Submit { number: u64, request: Request, events: Sender<Result<Event>> },
    Cancel { number: u64 },
    Stop,
}

/// The tokens of one request as they come; the last one says why it ended. Dropped earlier, it cancels the request.
pub struct Tokens {
    number: u64,
    events: Receiver<Result<Event>>,
    commands: Sender<Command>,
}

impl Iterator for Tokens {
    type Item = Result<Event>;

    /// Waits for the next token.
    fn next(&mut self) -> Option<Result<Event>> {
        self.events.recv().ok()
    }
}

impl Tokens {
    /// The next token, if it is there: for callers that must not wait.
    pub fn try_next(&mut self) -> Option<Result<Event>> {
        self.events.try_recv().ok()
    }
}

impl Drop for Tokens {
    fn drop(&mut self) {
        // The service may be gone; then there is nothing to cancel.
        let _ = self.commands.send(Command::Cancel { number: self.number });
    }
}

impl Service {
    /// Starts the thread; `make` makes the generator there.
    ///
    /// # Errors
    /// An error of `make`.
    pub fn start(make: impl FnOnce() -> Result<Generator> + Send + 'static) -> Result<Service> {
        let (commands, inbox) = channel();
        let (made, outcome) = channel();
        let run = move || match make() {
            Ok(generator) => {
                let _ = made.send(Ok(()));
                Worker { generator, inbox, senders: HashMap::new(), ids: HashMap::new() }.run();
            }
            Err(error) => drop(made.send(Err(error))),
        };
        let thread = std::thread::Builder::new().name("gatefold-service".into()).spawn(run);
        let thread = thread.map_err(|source| Error::Io { context: "a thread for the service".into(), source })?;
        outcome.recv().unwrap_or_else(|_| Err(Error::Ended { reason: "the service did not start".into() }))?;
        Ok(Service { commands, numbers: AtomicU64::new(0), thread: Some(thread) })
    }

    /// Takes a request; its tokens come as an iterator. A request that cannot be run has an error as its first item.
    pub fn submit(&self, request: Request) -> Tokens {
        let number = self.numbers.fetch_add(1, Relaxed);
        let (sender, events) = channel();
        // Where the service is gone the sender is dropped, and the iterator is empty.
        let _ = self.commands.send(Command::Submit { number, request, events: sender });
        Tokens { number, events, commands: self.commands.clone() }
    }
}

impl Drop for Service {
    /// Ends the thread; requests that run are dropped.
    fn drop(&mut self) {
        let _ = self.commands.send(Command::Stop);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The state of the thread.
struct Worker {
    generator: Generator,
    inbox: Receiver<Command>,
    /// By the generator's id: the caller's number and channel.
    senders: HashMap<u64, (u64, Sender<Result<Event>>)>,
    /// The generator's id of a number.
    ids: HashMap<u64, u64>,
}

impl Worker {
    fn run(&mut self) {
        let started = Instant::now();
        let clock = || started.elapsed().as_micros() as u64;
        let mut events = Vec::new();
        loop {
            // Without requests there is nothing to do but to wait for one.
            let first = if self.generator.is_idle() { self.inbox.recv().ok() } else { None };
            if first.is_none() && self.generator.is_idle() {
                return;
            }
            let mut next = first.or_else(|| self.inbox.try_recv().ok());
            while let Some(command) = next {
                if !self.obey(command) {
                    return;
                }
                next = self.inbox.try_recv().ok();
            }
            let outcome = self.generator.wait(&clock, &mut events);
            events.drain(..).for_each(|event| self.deliver(event));
            if let Err(error) = outcome {
                return self.refuse_all(&error.to_string());
            }
        }
    }

    /// Tells every caller, and all that still come, why there are no more tokens.
    fn refuse_all(&mut self, why: &str) {
        for (_, (_, sender)) in self.senders.drain() {
            let _ = sender.send(Err(Error::Ended { reason: why.into() }));
        }
        while let Ok(command) = self.inbox.recv() {
            match command {
                Command::Submit { events, .. } => drop(events.send(Err(Error::Ended { reason: why.into() }))),
                Command::Cancel { .. } => {}
                Command::Stop => return,
            }
        }
    }

    /// Does what a caller wants; `false` to end.
    fn obey(&mut self, command: Command) -> bool {
        match command {
            Command::Submit { number, request, events } => match self.generator.submit(request) {
                Ok(id) => {
                    self.senders.insert(id, (number, events));
                    self.ids.insert(number, id);
                }
                Err(error) => drop(events.send(Err(error))),
            },
            Command::Cancel { number } => {
                if let Some(id) = self.ids.remove(&number) {
                    self.senders.remove(&id);
                    self.generator.cancel(id);
                }
            }
            Command::Stop => return false,
        }
        true
    }

    fn deliver(&mut self, event: Event) {
        let Some((number, sender)) = self.senders.get(&event.id) else { return };
        // A receiver that is gone has sent a command to cancel.
        let _ = sender.send(Ok(event));
        if event.finish.is_some() {
            self.ids.remove(number);
            self.senders.remove(&event.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::executor::failing::Failing;
    use crate::generate::{Options, plan, sections, sizes};
    use crate::gpu::DeviceChoice;
    use crate::host::{Device, generator, open_model};

    fn service() -> Service {
        Service::start(|| {
            let device = Device::choose(&DeviceChoice::Cpu, Some(1))?;
            generator(&open_model("builtin:shakespeare")?, &device, 4, false)
        })
        .unwrap()
    }

    fn request(sequence: u64, max_tokens: usize) -> Request {
        Request {
            prompt: [5].into(),
            sequence,
            seed: 1,
            options: Options::at(0.8),
            max_tokens,
            stop: Vec::new(),
            source: [].into(),
        }
    }

    #[test]
    fn callers_share_a_batch_and_get_their_own_tokens() {
        let service = service();
        let tokens = |sequence| -> Vec<u32> {
            service.submit(request(sequence, 20)).map(|event| event.unwrap().token).collect()
        };
        let alone: Vec<Vec<u32>> = (0..6).map(tokens).collect();
        let together: Vec<Vec<u32>> = std::thread::scope(|scope| {
            let callers: Vec<_> = (0..6).map(|i| scope.spawn(move || tokens(i))).collect();
            callers.into_iter().map(|caller| caller.join().unwrap()).collect()
        });
        assert_eq!(together, alone);
        assert!(alone.iter().all(|tokens| tokens.len() == 20));
    }

    #[test]
    fn on_a_lost_device_callers_keep_their_tokens_and_all_are_told() {
        let lasting = service();
        let service = Service::start(|| {
            let model = open_model("builtin:shakespeare")?;
            let planned = plan(model.shape, 4);
            let device = Device::choose(&DeviceChoice::Cpu, Some(1))?;
            let mut executor = device.executor(&planned.plan, sizes(4), &sections(&planned))?;
            model.weights.load_into(&mut *executor)?;
            Generator::new(planned, Box::new(Failing::after(8, executor)))
        });
        let service = service.unwrap();
        let running: Vec<Tokens> = (0..3).map(|i| service.submit(request(i, 1 << 20))).collect();
        for (i, tokens) in (0..).zip(running) {
            let mut outcomes: Vec<Result<Event>> = tokens.collect();
            let why = outcomes.pop().unwrap().unwrap_err().to_string();
            assert!(why.contains(Failing::WHY), "{why}");
            assert!(!outcomes.is_empty());
            let right = lasting.submit(request(i, 1 << 20));
            assert!(outcomes.into_iter().zip(right).all(|(mine, right)| mine.unwrap().token == right.unwrap().token));
        }
        assert!(service.submit(request(9, 5)).next().unwrap().unwrap_err().to_string().contains(Failing::WHY));
    }

    #[test]
    fn what_is_dropped_is_cancelled_and_what_is_wrong_is_told() {
        let service = service();
        let mut endless = service.submit(request(0, 1 << 30));
        assert!(endless.next().unwrap().is_ok());
        drop(endless);
        let wrong = service.submit(Request { prompt: [].into(), ..request(0, 5) }).next().unwrap();
        assert!(wrong.unwrap_err().to_string().contains("the prompt has no token"));
        assert_eq!(service.submit(request(1, 5)).count(), 5);
    }
}
