//! `cargo bench --bench scheduler`: what a token costs the host, on a device that takes no time.
//!
//! The device gives the same ids for every step, so all that is measured is the scheduler, and then the texts and lines.

use std::time::Instant;

use gatefold::unstable::executor::{Executor, Kernel, Run, Ticket, Values};
use gatefold::unstable::generate::{self, Completions, Generator, Job, Options, Request, Sequence};
use gatefold::unstable::network::{Cell, Shape};
use gatefold::unstable::plan::{Buffer, Plan, SectionId, Sizes, TensorId};
use gatefold::unstable::text::{StopTexts, Tokenizer};

/// Answers every submission at once.
struct Nothing {
    plan: Plan,
    capacity: Sizes,
    tickets: u64,
    results: Vec<Buffer<f32>>,
}

impl Executor for Nothing {
    fn device(&self) -> String {
        "no device".into()
    }
    fn plan(&self) -> &Plan {
        &self.plan
    }
    fn capacity(&self) -> Sizes {
        self.capacity
    }
    fn write(&mut self, _: TensorId, _: usize, _: Values<'_>) -> gatefold::Result<()> {
        Ok(())
    }
    fn submit(&mut self, _: &[Run], _: &[TensorId]) -> gatefold::Result<Ticket> {
        self.tickets += 1;
        Ok(Ticket::numbered(self.tickets))
    }
    fn try_take(&mut self, ticket: Ticket) -> gatefold::Result<Option<Vec<Buffer<f32>>>> {
        self.wait(ticket).map(Some)
    }
    fn on_ready(&mut self, _: Ticket, then: Box<dyn FnOnce() + Send>) {
        then();
    }
    fn wait(&mut self, _: Ticket) -> gatefold::Result<Vec<Buffer<f32>>> {
        Ok(self.results.clone())
    }
    fn kernels(&self, _: SectionId) -> Vec<Kernel> {
        Vec::new()
    }
    fn dispatches(&self, _: SectionId, _: Sizes) -> usize {
        0
    }
}

fn generator(rows: usize) -> Generator {
    let shape = Shape { cell: Cell::Lstm, vocab: 64, embedding: 8, hidden: 8, layers: 1 };
    let lm = generate::plan(shape, rows);
    let capacity = generate::sizes(rows);
    let len = lm.plan.tensor(lm.decoding.rows.ids).len(capacity);
    let ids = (0..len as u32).map(|i| i * 7 % 60).collect();
    let results = vec![Buffer::Word(ids), Buffer::Real(vec![-1.0; len])];
    let executor = Nothing { plan: lm.plan.clone(), capacity, tickets: 0, results };
    Generator::new(lm, Box::new(executor)).expect("a model of one direction")
}

fn request(i: u64, length: usize) -> Request {
    // Lengths differ, so that rows end one by one.
    let max_tokens = length / 2 + (i as usize * 7919) % length;
    Request {
        prompt: [1].into(),
        sequence: i,
        seed: 0,
        options: Options::default(),
        max_tokens,
        stop: vec![61],
        source: [].into(),
    }
}

fn main() -> gatefold::Result<()> {
    let tokenizer = Tokenizer::characters((0..64u32).map(|i| char::from_u32(48 + i).expect("ASCII")))?;
    println!("{:>6} {:>7}  {:>12} {:>12}", "rows", "length", "ids_ns", "texts_ns");
    for (rows, length) in [(1, 128), (32, 100), (64, 128), (256, 64), (4096, 64)] {
        let count = 4_000_000 / length as u64;
        let mut generator_alone = generator(rows);
        let (mut events, mut tokens, mut next) = (Vec::new(), 0, 0);
        let started = Instant::now();
        while next < count || !generator_alone.is_idle() {
            while next < count && generator_alone.backlog() < 4 * rows {
                generator_alone.submit(request(next, length))?;
                next += 1;
            }
            generator_alone.wait(&|| 0, &mut events)?;
            tokens += events.len();
            events.clear();
        }
        let ids_ns = started.elapsed().as_nanos() as f64 / tokens as f64;
        let jobs = (0..count).map(|i| {
            let sequence = Sequence::new(&tokenizer, StopTexts::new::<&str>(&[]).expect("none"), vec![61]);
            ((), Ok(Job { request: request(i, length), sequence }))
        });
        let started = Instant::now();
        let mut texts = Completions::new(generator(rows), jobs, Box::new(|| 0));
        let mut characters = 0;
        for item in texts.by_ref() {
            characters += item?.1?.text.len();
        }
        let texts_ns = started.elapsed().as_nanos() as f64 / texts.tokens() as f64;
        assert_eq!(characters as u64, texts.tokens());
        println!("{rows:>6} {length:>7}  {ids_ns:>12.1} {texts_ns:>12.1}");
    }
    Ok(())
}
