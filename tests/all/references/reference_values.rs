//! Small language models: log-probabilities, states and greedy tokens are what PyTorch computed in float64.
//!
//! `assets/reference/make.py` made the models and numbers, and says what the files hold.

use gatefold::unstable::executor::Values;
use gatefold::unstable::generate::{self, Generator, Options, Request};
use gatefold::unstable::network::{Cell, Shape};
use gatefold::unstable::plan::Sizes;
use libtest_mimic::Trial;
use serde::Deserialize;

use crate::context::{DONE, Outcome, project};
use crate::ensure;
use crate::safetensor_file::{On, Recorded, check_close, run_window, trials_per_case};

/// How far log-probabilities may be: PyTorch itself in f32 is 2e-6 away, as the output weights were scaled up.
const LOG_PROB_TOLERANCE: f64 = 1e-5;
/// Tokens of a prompt that one submission reads: few, so that a prompt takes several.
const PREFILL_WINDOW: usize = 2;

#[derive(Clone, Deserialize)]
struct Case {
    cell: String,
    vocab: usize,
    embedding: usize,
    hidden: usize,
    layers: usize,
    /// [T, B].
    input: Vec<Vec<u32>>,
    prompts: Vec<Vec<u32>>,
    /// The most likely continuation of each prompt.
    greedy: Vec<Vec<u32>>,
}

impl Case {
    fn shape(&self) -> Result<Shape, String> {
        let Case { vocab, embedding, hidden, layers, .. } = *self;
        let cell = match self.cell.as_str() {
            "lstm" => Cell::Lstm,
            "gru" => Cell::Gru,
            other => return Err(format!("cell {other:?}")),
        };
        Ok(Shape { cell, vocab, embedding, hidden, layers })
    }
}

pub fn trials() -> Vec<Trial> {
    let file = project("assets/reference/models");
    let window = trials_per_case("PyTorch model, window", &file, |_| true, check_window);
    let greedy = trials_per_case("PyTorch model, greedy", &file, |_| true, check_greedy);
    window.into_iter().chain(greedy).collect()
}

/// Log-probabilities after every token of a window, and the states after the last, with and without the head.
fn check_window(recorded: &Recorded<Case>, on: On) -> Outcome {
    let shape = recorded.case.shape()?;
    let model = generate::plan(shape, 0);
    let input = &recorded.case.input;
    let sizes = Sizes::of(input[0].len(), input.len());
    let log_probs = log_softmax(recorded.tensor("out.logits")?, shape.vocab);
    for section in [model.logits, model.score] {
        let output = if section == model.logits { model.all_log_probs } else { model.layers[0].h };
        let mut executor = on.executor(&model.plan, sizes, &[section]);
        recorded.weights().load_into(&mut *executor)?;
        executor.write(model.input, 0, Values::U32(&input.concat()))?;
        let (output, states) = run_window(&mut *executor, section, &model.layers, output)?;
        if section == model.logits {
            check_close("log_probs", &output, &log_probs, LOG_PROB_TOLERANCE)?;
        }
        recorded.check_states(shape.cell.form().kind, &states, on.tolerance())?;
    }
    DONE
}

/// The most likely continuations of prompts of several lengths in one batch.
fn check_greedy(recorded: &Recorded<Case>, on: On) -> Outcome {
    let Case { prompts, greedy, .. } = &recorded.case;
    let model = generate::plan(recorded.case.shape()?, prompts.len());
    let sizes = Sizes::of(prompts.len(), PREFILL_WINDOW);
    let mut executor = on.executor(&model.plan, sizes, &generate::sections(&model));
    recorded.weights().load_into(&mut *executor)?;
    let mut generator = Generator::new(model, executor)?;
    let requests = prompts.iter().zip(greedy).enumerate().map(|(i, (prompt, tokens))| Request {
        prompt: prompt.as_slice().into(),
        sequence: i as u64,
        seed: 0,
        options: Options::at(0.0),
        max_tokens: tokens.len(),
        stop: Vec::new(),
        source: [].into(),
    });
    for request in requests {
        generator.submit(request)?;
    }
    let mut found = vec![Vec::new(); prompts.len()];
    let mut events = Vec::new();
    while !generator.is_idle() {
        generator.wait(&|| 0, &mut events)?;
    }
    events.iter().for_each(|event| found[event.id as usize].push(event.token));
    for (row, (found, expected)) in found.iter().zip(greedy).enumerate() {
        ensure!(found == expected, "row {row}: {found:?}, expected {expected:?}");
    }
    DONE
}

/// The logarithm of the softmax of each row of `width` logits.
fn log_softmax(logits: &[f32], width: usize) -> Vec<f64> {
    let of_row = |row: &[f32]| {
        let row: Vec<f64> = row.iter().map(|&x| x.into()).collect();
        let largest = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let log_sum = largest + row.iter().map(|x| (x - largest).exp()).sum::<f64>().ln();
        row.into_iter().map(move |x| x - log_sum)
    };
    logits.chunks(width).flat_map(of_row).collect()
}
