//! Whole jobs on a workload, as a user runs them: from tokens to tokens.

use std::time::Instant;

use super::metered::{Count, HostClock, Metered};
use super::report::RunLine;
use super::{Budget, Reading, Workload, executor, profile};
use crate::error::{DeviceFault, Error, Result};
use crate::executor::{Executor, Run, Values};
use crate::generate::{self, Generator, Options, Request};
use crate::host::Device;
use crate::model::initial_weights;
use crate::network::{Optimizer, Recipe, training};
use crate::ops::rows::Row;
use crate::ops::typical::ids;
use crate::plan::{Plan, SectionId, Sizes, TensorId};
use crate::score;
use crate::train::{Engine, Window};

/// The jobs that a workload is measured by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Job {
    /// `steps` tokens drawn and fed back for each of `batch` sequences, from one token each.
    Generate,
    /// The log-probability of every next token of `batch` sequences of `steps` tokens, and their mean.
    Score,
    /// One step of training on the same: forward, backward, clipping, Adam.
    Train,
}

impl Job {
    /// All of them.
    pub const ALL: [Job; 3] = [Job::Generate, Job::Score, Job::Train];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Job::Generate => "generate",
            Job::Score => "score",
            Job::Train => "train",
        }
    }
}

/// How jobs are measured.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Time for each job.
    pub budget: Budget,
    /// Whether to time each op of the job's section, too.
    pub profile: bool,
    /// Variants by op, where not the device's choice.
    pub forced: Vec<(String, String)>,
}

/// Measures a job.
///
/// # Errors
/// A device that fails or cannot hold the workload; results that cannot be right.
pub fn measure(device: &Device, job: Job, workload: &Workload, settings: &Settings) -> Result<RunLine> {
    let mut prepared = match job {
        Job::Generate => Prepared::generate(device, workload, settings)?,
        Job::Score => Prepared::score(device, workload, settings)?,
        Job::Train => Prepared::train(device, workload, settings)?,
    };
    let mut last = Count::default();
    let readings = settings.budget.repeat(|| {
        prepared.executor.take_count();
        let (began, host) = (Instant::now(), HostClock::start());
        (prepared.run)()?;
        let (wall_us, host_us) = (began.elapsed().as_secs_f64() * 1e6, host.elapsed_us());
        last = prepared.executor.take_count();
        // Where the CPU is the device, what it computes inside `submit` is not the host's.
        let computed_us = if matches!(device, Device::Cpu(_)) { last.submit_us } else { 0.0 };
        let host_us = (host_us - last.wait_us - computed_us).max(0.0);
        Ok(Reading { wall_us, host_us, device_us: last.device_us })
    })?;
    let Prepared { mut executor, memory_bytes, timed, sizes, times, running, .. } = prepared;
    if let Some((table, words)) = running {
        executor.write(table, 0, Values::U32(&words))?;
    }
    let profile =
        if settings.profile { profile::measure(&mut executor, &timed, sizes, settings.budget)? } else { Vec::new() };
    let alone_us = profile.iter().map(|line| line.time_us * line.count as f64).sum::<f64>() * times as f64;
    let (wall, steps, batch) = (readings.wall.figure(), workload.steps as f64, workload.batch as f64);
    let plan = executor.plan();
    let mut kernels: Vec<String> = Vec::new();
    for kernel in timed.iter().flat_map(|section| executor.kernels(*section)) {
        let kernel = format!("{}={}", kernel.op, kernel.name);
        if !kernels.contains(&kernel) {
            kernels.push(kernel);
        }
    }
    let flops = timed.iter().map(|section| profile::flops(plan, *section, sizes)).sum::<f64>() * times as f64;
    Ok(RunLine {
        job: job.name().into(),
        workload: workload.name.clone(),
        batch: workload.batch,
        steps: workload.steps,
        wall,
        tokens_per_second: (workload.batch * workload.steps) as f64 / wall.median_us * 1e6,
        dispatches: timed.iter().map(|section| executor.dispatches(*section, sizes)).sum(),
        submissions: last.submissions,
        host_us_per_token: readings.host.median_us() / (batch * steps),
        device_us_per_step: readings.device.as_ref().map(|sample| sample.median_us() / steps),
        memory_bytes,
        kernels,
        flops,
        gflops: flops / wall.median_us / 1e3,
        share_of_matrix_rate: None,
        profile_of_wall: settings.profile.then(|| alone_us / wall.median_us),
        profile,
        doubt: readings.wall.doubt(),
    })
}

