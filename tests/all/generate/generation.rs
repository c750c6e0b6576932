//! The scheduler: every request is answered once, with the bits that it alone would have, whatever else runs.

use gatefold::unstable::cpu::Functions;
use gatefold::unstable::executor::{Executor, Run, Values};
use gatefold::unstable::generate::{self, Completions, Event, Generator, Job, Options, Request, Sequence};
use gatefold::unstable::gpu::DeviceOptions;
use gatefold::unstable::host::{self, adapters};
use gatefold::unstable::model::{Weights, initial_weights};
use gatefold::unstable::network::{Cell, GeneralCell, Kind as CellKind, LanguageModel, Nonlinearity, Shape};
use gatefold::unstable::ops::rows::Finish;
use gatefold::unstable::plan::{SectionId, Sizes, philox};
use gatefold::unstable::text::{StopTexts, Tokenizer};
use libtest_mimic::Trial;

use crate::context::{DONE, Opened, Outcome, cpu_executor, gpu, gpu_executor, trial, trials_per_adapter};
use crate::ensure;

pub fn trials() -> Vec<Trial> {
    let on_cpu =
        |run: Kind| move || run(&|lm, sizes, sections| cpu_executor(&lm.plan, sizes, sections, Functions::Fast, 2));
    let on = |opened: Opened, run: Kind| {
        move |adapter| run(&|lm, sizes, sections| gpu_executor(&gpu(adapter, opened), &lm.plan, sizes, sections))
    };
    let kinds: [(&str, Kind); 8] = [
        ("generation: hundreds of prompts of 0 to 5,000 tokens", |make| many_prompts(make, 250)),
        ("generation: the same for any batch and order", |make| any_batch(make, Cell::Lstm)),
        ("generation: the same for any batch and order, GRU", |make| any_batch(make, Cell::Gru)),
        ("generation: the same for any batch and order, RNN", |make| any_batch(make, Cell::Rnn(Nonlinearity::Relu))),
        ("generation: the same for any batch and order, LSTM with projections", |make| any_batch(make, projected())),
        ("generation: long prompts of cells of other forms are read as a window is", other_forms),
        ("generation: what is cancelled leaves the others alone", cancelled),
        ("generation: every ring goes round, filled to its very end", |make| rings(make, 60)),
    ];
    let mut trials = vec![trial("generation: texts come in order, errors at their places", in_order)];
    trials.push(trial(
        "generation: a thousand prompts of 0 to 5,000 tokens on the CPU",
        on_cpu(|make| many_prompts(make, 1000)),
    ));
    trials
        .push(trial("generation: every ring goes round a hundred times on the CPU", on_cpu(|make| rings(make, 1800))));
    for (name, run) in kinds {
        trials.push(trial(format!("{name} on the CPU"), on_cpu(run)));
        trials.extend(trials_per_adapter(name, on(Opened::Fully, run)));
    }
    trials.extend(trials_per_adapter(
        "generation: the same for any batch, at WebGPU's floor",
        on(Opened::Floor, |make| any_batch(make, Cell::Lstm)),
    ));
    trials.extend(trials_per_adapter("generation: what was written before the device is lost stays", lost_device));
    trials
}

