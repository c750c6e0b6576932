//! Whole training runs against PyTorch's: the losses and gradient norms of 40 steps, and the weights after them.
//!
//! training.json holds losses and norms of each run, `train_CELL_init.safetensors` the weights before, and
//! `train_CELL_OPTIMISER_final.safetensors` those after it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use gatefold::unstable::network::{Cell, Optimizer, Recipe, Shape, training};
use gatefold::unstable::train::{Engine, Snapshot, Window};
use libtest_mimic::{Failed, Trial};
use serde::Deserialize;

use crate::context::{DONE, Outcome, project, skipped, trial, trials_per_adapter};
use crate::ensure;
use crate::safetensor_file::{On, floats};
use crate::vectors::{FOLDER, folder};

const TEXT: &str = "../shared/corpora/tinyshakespeare.txt";
const STEPS: usize = 40;
const ROWS: usize = 8;
const TIME: usize = 32;
const OPTIMISERS: [&str; 4] = ["sgd", "sgd_momentum", "adam", "adamw"];

#[derive(Deserialize)]
struct Run {
    loss: Vec<f64>,
    grad_norm_before_clip: Vec<f64>,
}

pub fn trials() -> Vec<Trial> {
    let Some(folder) = folder().filter(|_| project(TEXT).exists()) else {
        return vec![trial("training runs of PyTorch", || skipped(FOLDER))];
    };
    let mut trials = Vec::new();
    for (cell, optimiser) in [Cell::Lstm, Cell::Gru].into_iter().flat_map(|c| OPTIMISERS.map(|o| (c, o))) {
        let name = format!("training run of PyTorch: {} {optimiser}", cell.name());
        let of = folder.clone();
        trials.push(trial(format!("{name} on the CPU"), move || check(&of, cell, optimiser, On::Fast)));
        let of = folder.clone();
        trials.extend(trials_per_adapter(&name, move |adapter| check(&of, cell, optimiser, On::Adapter(adapter))));
    }
    trials
}

fn check(folder: &Path, cell: Cell, optimiser: &str, on: On) -> Outcome {
    let key = format!("{}_{optimiser}", cell.name().to_uppercase());
    let mut runs: BTreeMap<String, serde_json::Value> = serde_json::from_slice(&read(&folder.join("training.json"))?)?;
    let run: Run = serde_json::from_value(runs.remove(&key).ok_or_else(|| format!("no run {key}"))?)?;
    let shape = Shape { cell, vocab: 65, embedding: 24, hidden: 48, layers: 2 };
    let (optimizer, learning_rate) = settings(optimiser);
    let recipe = Recipe {
        shape,
        tied: false,
        rows: ROWS,
        time: TIME,
        dropout: 0.0,
        seed: 0,
        optimizer,
        clip: Some(0.5),
        pairs: None,
    };
    let plan = training(recipe);
    let executor = on.executor(&plan.plan, Engine::sizes(&recipe), &Engine::sections(&plan));
    let mut engine = Engine::new(plan, executor)?;
    engine.restore(0, &weights(&folder.join(format!("train_{}_init.safetensors", cell.name())))?)?;

    let ids = ids()?;
    for step in 0..STEPS {
        engine.submit(&window(&ids, step), learning_rate)?;
    }
    let outcomes = engine.take()?;
    ensure!(outcomes.len() == STEPS, "{} outcomes", outcomes.len());
    for (outcome, (loss, norm)) in outcomes.iter().zip(run.loss.iter().zip(&run.grad_norm_before_clip)) {
        let (loss_apart, norm_apart) =
            ((f64::from(outcome.loss) / loss - 1.0).abs(), (f64::from(outcome.gradient_norm) / norm - 1.0).abs());
        ensure!(loss_apart <= 1e-5, "loss of step {}: {} is {loss_apart:.1e} from {loss}", outcome.step, outcome.loss);
        ensure!(norm_apart <= 5e-5, "norm of step {}: {norm_apart:.1e} from {norm}", outcome.step);
    }
    let found = engine.snapshot()?;
    for (name, expected) in weights(&folder.join(format!("train_{}_{optimiser}_final.safetensors", cell.name())))? {
        let apart = found[&name].iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        ensure!(apart <= 1e-4, "{name} is {apart:e} from PyTorch's");
    }
    DONE
}

fn settings(optimiser: &str) -> (Optimizer, f32) {
    let adam =
        |weight_decay, decoupled| Optimizer::Adam { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay, decoupled };
    match optimiser {
        "sgd" => (Optimizer::Sgd { momentum: 0.0, weight_decay: 0.0 }, 1.0),
        "sgd_momentum" => (Optimizer::Sgd { momentum: 0.9, weight_decay: 0.0 }, 0.2),
        "adam" => (adam(0.0, false), 3e-3),
        _ => (adam(0.1, true), 3e-3),
    }
}

/// The first 40,000 characters, as places in the sorted characters of the whole text.
fn ids() -> Result<Vec<u32>, Failed> {
    let text = String::from_utf8(read(&project(TEXT))?)?;
    let mut characters: Vec<char> = text.chars().collect();
    let first: Vec<char> = characters[..40_000].to_vec();
    characters.sort_unstable();
    characters.dedup();
    Ok(first.iter().map(|c| characters.binary_search(c).expect("it is there") as u32).collect())
}

/// The window of a step: each row is a stretch of the text, and goes on where it was.
fn window(ids: &[u32], step: usize) -> Window {
    let stretch = (ids.len() - 1) / ROWS;
    let at = |t: usize, m: usize| m * stretch + step * TIME + t;
    let of = |shift: usize| (0..TIME * ROWS).map(|i| ids[at(i / ROWS, i % ROWS) + shift]).collect();
    Window { time: TIME, input: of(0), targets: of(1), starts: vec![step == 0; ROWS], sources: None }
}

/// Weights under this project's names.
fn weights(file: &Path) -> Result<Snapshot, Failed> {
    let named = floats(file)?.into_iter();
    let named = named.map(|(name, w)| (name.replace("encoder.", "embedding.").replace("decoder.", "output."), w));
    Ok(named.collect())
}

fn read(path: &Path) -> Result<Vec<u8>, Failed> {
    std::fs::read(PathBuf::from(path)).map_err(|e| format!("{}: {e}", path.display()).into())
}
