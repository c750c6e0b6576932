//! PyTorch's cells: a stack over time gives the outputs and final states that `torch.nn.LSTM` and `torch.nn.GRU`
//! gave in float64, from the same inputs, initial states and weights.
//!
//! The vectors are cells.json and cells.safetensors in the folder that `GATEFOLD_VECTORS` names, else in
//! `../shared/vectors/pytorch`; without either the trials are skipped. Tensors are batch first: `x` [B, S, K], `h0` and
//! `c0` [L, B, H], `param.weight_ih_l0` and so on, `out.y` [B, S, H], `out.hn`, `out.cn`. Cases that networks here
//! cannot have (two directions, no bias, projections, ragged rows) are left out.

use std::path::PathBuf;

use gatefold::executor::{Executor, Values};
use gatefold::plan::Sizes;
use gatefold::plan::network::{Cell, Layer, stack};
use libtest_mimic::Trial;
use serde::Deserialize;

use crate::context::{DONE, Outcome, project, skipped, trial};
use crate::safetensor_file::{On, Recorded, check_close, run_window, trials_per_case};

const GROUP: &str = "PyTorch cell";
const FOLDER: &str = "../shared/vectors/pytorch";

#[derive(Clone, Deserialize)]
struct Case {
    cell: String,
    #[serde(rename = "B")]
    rows: usize,
    #[serde(rename = "S")]
    time: usize,
    n_in: usize,
    #[serde(rename = "H")]
    hidden: usize,
    #[serde(rename = "L")]
    layers: usize,
    bidirectional: bool,
    bias: bool,
    proj_size: usize,
    /// Whether the initial states are given; else they are zero.
    state: bool,
    lengths: Option<Vec<usize>>,
}

impl Case {
    fn cell(&self) -> Option<Cell> {
        match self.cell.as_str() {
            "LSTM" => Some(Cell::Lstm),
            "GRU" => Some(Cell::Gru),
            _ => None,
        }
    }

    fn is_supported(&self) -> bool {
        let plain = !self.bidirectional && self.bias && self.proj_size == 0 && self.lengths.is_none();
        plain && self.cell().is_some()
    }
}

pub fn trials() -> Vec<Trial> {
    let folder = std::env::var_os("GATEFOLD_VECTORS").map(PathBuf::from);
    match folder.or_else(|| Some(project(FOLDER)).filter(|folder| folder.exists())) {
        Some(folder) => trials_per_case(GROUP, &folder.join("cells"), Case::is_supported, check),
        None => vec![trial(format!("{GROUP}: cases"), || skipped(FOLDER))],
    }
}

fn check(recorded: &Recorded<Case>, on: On) -> Outcome {
    let Case { rows, time, n_in, hidden, layers, .. } = recorded.case;
    let cell = recorded.case.cell().expect("only supported cases are checked");
    let stack = stack(cell, n_in, hidden, layers);
    let mut executor = on.executor(&stack.plan, Sizes { rows, time }, &[stack.forward]);
    recorded.weights().load_into(&mut *executor)?;
    let x = swap_axes(recorded.tensor("x")?, [rows, time, n_in]);
    executor.write(stack.x, 0, Values::F32(&x))?;
    write_initial_states(recorded, &stack.layers, &mut *executor)?;

    let (slots, states) = run_window(&mut *executor, stack.forward, &stack.layers, stack.y)?;
    // y is every state but the first.
    let y = swap_axes(&slots[rows * hidden..], [time, rows, hidden]);
    check_close("y", &y, recorded.tensor("out.y")?, on.tolerance())?;
    recorded.check_states(cell, &states, on.tolerance())?;
    DONE
}

/// Writes h0 to the first slot of each layer's h, and c0.
fn write_initial_states(
    recorded: &Recorded<Case>,
    layers: &[Layer],
    executor: &mut dyn Executor,
) -> Result<(), libtest_mimic::Failed> {
    if !recorded.case.state {
        return Ok(());
    }
    let of_layer = recorded.case.rows * recorded.case.hidden;
    for (layer, h0) in layers.iter().zip(recorded.tensor("h0")?.chunks(of_layer)) {
        executor.write(layer.h, 0, Values::F32(h0))?;
    }
    for (i, c) in layers.iter().enumerate().filter_map(|(i, layer)| Some((i, layer.c?))) {
        executor.write(c, 0, Values::F32(&recorded.tensor("c0")?[i * of_layer..][..of_layer]))?;
    }
    Ok(())
}

/// [A, B, K] as [B, A, K].
fn swap_axes(values: &[f32], [a, b, k]: [usize; 3]) -> Vec<f32> {
    (0..a * b).flat_map(|i| &values[(i % a * b + i / a) * k..][..k]).copied().collect()
}
