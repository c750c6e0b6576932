//! PyTorch's cells: a stack over time gives the outputs and final states that `torch.nn.LSTM`, `torch.nn.GRU` and
//! `torch.nn.RNN` gave in float64, from the same inputs, initial states, lengths and weights.
//!
//! The vectors are cells.json and cells.safetensors in the folder that `GATEFOLD_VECTORS` names, else in
//! `../shared/vectors/pytorch`; without either the trials are skipped. Tensors are batch first: `x` [B, S, K], `h0` and
//! `c0` [D L, B, H], `param.weight_ih_l0` and so on, `out.y` [B, S, D H], `out.hn`, `out.cn`.
//! Plain cells run twice: as the stack that models have, and as a stack of forms.

use std::path::PathBuf;

use gatefold::unstable::executor::{Executor, Values};
use gatefold::unstable::network::{Cell, GeneralCell, Kind, Layer, general_stack, stack};
use gatefold::unstable::plan::Sizes;
use libtest_mimic::Trial;
use serde::Deserialize;

use crate::context::{DONE, Outcome, project, skipped, trial};
use crate::safetensor_file::{On, Recorded, check_close, note_error, run_window, trials_per_case};

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
    pub lengths: Option<Vec<usize>>,
}

impl Case {
    fn form(&self) -> Result<GeneralCell, String> {
        let kind = match self.cell.as_str() {
            "LSTM" => Kind::Lstm,
            "GRU" => Kind::Gru,
            "RNN" => Kind::Rnn,
            other => return Err(format!("no such cell: {other}")),
        };
        let projection = Some(self.proj_size).filter(|p| *p > 0);
        Ok(GeneralCell { projection, bidirectional: self.bidirectional, ..GeneralCell::plain(kind) })
    }

    /// The plain cell, where it is one and rows have one length.
    pub fn cell(&self) -> Option<Cell> {
        let cell = self.form().ok()?.into_cell();
        (!matches!(cell, Cell::General(_)) && self.lengths.is_none()).then_some(cell)
    }

    /// The cell of a stack that can be trained, where there is one: its layers have biases, in one direction or two, and
    /// rows of any length.
    pub fn trained_cell(&self) -> Option<Cell> {
        let one_way = GeneralCell { bidirectional: false, ..self.form().ok()? };
        Some(one_way.into_cell()).filter(|cell| self.bias && cell.fused().is_some())
    }

    pub fn directions(&self) -> usize {
        if self.bidirectional { 2 } else { 1 }
    }
}

/// The vectors' folder, if there is one.
pub fn folder() -> Option<PathBuf> {
    let folder = std::env::var_os("GATEFOLD_VECTORS").map(PathBuf::from);
    folder.or_else(|| Some(project(FOLDER)).filter(|folder| folder.exists()))
}

pub fn trials() -> Vec<Trial> {
    match folder() {
        Some(folder) => trials_per_case(GROUP, &folder.join("cells"), |_| true, check),
        None => vec![trial(format!("{GROUP}: cases"), || skipped(FOLDER))],
    }
}

fn check(recorded: &Recorded<Case>, on: On) -> Outcome {
    if let Some(cell) = recorded.case.cell() {
        check_plain(recorded, cell, on)?;
    }
    let Case { rows, time, n_in, hidden, layers, .. } = recorded.case;
    let form = recorded.case.form()?;
    let stack = general_stack(form, n_in, hidden, layers, recorded.case.lengths.is_some());
    let mut executor = on.executor(&stack.plan, Sizes::of(rows, time), &[stack.forward]);
    recorded.weights_or_zeros(&stack.plan).load_into(&mut *executor)?;
    let x = swap_axes(recorded.tensor("x")?, [rows, time, n_in]);
    executor.write(stack.x, 0, Values::F32(&x))?;
    if let Some(lengths) = &recorded.case.lengths {
        let lengths: Vec<u32> = lengths.iter().map(|n| *n as u32).collect();
        executor.write(stack.lengths, 0, Values::U32(&lengths))?;
    }
    write_initial_states(recorded, &stack.layers, &mut *executor)?;
    let (y, states) = run_window(&mut *executor, stack.forward, &stack.layers, stack.y)?;
    let y = swap_axes(&y, [time, rows, form.outputs(hidden)]);
    let worst = [
        check_close("y", &y, recorded.tensor("out.y")?, on.tolerance())?,
        recorded.check_states(form.kind, &states, on.tolerance())?,
    ];
    note_error(GROUP, &recorded.name, on, worst.into_iter().fold(0.0, f64::max));
    DONE
}

fn check_plain(recorded: &Recorded<Case>, cell: Cell, on: On) -> Result<(), libtest_mimic::Failed> {
    let Case { rows, time, n_in, hidden, layers, .. } = recorded.case;
    let stack = stack(cell, n_in, hidden, layers);
    let mut executor = on.executor(&stack.plan, Sizes::of(rows, time), &[stack.forward]);
    recorded.weights_or_zeros(&stack.plan).load_into(&mut *executor)?;
    let x = swap_axes(recorded.tensor("x")?, [rows, time, n_in]);
    executor.write(stack.x, 0, Values::F32(&x))?;
    write_initial_states(recorded, &stack.layers, &mut *executor)?;

    let (slots, states) = run_window(&mut *executor, stack.forward, &stack.layers, stack.y)?;
    // y is every state but the first.
    let y = swap_axes(&slots[rows * hidden..], [time, rows, hidden]);
    check_close("y", &y, recorded.tensor("out.y")?, on.tolerance())?;
    recorded.check_states(cell.form().kind, &states, on.tolerance())?;
    Ok(())
}

/// Writes h0 to the first slot of each layer's h, and c0.
pub fn write_initial_states(
    recorded: &Recorded<Case>,
    layers: &[Layer],
    executor: &mut dyn Executor,
) -> Result<(), libtest_mimic::Failed> {
    let Case { rows, hidden, proj_size, state, .. } = recorded.case;
    if !state {
        return Ok(());
    }
    let of_layer = rows * if proj_size > 0 { proj_size } else { hidden };
    for (layer, h0) in layers.iter().zip(recorded.tensor("h0")?.chunks(of_layer)) {
        executor.write(layer.h, 0, Values::F32(h0))?;
    }
    for (i, c) in layers.iter().enumerate().filter_map(|(i, layer)| Some((i, layer.c?))) {
        executor.write(c, 0, Values::F32(&recorded.tensor("c0")?[i * rows * hidden..][..rows * hidden]))?;
    }
    Ok(())
}

/// [A, B, K] as [B, A, K].
pub fn swap_axes(values: &[f32], [a, b, k]: [usize; 3]) -> Vec<f32> {
    (0..a * b).flat_map(|i| &values[(i % a * b + i / a) * k..][..k]).copied().collect()
}
