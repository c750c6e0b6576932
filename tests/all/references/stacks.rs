//! Recurrent stacks over time against the references: each size alone at its extremes, then five mixtures.

use std::collections::BTreeMap;

use gatefold::unstable::executor::Values;
use gatefold::unstable::model::Weights;
use gatefold::unstable::network::{Cell, Nonlinearity, Stack, stack};
use gatefold::unstable::plan::{Role, Sizes, philox};
use libtest_mimic::Trial;

use crate::context::{DONE, Outcome, trial, trials_per_adapter};
use crate::safetensor_file::{On, States, check_close, run_window};

/// The sizes of a stack and of its run.
#[derive(Clone, Copy)]
struct Sized {
    name: &'static str,
    rows: usize,
    time: usize,
    inputs: usize,
    hidden: usize,
    layers: usize,
}

const fn sized(name: &'static str, rows: usize, time: usize, inputs: usize, hidden: usize, layers: usize) -> Sized {
    Sized { name, rows, time, inputs, hidden, layers }
}

const SIZES: [Sized; 13] = [
    sized("one of everything", 1, 1, 1, 1, 1),
    sized("hidden 1", 2, 5, 4, 1, 1),
    sized("hidden 3", 2, 5, 4, 3, 1),
    sized("hidden 65", 2, 5, 4, 65, 1),
    sized("hidden 1000", 2, 5, 4, 1000, 1),
    sized("time 1", 2, 1, 4, 20, 1),
    sized("time 2000", 2, 2000, 4, 20, 1),
    sized("batch 67", 67, 5, 4, 20, 1),
    sized("wide and odd: batch 67, hidden 65, two layers", 67, 7, 33, 65, 2),
    sized("long and thin: time 2000, hidden 3, three layers", 1, 2000, 5, 3, 3),
    sized("long and wide: time 300, batch 67, hidden 17", 67, 300, 1, 17, 1),
    sized("large: batch 5, hidden 1000, inputs 130", 5, 3, 130, 1000, 1),
    sized("narrowing: inputs 1000, hidden 30, two layers", 4, 11, 1000, 30, 2),
];

const CELLS: [Cell; 4] = [Cell::Lstm, Cell::Gru, Cell::Rnn(Nonlinearity::Tanh), Cell::Rnn(Nonlinearity::Relu)];

pub fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    for (cell, size) in CELLS.into_iter().flat_map(|c| SIZES.map(|s| (c, s))) {
        let name = format!("stack: {cell:?} {}", size.name);
        trials.push(trial(format!("{name} on the CPU"), move || agrees(cell, size, On::Fast)));
        trials.extend(trials_per_adapter(&name, move |adapter| agrees(cell, size, On::Adapter(adapter))));
    }
    trials
}

fn agrees(cell: Cell, size: Sized, on: On) -> Outcome {
    let stack = stack(cell, size.inputs, size.hidden, size.layers);
    let (expected_y, expected) = run(&stack, size, On::References)?;
    let (y, states) = run(&stack, size, on)?;
    check_close("y", &y, &expected_y, 1e-5)?;
    check_close("hn", &states.h, &expected.h, 1e-5)?;
    check_close("cn", &states.c, &expected.c, 1e-5)?;
    DONE
}

fn run(stack: &Stack, size: Sized, on: On) -> gatefold::Result<(Vec<f32>, States)> {
    let sizes = Sizes::of(size.rows, size.time);
    let mut executor = on.executor(&stack.plan, sizes, &[stack.forward]);
    let scale = 1.0 / (size.hidden as f32).sqrt();
    let weights = stack.plan.ids().filter(|id| stack.plan.tensor(*id).role == Role::Weight);
    let named: BTreeMap<String, Vec<f32>> = weights
        .map(|id| {
            let tensor = stack.plan.tensor(id);
            (tensor.name.clone(), uniform(id.index() as u32, tensor.len(sizes), scale))
        })
        .collect();
    Weights::from_tensors(named).load_into(&mut *executor)?;
    executor.write(stack.x, 0, Values::F32(&uniform(1000, size.time * size.rows * size.inputs, 1.5)))?;
    for (i, layer) in stack.layers.iter().enumerate() {
        let states = [Some(layer.h), layer.c].into_iter().flatten();
        for (state, id) in states.zip(2000 + 2 * i as u32..) {
            executor.write(state, 0, Values::F32(&uniform(id, size.rows * size.hidden, 1.0)))?;
        }
    }
    run_window(&mut *executor, stack.forward, &stack.layers, stack.y)
}

/// Numbers between -scale and scale.
fn uniform(stream: u32, len: usize, scale: f32) -> Vec<f32> {
    let blocks = (0..len.div_ceil(4) as u32).flat_map(|i| philox([i, stream, 0, 0], [3, 4]));
    blocks.take(len).map(|bits| (bits as f32 / 2_147_483_648.0 - 1.0) * scale).collect()
}
