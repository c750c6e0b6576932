//! Small models that learn: the textbook's, with PyTorch's losses, and a symbol that is to be remembered for 30 steps.

use gatefold::unstable::model::initial_weights;
use gatefold::unstable::network::{Cell, Optimizer, Recipe, Shape, training};
use gatefold::unstable::ops::cross_entropy::IGNORED;
use gatefold::unstable::plan::philox;
use gatefold::unstable::train::{Engine, Window};
use libtest_mimic::{Failed, Trial};
use serde::Deserialize;

use crate::context::{DONE, Outcome, project, trial, trials_per_adapter};
use crate::ensure;
use crate::safetensor_file::On;

const ADAM: Optimizer =
    Optimizer::Adam { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.0, decoupled: false };

pub fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    let mut everywhere = |name: &str, run: fn(On) -> Outcome| {
        trials.push(trial(format!("{name} on the CPU"), move || run(On::Fast)));
        trials.extend(trials_per_adapter(name, move |adapter| run(On::Adapter(adapter))));
    };
    everywhere("learning: the textbook's model has PyTorch's losses", textbook);
    let floor = |adapter| textbook(On::Floor(adapter));
    everywhere("learning: an lstm remembers a symbol for 30 steps", |on| remembers(Cell::Lstm, on));
    everywhere("learning: a gru remembers a symbol for 30 steps", |on| remembers(Cell::Gru, on));
    trials.extend(trials_per_adapter("learning: the textbook's model at WebGPU's floor", floor));
    trials
}

fn engine(recipe: Recipe, on: On) -> Result<Engine, Failed> {
    let plan = training(recipe);
    let executor = on.executor(&plan.plan, Engine::sizes(&recipe), &Engine::sections(&plan));
    let mut engine = Engine::new(plan, executor)?;
    engine.restore(0, &initial_weights(&recipe.shape, recipe.seed))?;
    Ok(engine)
}

/// assets/reference/textbook.json, from the script beside it.
#[derive(Deserialize)]
struct Textbook {
    seed: u64,
    losses: Vec<f64>,
}

fn textbook(on: On) -> Outcome {
    let expected: Textbook = serde_json::from_slice(&std::fs::read(project("assets/reference/textbook.json"))?)?;
    let shape = Shape { cell: Cell::Lstm, vocab: 10_000, embedding: 128, hidden: 256, layers: 1 };
    let seed = expected.seed;
    let recipe =
        Recipe { shape, tied: false, rows: 1, time: 5, dropout: 0.0, seed, optimizer: ADAM, clip: None, pairs: None };
    let mut engine = engine(recipe, on)?;
    for epoch in 0..expected.losses.len() {
        let (input, targets) = ((1..6).collect(), (2..7).collect());
        engine.submit(&Window { time: 5, input, targets, starts: vec![epoch == 0], sources: None }, 1e-3)?;
    }
    for (outcome, expected) in engine.take()?.iter().zip(&expected.losses) {
        let apart = (f64::from(outcome.loss) / expected - 1.0).abs();
        ensure!(apart <= 1e-5, "loss of epoch {}: {} is {apart:.1e} from {expected}", outcome.step, outcome.loss);
    }
    DONE
}

const SYMBOLS: u32 = 4;
const BLANK: u32 = 4;
const ASK: u32 = 5;
const DELAY: usize = 30;
const ROWS: usize = 16;

fn remembers(cell: Cell, on: On) -> Outcome {
    let shape = Shape { cell, vocab: 6, embedding: 8, hidden: 32, layers: 1 };
    let time = DELAY + 1;
    let recipe = Recipe {
        shape,
        tied: false,
        rows: ROWS,
        time,
        dropout: 0.0,
        seed: 1,
        optimizer: ADAM,
        clip: Some(1.0),
        pairs: None,
    };
    let mut engine = engine(recipe, on)?;
    let mut weights = initial_weights(&shape, recipe.seed);
    if cell == Cell::Lstm {
        // Forget gates that begin open: through half closed ones a symbol fades within 30 steps.
        let bias = weights.get_mut("rnn.bias_ih_l0").expect("the layer's bias");
        bias[shape.hidden..2 * shape.hidden].fill(4.0);
    }
    engine.restore(0, &weights)?;
    let learning_rate = if cell == Cell::Lstm { 0.01 } else { 0.02 };
    // A symbol that is taken for another costs at least ln 2, so below this mean at most 1 % of them are.
    let most = 0.01 * std::f64::consts::LN_2;
    let mut last = f64::INFINITY;
    for round in 0..12 {
        for i in 0..64 {
            engine.submit(&to_remember(round * 64 + i, 1), learning_rate)?;
        }
        let (nats, symbols) = engine.evaluate(&mut (0..8).map(|i| Ok(to_remember(i, 2))))?;
        last = nats / symbols as f64;
        if last <= most {
            return DONE;
        }
    }
    Err(format!("after {} steps a symbol costs {last:.3} nats, over {most:.4}", engine.step()).into())
}

/// Rows of a symbol, blanks, and a question whose answer is the symbol.
fn to_remember(number: u32, stream: u32) -> Window {
    let time = DELAY + 1;
    let mut window = Window {
        time,
        input: vec![BLANK; time * ROWS],
        targets: vec![IGNORED; time * ROWS],
        starts: vec![true; ROWS],
        sources: None,
    };
    for m in 0..ROWS {
        let symbol = philox([number, m as u32, 0, 0], [stream, 17])[0] % SYMBOLS;
        window.input[m] = symbol;
        window.input[DELAY * ROWS + m] = ASK;
        window.targets[DELAY * ROWS + m] = symbol;
    }
    window
}
