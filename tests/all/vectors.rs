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
pub const FOLDER: &str = "../shared/vectors/pytorch";

#[derive(Clone, Deserialize)]
pub struct Case {
    cell: String,
    #[serde(rename = "B")]
    pub rows: usize,
    #[serde(rename = "S")]
    pub time: usize,
    pub n_in: usize,
    #[serde(rename = "H")]
    pub hidden: usize,
    #[serde(rename = "L")]
    pub layers: usize,
    bidirectional: bool,
    bias: bool,
    proj_size: usize,
    /// Whether the initial states are given; else they are zero.
    pub state: bool,
    lengths: Option<Vec<usize>>,
}

impl Case {
    pub fn cell(&self) -> Option<Cell> {
        match self.cell.as_str() {
            "LSTM" => Some(Cell::Lstm),
            "GRU" => Some(Cell::Gru),
            _ => None,
        }
    }

    pub fn is_plain(&self) -> bool {
        let plain = !self.bidirectional && self.bias && self.proj_size == 0 && self.lengths.is_none();
        plain && self.cell().is_some()
    }
}

/// The vectors' folder, if there is one.
pub fn folder() -> Option<PathBuf> {
    let folder = std::env::var_os("GATEFOLD_VECTORS").map(PathBuf::from);
    folder.or_else(|| Some(project(FOLDER)).filter(|folder| folder.exists()))
}

pub fn trials() -> Vec<Trial> {
    match folder() {
        Some(folder) => trials_per_case(GROUP, &folder.join("cells"), Case::is_plain, check),
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
pub fn write_initial_states(
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
pub fn swap_axes(values: &[f32], [a, b, k]: [usize; 3]) -> Vec<f32> {
    (0..a * b).flat_map(|i| &values[(i % a * b + i / a) * k..][..k]).copied().collect()
}