/// A job that can be run again and again, and what it is made of.
struct Prepared {
    run: Box<dyn FnMut() -> Result<()>>,
    /// The executor that it runs on.
    executor: Metered,
    memory_bytes: u64,
    /// The sections that take the time, and how often they run in a run of the job.
    timed: Vec<SectionId>,
    times: usize,
    sizes: Sizes,
    /// A row table whose sequences never end: after the job all have, and ops pass over such rows.
    running: Option<(TensorId, Vec<u32>)>,
}

impl Prepared {
    fn generate(device: &Device, workload: &Workload, settings: &Settings) -> Result<Prepared> {
        let lm = generate::plan(workload.shape, workload.batch);
        let (sizes, sections) = (Sizes::of(workload.batch, 1), generate::sections(&lm));
        let capacity = generate::sizes(workload.batch);
        let (mut executor, memory_bytes) = metered(device, &lm.plan, capacity, &sections, settings)?;
        workload.weights().load_into(&mut executor)?;
        let (timed, times) = (vec![lm.decoding.step], workload.steps);
        let row =
            |m| Row { running: 1, inverse_temperature: 1.0, end_position: u32::MAX, sequence: [m, 0], ..Row::IDLE };
        let running =
            Some((lm.decoding.rows.table, (0..workload.batch as u32).flat_map(|m| row(m).to_words()).collect()));
        let mut generator = Generator::new(lm, Box::new(executor.clone()))?;
        let requests = requests(workload);
        let (vocab, expected) = (workload.shape.vocab, workload.batch * workload.steps);
        let clock = Instant::now();
        let name = device.name();
        let run = move || {
            for request in &requests {
                generator.submit(request.clone())?;
            }
            let (mut tokens, mut events) = (0, Vec::new());
            while !generator.is_idle() {
                generator.wait(&|| clock.elapsed().as_micros() as u64, &mut events)?;
                let drawn = events.drain(..);
                tokens += drawn.filter(|e| (e.token as usize) < vocab && e.log_prob.is_finite()).count();
            }
            right(tokens == expected, &name, || format!("{tokens} tokens of the vocabulary came, not {expected}"))
        };
        Ok(Prepared { run: Box::new(run), executor, memory_bytes, timed, times, sizes, running })
    }

    fn score(device: &Device, workload: &Workload, settings: &Settings) -> Result<Prepared> {
        let lm = score::plan(workload.shape);
        let sizes = Sizes::of(workload.batch, workload.steps);
        let (mut executor, memory_bytes) = metered(device, &lm.plan, sizes, &score::sections(&lm), settings)?;
        workload.weights().load_into(&mut executor)?;
        let count = sizes.rows * sizes.time;
        let ids = ids(count + sizes.rows, workload.shape.vocab);
        let (mut executor_of_run, mut step) = (executor.clone(), 0);
        let timed = vec![lm.score];
        let name = device.name();
        let run = move || {
            let executor = &mut executor_of_run;
            executor.write(lm.input, 0, Values::U32(&ids[..count]))?;
            executor.write(lm.targets, 0, Values::U32(&ids[sizes.rows..]))?;
            let ticket = executor.submit(&[Run::new(lm.score, sizes, step..step + 1)], &[lm.target_log_probs])?;
            step += 1;
            let results = executor.wait(ticket)?;
            let nats = -results[0].real().iter().map(|p| f64::from(*p)).sum::<f64>() / count as f64;
            right(nats.is_finite() && nats > 0.0, &name, || format!("the mean of {count} tokens is {nats} nats"))
        };
        Ok(Prepared { run: Box::new(run), executor, memory_bytes, timed, times: 1, sizes, running: None })
    }

