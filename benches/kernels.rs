//! `cargo bench`: decode steps of a few models, with every variant of the kernels that differ by shape.
//!
//! Each line is the median wall time of a step over submissions of many steps, after a warm-up; `host` is the time
//! that encoding and submitting took of it. GATEFOLD_DEVICE chooses the device as `--device` does. The last argument,
//! if any, filters lines.

use std::time::Instant;

use gatefold::cpu::{CpuExecutor, Functions};
use gatefold::executor::{Executor, Run, Values};
use gatefold::gpu::{GpuExecutor, GpuOptions};
use gatefold::host::Device;
use gatefold::model::{Weights, weight_shapes};
use gatefold::ops::rows::Row;
use gatefold::ops::{self, noise::philox};
use gatefold::plan::Sizes;
use gatefold::plan::network::{Cell, LanguageModel, Shape};

/// (name, shape, rows)
const MODELS: &[(&str, Shape, usize)] = &[
    ("seed", Shape { cell: Cell::Lstm, vocab: 10_000, embedding: 128, hidden: 256, layers: 1 }, 32),
    ("char", Shape { cell: Cell::Lstm, vocab: 256, embedding: 128, hidden: 512, layers: 2 }, 64),
    ("chargru", Shape { cell: Cell::Gru, vocab: 256, embedding: 128, hidden: 512, layers: 2 }, 64),
    ("single", Shape { cell: Cell::Lstm, vocab: 256, embedding: 128, hidden: 512, layers: 2 }, 1),
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let choice = std::env::var("GATEFOLD_DEVICE").unwrap_or_default().parse()?;
    let filter = std::env::args().skip(1).find(|a| !a.starts_with('-')).unwrap_or_default();
    let device = Device::choose(&choice, None)?;
    println!("{}", device.name());
    println!("{:<8} {:>4}  {:<42} {:>10} {:>9} {:>10}", "model", "rows", "kernels", "step_us", "host_us", "tokens/s");
    for (name, shape, rows) in MODELS.iter().filter(|(name, ..)| name.contains(&filter)) {
        let lm = gatefold::generate::plan(*shape, 0);
        let weights = random_weights(shape);
        for (label, mut executor) in executors(&device, &lm, *rows)? {
            weights.load_into(&mut *executor)?;
            let (step_us, host_us) = time_steps(&mut *executor, &lm, *rows)?;
            let rate = *rows as f64 / step_us * 1e6;
            println!("{name:<8} {rows:>4}  {label:<42} {step_us:>10.1} {host_us:>9.2} {rate:>10.0}");
        }
    }
    Ok(())
}

type Labelled = (String, Box<dyn Executor>);

/// The device's own choice, then each combination of a step kernel and a matrix kernel.
fn executors(device: &Device, lm: &LanguageModel, rows: usize) -> Result<Vec<Labelled>, Box<dyn std::error::Error>> {
    let sizes = Sizes { rows, time: 1 };
    let sections = [lm.step];
    let gpu = match device {
        Device::Cpu(pool) => {
            let executor = CpuExecutor::new(lm.plan.clone(), sizes, &sections, Functions::Fast, pool.clone());
            return Ok(vec![("fast".into(), Box::new(executor))]);
        }
        Device::Gpu(gpu) => gpu,
    };
    let step_op = if lm.shape.cell == Cell::Lstm { "lstm_decode" } else { "gru_decode" };
    let mut executors: Vec<Labelled> = Vec::new();
    let default = GpuExecutor::new(gpu.clone(), lm.plan.clone(), sizes, &sections, &GpuOptions::default())?;
    executors.push(("(default)".into(), Box::new(default)));
    for step in ops::find(step_op).expect("in the table").variants {
        for matmul in ops::find("matmul").expect("in the table").variants {
            let forced = [(step_op.into(), step.name.into()), ("matmul".into(), matmul.name.into())].into();
            let options = GpuOptions { forced, ..Default::default() };
            let executor = GpuExecutor::new(gpu.clone(), lm.plan.clone(), sizes, &sections, &options)?;
            executors.push((format!("{} {}", step.name, matmul.name), Box::new(executor)));
        }
    }
    Ok(executors)
}

/// Medians of a step's wall time and of the host's share, in microseconds.
fn time_steps(executor: &mut dyn Executor, lm: &LanguageModel, rows: usize) -> gatefold::Result<(f64, f64)> {
    let row = |m: usize| Row {
        active: 1,
        position: 1,
        sequence: [m as u32, 0],
        inverse_temperature: 1.0,
        end_position: u32::MAX,
        ..Row::IDLE
    };
    let table: Vec<u32> = (0..rows).flat_map(|m| row(m).to_words()).collect();
    executor.write(lm.table, 0, Values::U32(&table))?;
    let mut step = 0;
    let mut submission = |steps: u32| -> gatefold::Result<(f64, f64)> {
        let started = Instant::now();
        let run = Run::new(lm.step, Sizes { rows, time: 1 }, step..step + steps);
        let ticket = executor.submit(&[run], &[lm.ids])?;
        let submitted = started.elapsed();
        executor.wait(ticket)?;
        step += steps;
        Ok((started.elapsed().as_secs_f64() * 1e6 / f64::from(steps), submitted.as_secs_f64() * 1e6 / f64::from(steps)))
    };
    // Submissions of about 100 ms, at most 64 steps; the first ones compile and warm up.
    submission(1)?;
    let (one_us, _) = submission(2)?;
    let steps = (100_000.0 / one_us).clamp(1.0, 64.0) as u32;
    let mut times = (0..7).map(|_| submission(steps)).collect::<gatefold::Result<Vec<_>>>()?;
    let mut median = |of: fn(&(f64, f64)) -> f64| {
        times.sort_by(|a, b| of(a).total_cmp(&of(b)));
        of(&times[times.len() / 2])
    };
    Ok((median(|t| t.0), median(|t| t.1)))
}

fn random_weights(shape: &Shape) -> Weights {
    let tensor = |(i, (name, dims)): (usize, (String, Vec<usize>))| {
        let len: usize = dims.iter().product();
        let scale = 1.0 / (*dims.last().expect("a shape") as f32).sqrt();
        let words = (0..len.div_ceil(4) as u32).flat_map(|j| philox([j, i as u32, 0, 0], [3, 4]));
        (name, words.take(len).map(|bits| (bits as f32 / 2_147_483_648.0 - 1.0) * scale).collect())
    };
    Weights::from_tensors(weight_shapes(shape).into_iter().enumerate().map(tensor).collect())
}