type Kind = fn(Make<'_>) -> Outcome;
type Make<'a> = &'a dyn Fn(&LanguageModel, Sizes, &[SectionId]) -> Box<dyn Executor>;

const TINY: Shape = Shape { cell: Cell::Lstm, vocab: 17, embedding: 5, hidden: 9, layers: 2 };

fn generator(make: Make<'_>, shape: Shape, rows: usize) -> Result<Generator, String> {
    let lm = generate::plan_with_filters(shape, rows);
    let mut executor = make(&lm, generate::sizes(rows), &generate::sections(&lm));
    let weights = Weights::from_tensors(initial_weights(&shape, 11));
    weights.load_into(&mut *executor).map_err(|e| e.to_string())?;
    Generator::new(lm, executor).map_err(|e| e.to_string())
}

/// Options of all kinds, in turn.
fn options(i: usize, vocab: usize) -> Options {
    let plain = Options::at([1.0, 0.7, 0.0, 1.3][i % 4]);
    match i % 7 {
        0 => Options { top_k: 1 + i % vocab, ..plain },
        1 => Options { top_p: 0.8, repetition_penalty: 1.3, ..plain },
        2 => Options { min_p: 0.1, presence_penalty: 0.4, ..plain },
        3 => Options { frequency_penalty: 0.2, banned: [i as u32 % vocab as u32, 1, 1].into(), ..plain },
        4 => Options { top_k: 5, top_p: 0.9, min_p: 0.01, ..plain },
        _ => plain,
    }
}

/// A request with a prompt of `read` tokens after a first one.
fn request(i: usize, read: usize, vocab: usize) -> Request {
    let random = |n: usize| philox([n as u32, i as u32, 3, 0], [1, 2])[0] % vocab as u32;
    Request {
        prompt: (0..=read).map(random).collect(),
        sequence: 1 << 34 | i as u64,
        seed: 77 + i as u64 % 3,
        options: options(i, vocab),
        max_tokens: 1 + i * 13 % 40,
        stop: if i.is_multiple_of(3) { vec![2, 3] } else { Vec::new() },
        source: [].into(),
    }
}

/// The tokens of each request with the bits of their log-probabilities, and whether it ended as it should.
fn tokens_of(requests: &[Request], events: &[Event]) -> Result<Vec<Vec<(u32, u32)>>, String> {
    let mut found = vec![Vec::new(); requests.len()];
    let mut ended = vec![false; requests.len()];
    for event in events {
        let i = event.id as usize;
        if std::mem::replace(&mut ended[i], event.finish.is_some()) {
            return Err(format!("request {i} goes on past its end"));
        }
        found[i].push((event.token, event.log_prob.to_bits()));
        let expected = match (requests[i].stop.contains(&event.token), found[i].len() == requests[i].max_tokens) {
            (true, _) => Some(Finish::Stop),
            (false, true) => Some(Finish::Length),
            (false, false) => None,
        };
        if event.finish != expected {
            return Err(format!("request {i}: {:?} at token {}, expected {expected:?}", event.finish, found[i].len()));
        }
    }
    match ended.iter().position(|ended| !ended) {
        None => Ok(found),
        Some(i) => Err(format!("request {i} has no end")),
    }
}

/// Token flags that fill the ring of edits (V + 65,536 entries) to its very end, again and again, without a pause, and with
/// them the rings of records and of results: each sequence has the tokens that it has alone.
fn rings(make: Make<'_>, count: usize) -> Outcome {
    const BANNED: u32 = 4096;
    let shape = Shape { cell: Cell::Gru, vocab: 2 * BANNED as usize, embedding: 3, hidden: 4, layers: 1 };
    ensure!((shape.vocab + (1 << 16)).is_multiple_of(BANNED as usize), "the ring is not filled to its end");
    let request = |i: usize| Request {
        prompt: [i as u32 % 7].into(),
        sequence: i as u64,
        seed: 5,
        options: Options { repetition_penalty: 1.1, banned: (0..BANNED).collect(), ..Options::default() },
        max_tokens: 1 + i % 3,
        stop: Vec::new(),
        source: [].into(),
    };
    // Eighteen sequences fill the ring of edits once.
    let requests: Vec<Request> = (0..count).map(request).collect();
    let together = run(&mut generator(make, shape, 4)?, &requests)?;
    ensure!(together.iter().flatten().all(|(token, _)| *token >= BANNED), "a banned token was drawn");
    for i in [0, 17, 18, count - 1] {
        let alone = run(&mut generator(make, shape, 1)?, &requests[i..=i])?;
        ensure!(alone[0] == together[i], "sequence {i}: {:?} alone, {:?} among others", alone[0], together[i]);
    }
    DONE
}

fn run(generator: &mut Generator, requests: &[Request]) -> Result<Vec<Vec<(u32, u32)>>, String> {
    let mut events = Vec::new();
    // A clock that goes on makes submissions of several sizes.
    let time = std::cell::Cell::new(0);
    let clock = || time.replace(time.get() + 9_000);
    let outcome = (|| {
        for request in requests {
            generator.submit(request.clone())?;
        }
        while !generator.is_idle() {
            generator.wait(&clock, &mut events)?;
        }
        Ok(())
    })();
    outcome.map_err(|e: gatefold::Error| e.to_string())?;
    tokens_of(requests, &events)
}

/// The device goes while rows are under way: the tokens that came before are the right ones, then there is an error.
fn lost_device(adapter: usize) -> Outcome {
    let device = host::open(&adapters()[adapter], DeviceOptions::default())?;
    let make: Make<'_> = &|lm, sizes, sections| gpu_executor(&device, &lm.plan, sizes, sections);
    let requests: Vec<Request> = (0..3)
        .map(|i| Request { max_tokens: 3000, stop: Vec::new(), options: Options::at(1.0), ..request(i, 4, TINY.vocab) })
        .collect();
    let expected = run(&mut generator(make, TINY, 3)?, &requests)?;
    let mut generator = generator(make, TINY, 3)?;
    for request in &requests {
        generator.submit(request.clone())?;
    }
    let mut events = Vec::new();
    while events.len() < 50 {
        generator.wait(&|| 0, &mut events)?;
    }
    device.destroy();
    let message = loop {
        match generator.wait(&|| 0, &mut events) {
            Err(e) => break e.to_string(),
            Ok(()) => {
                ensure!(!generator.is_idle(), "all three ended on a device that is no more");
            }
        }
    };
    ensure!(message.contains(&device.info.name) && message.contains("the device was lost"), "{message}");
    for (i, expected) in expected.iter().enumerate() {
        let mine = events.iter().filter(|event| event.id as usize == i);
        let found: Vec<(u32, u32)> = mine.map(|event| (event.token, event.log_prob.to_bits())).collect();
        ensure!(
            !found.is_empty() && expected.starts_with(&found),
            "request {i}: {} tokens, not the first ones",
            found.len()
        );
    }
    DONE
}

fn many_prompts(make: Make<'_>, count: usize) -> Outcome {
    // Most are short, some have thousands of tokens.
    let length = |i: usize| match i % 250 {
        0 => 5000 - i,
        1..=9 => 60 + i % 10,
        k => k * k * k / 40_000,
    };
    let requests: Vec<Request> = (0..count).map(|i| request(i, length(i), TINY.vocab)).collect();
    let found = run(&mut generator(make, TINY, 64)?, &requests)?;
    // A few of them alone.
    for i in [3, 5, 9, 11, 240, count - 1] {
        let alone = run(&mut generator(make, TINY, 1)?, &requests[i..=i])?;
        ensure!(alone[0] == found[i], "request {i} alone: {:?}, among others {:?}", alone[0], found[i]);
    }
    DONE
}

/// Sizes beyond one block of sums and of no round number; prompts that are read on the side, forced, and both.
fn any_batch(make: Make<'_>, cell: Cell) -> Outcome {
    let shape = Shape { cell, vocab: 131, embedding: 67, hidden: 70, layers: 2 };
    let lengths = [0, 1, 5, 63, 64, 65, 128, 130, 200];
    let requests: Vec<Request> = (0..27).map(|i| request(i, lengths[i % lengths.len()], shape.vocab)).collect();
    let expected = run(&mut generator(make, shape, 7)?, &requests)?;
    for rows in [1, 64] {
        let found = run(&mut generator(make, shape, rows)?, &requests)?;
        for (i, (found, expected)) in found.iter().zip(&expected).enumerate() {
            ensure!(found == expected, "batch {rows}, request {i}: {found:?}, expected {expected:?}");
        }
    }
    let backwards: Vec<Request> = requests.iter().rev().cloned().collect();
    let mut found = run(&mut generator(make, shape, 5)?, &backwards)?;
    found.reverse();
    ensure!(found == expected, "another order of requests gives other tokens");
    DONE
}

fn projected() -> Cell {
    GeneralCell { projection: Some(37), peepholes: true, ..GeneralCell::plain(CellKind::Lstm) }.into_cell()
}

/// Tokens after a prompt whose states were saved twice have the probabilities that one window gives them.
fn other_forms(make: Make<'_>) -> Outcome {
    let reset_before = GeneralCell { reset_before: true, ..GeneralCell::plain(CellKind::Gru) };
    for cell in [projected(), reset_before.into_cell(), GeneralCell::plain(CellKind::Rnn).into_cell()] {
        let shape = Shape { cell, vocab: 31, embedding: 12, hidden: 20, layers: 2 };
        // Others run first, so that rows and places hold states of theirs.
        let requests: Vec<Request> = [3, 70, 1, 150, 140, 66]
            .into_iter()
            .enumerate()
            .map(|(i, read)| Request { options: Options::at(1.0), stop: Vec::new(), ..request(i, read, shape.vocab) })
            .collect();
        let found = run(&mut generator(make, shape, 2)?, &requests)?;
        for (i, (request, found)) in requests.iter().zip(&found).enumerate() {
            let ids: Vec<u32> = request.prompt.iter().copied().chain(found.iter().map(|(id, _)| *id)).collect();
            let expected = log_probs(make, shape, &ids)?;
            let behind_prompt = &expected[request.prompt.len() - 1..];
            for ((_, bits), expected) in found.iter().zip(behind_prompt) {
                let found = f32::from_bits(*bits);
                ensure!((found - expected).abs() < 1e-5, "{cell:?}, request {i}: {found}, as a window {expected}");
            }
        }
    }
    let bidirectional = GeneralCell { bidirectional: true, ..GeneralCell::plain(CellKind::Gru) }.into_cell();
    let refused = generator(make, Shape { cell: bidirectional, ..TINY }, 1).map(|_| "a generator");
    ensure!(refused.as_ref().is_err_and(|e| e.contains("it can score texts")), "{refused:?}");
    DONE
}

/// The log-probability of each token but the first, from all at once.
fn log_probs(make: Make<'_>, shape: Shape, ids: &[u32]) -> Result<Vec<f32>, String> {
    let lm = generate::plan(shape, 1);
    let sizes = Sizes::of(1, ids.len() - 1);
    let mut executor = make(&lm, sizes, &[lm.logits]);
    let mut window = || {
        Weights::from_tensors(initial_weights(&shape, 11)).load_into(&mut *executor)?;
        executor.write(lm.input, 0, Values::U32(&ids[..sizes.time]))?;
        let ticket = executor.submit(&[Run::new(lm.logits, sizes, 0..1)], &[lm.all_log_probs])?;
        executor.wait(ticket)
    };
    let all = window().map_err(|e| e.to_string())?;
    Ok(ids[1..].iter().zip(all[0].real().chunks(shape.vocab)).map(|(id, row)| row[*id as usize]).collect())
}

fn cancelled(make: Make<'_>) -> Outcome {
    let requests: Vec<Request> = (0..60).map(|i| request(i, [0, 90, 3][i % 3], TINY.vocab)).collect();
    let expected = run(&mut generator(make, TINY, 4)?, &requests)?;
    let mut generator = generator(make, TINY, 4)?;
    let is_cancelled = |i: usize| i % 4 == 1;
    for request in &requests {
        generator.submit(request.clone())?;
    }
    let (mut events, mut polls): (Vec<Event>, u64) = (Vec::new(), 0);
    let mut gone = vec![false; requests.len()];
    while !generator.is_idle() {
        let before = events.len();
        generator.wait(&|| polls * 20_000, &mut events)?;
        let late = events[before..].iter().find(|event| gone[event.id as usize]);
        ensure!(late.is_none(), "{late:?} of a request that was cancelled");
        polls += 1;
        // Two at a time: some wait, some are being read, some run, some have ended.
        for i in (0..requests.len()).filter(|i| is_cancelled(*i) && (i / 8) as u64 == polls - 1) {
            let ended = events.iter().any(|event| event.id == i as u64 && event.finish.is_some());
            ensure!(generator.cancel(i as u64) != ended, "request {i} had ended: {ended}");
            ensure!(!generator.cancel(i as u64), "request {i} was cancelled twice");
            gone[i] = true;
        }
    }
    for i in (0..requests.len()).filter(|i| !is_cancelled(*i)) {
        let found: Vec<(u32, u32)> =
            events.iter().filter(|e| e.id == i as u64).map(|e| (e.token, e.log_prob.to_bits())).collect();
        ensure!(found == expected[i], "request {i}: {found:?}, expected {:?}", expected[i]);
    }
    DONE
}

fn in_order() -> Outcome {
    let make = |lm: &LanguageModel, sizes: Sizes, sections: &[SectionId]| {
        cpu_executor(&lm.plan, sizes, sections, Functions::Fast, 1)
    };
    let tokenizer = Tokenizer::characters("abcdefghijklmnopq".chars())?;
    let jobs = (0..500).map(|i| {
        let stops = StopTexts::new(if i % 2 == 0 { &["ab", "q"][..] } else { &[] }).expect("stops");
        let sequence = Sequence::new(&tokenizer, stops, vec![4]);
        let max_tokens = if i == 7 { 0 } else { 1 + i * 7 % 60 };
        let request = Request { max_tokens, stop: vec![4], ..request(i, i % 5, TINY.vocab) };
        match i {
            10 => (i, Err(gatefold::Error::text("", "no prompt"))),
            20 => (i, Ok(Job { request: Request { prompt: [99].into(), ..request }, sequence })),
            _ => (i, Ok(Job { request, sequence })),
        }
    });
    let texts = Completions::new(generator(&make, TINY, 8)?, jobs, Box::new(|| 0));
    let mut next = 0;
    for item in texts {
        let (i, sequence) = item?;
        ensure!(i == next, "sequence {i} where {next} was expected");
        next += 1;
        ensure!(sequence.is_err() == (i == 10 || i == 20), "sequence {i}: {:?}", sequence.err());
        let Ok(sequence) = sequence else { continue };
        ensure!(!sequence.text.contains('q') || i % 2 == 1, "{i}: a stop text in {:?}", sequence.text);
        ensure!(sequence.finish.is_some() == (i != 7), "sequence {i} has no end");
    }
    ensure!(next == 500, "{next} sequences");
    DONE
}