    fn train(device: &Device, workload: &Workload, settings: &Settings) -> Result<Prepared> {
        let recipe = recipe(workload);
        let training = training(recipe);
        let (sizes, sections) = (Engine::sizes(&recipe), Engine::sections(&training));
        let (executor, memory_bytes) = metered(device, &training.plan, sizes, &sections, settings)?;
        let timed = vec![training.forward, training.backward, training.optimise];
        let mut engine = Engine::new(training, Box::new(executor.clone()))?;
        engine.restore(0, &initial_weights(&workload.shape, SEED))?;
        let count = sizes.rows * sizes.time;
        let ids = ids(count + sizes.rows, workload.shape.vocab);
        let (input, targets) = (ids[..count].to_vec(), ids[sizes.rows..].to_vec());
        let window = Window { time: sizes.time, input, targets, starts: vec![true; sizes.rows], sources: None };
        let name = device.name();
        let run = move || {
            engine.submit(&window, LEARNING_RATE)?;
            let outcomes = engine.take()?;
            let loss = outcomes.last().map_or(f32::NAN, |outcome| outcome.loss);
            right(loss.is_finite() && loss > 0.0, &name, || format!("the loss of a step is {loss}"))
        };
        Ok(Prepared { run: Box::new(run), executor, memory_bytes, timed, times: 1, sizes, running: None })
    }
}

/// A training step as the peers take it: Adam, gradients clipped to norm 1, no dropout.
pub(super) fn recipe(workload: &Workload) -> Recipe {
    let optimizer = Optimizer::Adam { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.0, decoupled: false };
    Recipe {
        shape: workload.shape,
        tied: false,
        rows: workload.batch,
        time: workload.steps,
        dropout: 0.0,
        seed: SEED,
        optimizer,
        clip: Some(1.0),
        pairs: None,
    }
}

const LEARNING_RATE: f32 = 1e-3;
const SEED: u64 = 1;

/// An executor that is counted, and the bytes that its tensors take.
fn metered(
    device: &Device,
    plan: &Plan,
    sizes: Sizes,
    sections: &[SectionId],
    settings: &Settings,
) -> Result<(Metered, u64)> {
    let executor = executor(device, plan, sizes, sections, &settings.forced)?;
    Ok((Metered::new(executor), plan.memory(sections, sizes).total()))
}

fn requests(workload: &Workload) -> Vec<Request> {
    let request = |(i, id): (usize, u32)| Request {
        prompt: [id].into(),
        sequence: i as u64,
        seed: 1,
        options: Options { temperature: 1.0, ..Options::default() },
        max_tokens: workload.steps,
        stop: Vec::new(),
        source: [].into(),
    };
    ids(workload.batch, workload.shape.vocab).into_iter().enumerate().map(request).collect()
}

fn right(holds: bool, device: &str, what: impl FnOnce() -> String) -> Result<()> {
    let wrong = || Error::Device {
        device: device.into(),
        fault: DeviceFault::Wrong { what: format!("the results cannot be right: {}", what()) },
    };
    if holds { Ok(()) } else { Err(wrong()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::{Cell, Shape};
    use std::sync::Arc;

    #[test]
    fn jobs_count_their_tokens_and_profiles_add_up() {
        let shape = Shape { cell: Cell::Gru, vocab: 31, embedding: 8, hidden: 24, layers: 2 };
        let workload = Workload { name: "w".into(), shape, batch: 3, steps: 7 };
        let device = Device::Cpu(Arc::new(crate::host::Threads::new(Some(1)).unwrap()));
        let settings = Settings { budget: Budget::seconds(0.01), profile: true, forced: Vec::new() };
        for job in Job::ALL {
            let line = measure(&device, job, &workload, &settings).unwrap();
            assert!(line.wall.runs >= 3 && line.job == job.name());
            let rate = 21.0 / line.wall.median_us * 1e6;
            assert!((line.tokens_per_second / rate - 1.0).abs() < 1e-9);
            let share: f64 = line.profile.iter().map(|p| p.share).sum();
            assert!((share - 1.0).abs() < 1e-9, "{share}");
            let flops: f64 = line.profile.iter().map(|p| p.gflops * p.time_us * 1e3 * p.count as f64).sum();
            let runs = if job == Job::Generate { 7.0 } else { 1.0 };
            assert!((runs * flops / line.flops - 1.0).abs() < 1e-6);
        }
    }
}
