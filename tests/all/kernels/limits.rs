//! Vocabularies and models that no single binding holds.

use gatefold::unstable::cpu::Functions;
use gatefold::unstable::executor::{Executor, Run, Values};
use gatefold::unstable::host::Device;
use gatefold::unstable::model::{Weights, weight_shapes};
use gatefold::unstable::network::{Cell, LanguageModel, Shape};
use gatefold::unstable::plan::{Sizes, philox};
use libtest_mimic::Trial;

use crate::context::{DONE, Opened, Outcome, cpu_executor, gpu, gpu_executor, trials_per_adapter};
use crate::ensure;
use crate::safetensor_file::check_close;

pub fn trials() -> Vec<Trial> {
    let mut trials = trials_per_adapter("limits: everything is cut at 1 MiB, LSTM", |adapter| {
        let shape = Shape { cell: Cell::Lstm, vocab: 3000, embedding: 130, hidden: 200, layers: 2 };
        agrees(adapter, Opened::OneMiB, shape, Sizes::of(5, 9), true)
    });
    trials.extend(trials_per_adapter("limits: everything is cut at 1 MiB, GRU", |adapter| {
        let shape = Shape { cell: Cell::Gru, vocab: 3000, embedding: 130, hidden: 200, layers: 2 };
        agrees(adapter, Opened::OneMiB, shape, Sizes::of(5, 9), true)
    }));
    trials.extend(trials_per_adapter("limits: 50,257 x 1,024 at the adapter's own limit", |adapter| {
        let shape = Shape { cell: Cell::Gru, vocab: 50_257, embedding: 1024, hidden: 1024, layers: 1 };
        agrees(adapter, Opened::Fully, shape, Sizes::of(2, 1), false)
    }));
    trials.extend(trials_per_adapter(
        "limits: more than the device's memory is an error, and the device goes on",
        no_memory,
    ));
    trials.extend(trials_per_adapter("limits: what cannot be cut is an error with the numbers", too_large));
    trials
}

/// Random weights of a model, small enough that the gates do not saturate.
fn random_weights(shape: &Shape) -> Weights {
    let tensor = |(i, (name, dims)): (usize, (String, Vec<usize>))| {
        let width = *dims.last().expect("a shape") as f32;
        let scale = if name.contains("embedding") { 1.0 } else { 1.7 / width.sqrt() };
        let len: usize = dims.iter().product();
        let blocks = (0..len.div_ceil(4) as u32).flat_map(|j| philox([j, i as u32, 0, 0], [1, 2]));
        let values = blocks.take(len).map(|bits| (bits as f32 / 2_147_483_648.0 - 1.0) * scale);
        (name, values.collect())
    };
    Weights::from_tensors(weight_shapes(shape).into_iter().enumerate().map(tensor).collect())
}

/// Log-probabilities of a window and a step's tokens are those of the CPU; the step is cut if `many_parts`.
fn agrees(adapter: usize, opened: Opened, shape: Shape, sizes: Sizes, many_parts: bool) -> Outcome {
    let lm = gatefold::unstable::generate::plan(shape, 0);
    let weights = random_weights(&shape);
    let sections = [lm.logits, lm.decoding.step];
    let mut device = gpu_executor(&gpu(adapter, opened), &lm.plan, sizes, &sections);
    let count = device.dispatches(lm.decoding.step, sizes);
    ensure!(!many_parts || count > shape.layers + 2, "nothing was cut: {count} dispatches");
    let mut cpu = cpu_executor(&lm.plan, sizes, &sections, Functions::Fast, 2);
    let found = window_and_step(&mut *device, &lm, &weights, sizes)?;
    let expected = window_and_step(&mut *cpu, &lm, &weights, sizes)?;
    check_close("log-probabilities", &found.0, &expected.0, 2e-5)?;
    ensure!(found.1 == expected.1, "tokens {:?}, expected {:?}", found.1, expected.1);
    DONE
}

/// All log-probabilities of a window, then the tokens of four greedy steps after it.
fn window_and_step(
    executor: &mut dyn Executor,
    lm: &LanguageModel,
    weights: &Weights,
    sizes: Sizes,
) -> Result<(Vec<f32>, Vec<u32>), String> {
    use gatefold::unstable::ops::rows::Row;
    weights.load_into(executor).map_err(|e| e.to_string())?;
    let vocab = lm.shape.vocab as u32;
    let input: Vec<u32> = (0..sizes.rows * sizes.time).map(|i| (i as u32).wrapping_mul(40_503) % vocab).collect();
    let row = Row { running: 1, position: 1, end_position: 100, ..Row::IDLE };
    let table: Vec<u32> = (0..sizes.rows).flat_map(|_| row.to_words()).collect();
    let tokens: Vec<u32> = (0..sizes.rows as u32).map(|m| vocab - 1 - m).collect();
    let mut run = || {
        executor.write(lm.input, 0, Values::U32(&input))?;
        executor.write(lm.decoding.rows.table, 0, Values::U32(&table))?;
        executor.write(lm.decoding.rows.tokens, 0, Values::U32(&tokens))?;
        let runs = [Run::new(lm.logits, sizes, 0..1), Run::new(lm.decoding.step, sizes, 1..5)];
        let ticket = executor.submit(&runs, &[lm.all_log_probs, lm.decoding.rows.ids])?;
        executor.wait(ticket)
    };
    let results = run().map_err(|e: gatefold::Error| e.to_string())?;
    let ids = results[1].word()[sizes.rows..5 * sizes.rows].to_vec();
    Ok((results[0].real().to_vec(), ids))
}

/// States of very many rows exceed a binding of 1 MiB, and states are not cut.
fn too_large(adapter: usize) -> Outcome {
    use gatefold::unstable::gpu::{GpuExecutor, GpuOptions};
    let shape = Shape { cell: Cell::Lstm, vocab: 50, embedding: 8, hidden: 1000, layers: 1 };
    let lm = gatefold::unstable::generate::plan(shape, 0);
    let sizes = Sizes::of(1000, 1);
    let made = GpuExecutor::new(
        gpu(adapter, Opened::OneMiB),
        lm.plan.clone(),
        sizes,
        &[lm.decoding.step],
        &GpuOptions::default(),
    );
    let error = made.err().ok_or("accepted")?.to_string();
    ensure!(
        error.contains("tensor `c_l0` needs a binding of 4000000 bytes") || error.contains("tensor `h_l0`"),
        "{error}"
    );
    ensure!(error.contains("1048576"), "{error}");
    DONE
}

/// A model of 1 TiB: refused before any of it is written, by the driver or by what the system has. Afterwards the device
/// computes as before.
fn no_memory(adapter: usize) -> Outcome {
    let device = gpu(adapter, Opened::Fully);
    let shape = Shape { cell: Cell::Gru, vocab: 1 << 25, embedding: 4096, hidden: 4096, layers: 1 };
    let lm = gatefold::unstable::generate::plan(shape, 0);
    let sizes = Sizes::of(1, 1);
    let made = Device::Gpu(device.clone()).executor(&lm.plan, sizes, &[lm.decoding.step]);
    let message = made.err().ok_or("1 TiB was granted")?.to_string();
    let driver = message.contains(&device.info.name) && message.contains("out of device memory");
    ensure!(driver || message.contains("this machine has"), "{message}");
    ensure!(message.contains("fewer rows"), "{message}");
    let shape = Shape { cell: Cell::Gru, vocab: 31, embedding: 12, hidden: 20, layers: 1 };
    agrees(adapter, Opened::Fully, shape, Sizes::of(2, 3), false)
}
