//! Keras's layers: outputs that Keras 2 gave, from its own weights, converted and run.
//!
//! The cases are index.json and keras_js.safetensors in `../shared/vectors/keras`; without them the trials are skipped.
//! Tensors are `input` [T, K] of one row, `kernel`, `recurrent_kernel`, `bias` and `expected`, all outputs or the last.

use gatefold::unstable::executor::{Run, Values};
use gatefold::unstable::import::keras::{KerasCell, activation};
use gatefold::unstable::model::Weights;
use gatefold::unstable::network::{Kind, general_stack};
use gatefold::unstable::plan::Sizes;
use libtest_mimic::Trial;
use serde::Deserialize;

use crate::context::{DONE, Outcome, project, skipped, trial};
use crate::safetensor_file::{On, Recorded, check_close, note_error, trials_of_files};

const GROUP: &str = "Keras layer";
const FOLDER: &str = "../shared/vectors/keras";
/// The recorded numbers have six decimals.
const TOLERANCE: f64 = 2e-5;

#[derive(Clone, Deserialize)]
struct Case {
    units: String,
    activation: String,
    recurrent_activation: Option<String>,
    return_sequences: bool,
    go_backwards: bool,
    /// The recorded call is the second one, with the state that the first one left.
    stateful: bool,
}

pub fn trials() -> Vec<Trial> {
    let folder = project(FOLDER);
    if !folder.exists() {
        return vec![trial(format!("{GROUP}: cases"), || skipped(FOLDER))];
    }
    trials_of_files(GROUP, &folder.join("index.json"), &folder.join("keras_js.safetensors"), |_| true, check)
}

fn check(recorded: &Recorded<Case>, on: On) -> Outcome {
    let case: &Case = &recorded.case;
    let kind = match recorded.name.split('.').next() {
        Some("LSTM") => Kind::Lstm,
        Some("GRU") => Kind::Gru,
        Some("SimpleRNN") => Kind::Rnn,
        other => return Err(format!("no such layer: {other:?}").into()),
    };
    let units: usize = case.units.parse()?;
    let columns = kind.gates() * units;
    let cell = KerasCell {
        kind,
        activation: activation(&case.activation, false)?,
        recurrent_activation: activation(case.recurrent_activation.as_deref().unwrap_or("sigmoid"), false)?,
        reset_after: None,
    };
    let (kernel, recurrent) = (recorded.tensor("kernel")?, recorded.tensor("recurrent_kernel")?);
    let inputs = kernel.len() / columns;
    let bias = recorded.tensor("bias").ok();
    let shapes = ([inputs, columns], [units, columns], [columns]);
    let bias = bias.map(|bias| (bias, &shapes.2[..]));
    let layer = cell.layer(&recorded.name, (kernel, &shapes.0), (recurrent, &shapes.1), bias)?;

    let mut x: Vec<Vec<f32>> = recorded.tensor("input")?.chunks(inputs).map(<[f32]>::to_vec).collect();
    if case.go_backwards {
        x.reverse();
    }
    let sizes = Sizes::of(1, x.len());
    let stack = general_stack(layer.form, inputs, units, 1, false);
    let mut executor = on.executor(&stack.plan, sizes, &[stack.forward]);
    Weights::from_tensors(layer.named(0).into_iter().collect()).load_into(&mut *executor)?;
    executor.write(stack.x, 0, Values::F32(&x.concat()))?;
    let calls = if case.stateful { 2 } else { 1 };
    let ticket = executor.submit(&[Run::new(stack.forward, sizes, 0..calls)], &[stack.y])?;
    let results = executor.wait(ticket)?;
    let y = results[0].real();
    let y = if case.return_sequences { y } else { &y[(sizes.time - 1) * units..] };
    note_error(GROUP, &recorded.name, on, check_close("y", y, recorded.tensor("expected")?, TOLERANCE)?);
    DONE
}
