//! Whole jobs on a workload, as a user runs them: from tokens to tokens.

use std::time::Instant;

use super::metered::{Count, Meter, Metered};
use super::report::RunLine;
use super::{Budget, Reading, Workload, executor, profile};
use crate::error::{Error, Result};
use crate::executor::{Executor, Run, Values};
use crate::generate::{self, Batch, Options, Request};
use crate::host::Device;
use crate::ops::noise::philox;
use crate::plan::network::LanguageModel;
use crate::plan::{SectionId, Sizes};
use crate::score;

/// What is done with a workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Job {
    /// `steps` tokens drawn and fed back for each of `batch` sequences, from one token each.
    Generate,
    /// The log-probability of every next token of `batch` sequences of `steps` tokens, and their mean.
    Score,
}

impl Job {
    /// All of them.
    pub const ALL: [Job; 2] = [Job::Generate, Job::Score];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Job::Generate => "generate",
            Job::Score => "score",
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
    };
    let mut last = Count::default();
    let readings = settings.budget.repeat(|| {
        prepared.meter.take();
        let began = Instant::now();
        (prepared.run)()?;
        let wall_us = began.elapsed().as_secs_f64() * 1e6;
        last = prepared.meter.take();
        Ok(Reading { wall_us, host_us: last.host_us, device_us: last.device_us })
    })?;
    let Prepared { section, sizes, lm, runs_of_section, dispatches, sections, run, .. } = prepared;
    // Its memory goes before the profile takes its own.
    drop(run);
    let profile = if settings.profile { profile::measure(device, &lm, section, sizes, settings)? } else { Vec::new() };
    let (wall, steps) = (readings.wall.figure(), workload.steps as f64);
    let flops = profile::flops(&lm.plan, section, sizes) * runs_of_section as f64;
    Ok(RunLine {
        job: job.name().into(),
        workload: workload.name.clone(),
        batch: workload.batch,
        steps: workload.steps,
        wall,
        tokens_per_second: (workload.batch * workload.steps) as f64 / wall.median_us * 1e6,
        dispatches,
        submissions: last.submissions,
        host_us_per_step: matches!(device, Device::Gpu(_)).then(|| readings.host.median_us() / steps),
        device_us_per_step: readings.device.as_ref().map(|sample| sample.median_us() / steps),
        memory_bytes: lm.plan.memory(&sections, sizes).total(),
        flops,
        gflops: flops / wall.median_us / 1e3,
        share_of_matrix_rate: None,
        profile,
        doubt: readings.wall.doubt(),
    })
}

/// A job that can be run again and again, and what it is made of.
struct Prepared {
    run: Box<dyn FnMut() -> Result<()>>,
    meter: Meter,
    lm: LanguageModel,
    sections: Vec<SectionId>,
    /// The section that takes the time.
    section: SectionId,
    sizes: Sizes,
    /// Runs of it in a run of the job.
    runs_of_section: usize,
    dispatches: usize,
}

impl Prepared {
    fn generate(device: &Device, workload: &Workload, settings: &Settings) -> Result<Prepared> {
        let lm = generate::plan(workload.shape, 0);
        let (sizes, sections) = (Sizes { rows: workload.batch, time: 1 }, generate::sections(&lm));
        let (executor, meter) = metered(device, &lm, sizes, &sections, workload, settings)?;
        let dispatches = executor.dispatches(lm.step, sizes);
        let mut batch = Batch::new(lm.clone(), Box::new(executor));
        let requests = requests(workload);
        let (vocab, expected) = (workload.shape.vocab, workload.batch * workload.steps);
        let clock = Instant::now();
        let run = move || {
            batch.start(&requests)?;
            let mut tokens = 0;
            while !batch.is_done() {
                let events = batch.wait(&|| clock.elapsed().as_micros() as u64)?;
                tokens += events.iter().filter(|e| (e.token as usize) < vocab && e.log_prob.is_finite()).count();
            }
            right(tokens == expected, || format!("{tokens} tokens of the vocabulary came, not {expected}"))
        };
        let section = lm.step;
        let runs_of_section = workload.steps;
        Ok(Prepared { run: Box::new(run), meter, sections, section, sizes, runs_of_section, dispatches, lm })
    }

    fn score(device: &Device, workload: &Workload, settings: &Settings) -> Result<Prepared> {
        let lm = score::plan(workload.shape);
        let sizes = Sizes { rows: workload.batch, time: workload.steps };
        let sections = score::sections(&lm).to_vec();
        let (mut executor, meter) = metered(device, &lm, sizes, &sections, workload, settings)?;
        let dispatches = executor.dispatches(lm.score, sizes);
        let count = sizes.rows * sizes.time;
        let ids = ids(count + sizes.rows, workload.shape.vocab);
        let (input, targets, read) = (lm.input, lm.targets, lm.target_log_probs);
        let (section, mut step) = (lm.score, 0);
        let run = move || {
            executor.write(input, 0, Values::U32(&ids[..count]))?;
            executor.write(targets, 0, Values::U32(&ids[sizes.rows..]))?;
            let ticket = executor.submit(&[Run::new(section, sizes, step..step + 1)], &[read])?;
            step += 1;
            let results = executor.wait(ticket)?;
            let nats = -results[0].real().iter().map(|p| f64::from(*p)).sum::<f64>() / count as f64;
            right(nats.is_finite() && nats > 0.0, || format!("the mean of {count} tokens is {nats} nats"))
        };
        Ok(Prepared { run: Box::new(run), meter, sections, section, sizes, runs_of_section: 1, dispatches, lm })
    }
}

fn metered(
    device: &Device,
    lm: &LanguageModel,
    sizes: Sizes,
    sections: &[SectionId],
    workload: &Workload,
    settings: &Settings,
) -> Result<(Metered, Meter)> {
    let mut executor = executor(device, &lm.plan, sizes, sections, &settings.forced)?;
    workload.weights().load_into(&mut *executor)?;
    Ok(Metered::new(executor))
}

fn requests(workload: &Workload) -> Vec<Request> {
    let request = |(i, id): (usize, u32)| Request {
        prompt: vec![id],
        sequence: i as u64,
        seed: 1,
        options: Options { temperature: 1.0, ..Options::default() },
        max_tokens: workload.steps,
        stop: Vec::new(),
    };
    ids(workload.batch, workload.shape.vocab).into_iter().enumerate().map(request).collect()
}

/// Random token ids.
fn ids(count: usize, vocab: usize) -> Vec<u32> {
    (0..count as u32).map(|i| philox([i, 0, 0, 0], [5, 6])[0] % vocab as u32).collect()
}

fn right(holds: bool, what: impl FnOnce() -> String) -> Result<()> {
    if holds { Ok(()) } else { Err(Error::Device(format!("the results cannot be right: {}", what()))) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::network::{Cell, Shape};
    use std::sync::Arc;

    #[test]
    fn jobs_count_their_tokens_and_profiles_add_up() {
        let shape = Shape { cell: Cell::Gru, vocab: 31, embedding: 8, hidden: 24, layers: 2 };
        let workload = Workload { name: "w".into(), shape, batch: 3, steps: 7 };
        let device = Device::Cpu(Arc::new(crate::host::Threads::new(Some(1))));
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
