//! ONNX's recurrent nodes: the ONNX project's own node tests, read from their files, converted and run.
//!
//! The cases are folders in `../shared/vectors/onnx/node`, each with a model.onnx whose one node takes its weights as
//! inputs, and the inputs and outputs as tensor files. Without the folder the trials are skipped.

use std::path::{Path, PathBuf};

use gatefold::unstable::executor::Values;
use gatefold::unstable::import::onnx::{self, Node};
use gatefold::unstable::import::{Tensor, cell::Recurrent};
use gatefold::unstable::model::{Bytes, Weights};
use gatefold::unstable::network::general_stack;
use gatefold::unstable::plan::Sizes;
use libtest_mimic::Trial;

use crate::context::{DONE, Outcome, project, skipped, trial};
use crate::ensure;
use crate::safetensor_file::{On, check_close, note_error, run_window, trials_on_all};

const GROUP: &str = "ONNX node";
const FOLDER: &str = "../shared/vectors/onnx/node";

pub fn trials() -> Vec<Trial> {
    let folder = project(FOLDER);
    let Ok(entries) = std::fs::read_dir(&folder) else {
        return vec![trial(format!("{GROUP}: cases"), || skipped(FOLDER))];
    };
    let mut cases: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    cases.sort();
    let of_case = |case: PathBuf| {
        let name = case.file_name().unwrap_or_default().to_string_lossy().into_owned();
        trials_on_all(&format!("{GROUP}: {name}"), move |on| check(&case, &name, on))
    };
    let mut trials: Vec<Trial> = cases.into_iter().flat_map(of_case).collect();
    trials.push(trial(format!("{GROUP}: what no cell here has is named"), refused));
    trials
}

fn bytes(path: &Path) -> Result<Bytes, String> {
    std::fs::read(path).map(Bytes::new).map_err(|e| format!("{}: {e}", path.display()))
}

/// From the number of a node's input to its tensor.
type Inputs = Box<dyn Fn(usize) -> Result<Option<Tensor>, String>>;

/// No file stands beside these models.
fn alone(name: &str) -> Result<Bytes, gatefold::Error> {
    Err(gatefold::Error::model("", name))
}

/// A case's node and its inputs.
fn node_of(case: &Path) -> Result<(Node, Inputs), String> {
    let graph = onnx::read(&bytes(&case.join("model.onnx"))?, &alone)?;
    let [node] = &graph.nodes[..] else { return Err(format!("{} nodes", graph.nodes.len())) };
    let (node, names, folder) = (
        node.clone(),
        graph.inputs.iter().map(|input| input.name.clone()).collect::<Vec<String>>(),
        case.join("test_data_set_0"),
    );
    let inputs = node.inputs.clone();
    let tensor: Inputs = Box::new(move |i: usize| {
        let Some(name) = inputs.get(i).filter(|name| !name.is_empty()) else { return Ok(None) };
        let place = names.iter().position(|n| n == name).ok_or("an input that is none")?;
        onnx::tensor_file(&bytes(&folder.join(format!("input_{place}.pb")))?).map(Some)
    });
    Ok((node, tensor))
}

fn check(case: &Path, name: &str, on: On) -> Outcome {
    let (node, input) = node_of(case)?;
    let layer = onnx::recurrent(&node, &*input)?;
    let x = input(0)?.ok_or("no X")?;
    let batch_first = node.attributes.get("layout").is_some_and(|a| a.int == 1);
    let [time, rows] = if batch_first { [x.shape[1], x.shape[0]] } else { [x.shape[0], x.shape[1]] };
    let Recurrent { form, inputs, hidden, .. } = layer;
    let lengths = input(4)?;
    let stack = general_stack(form, inputs, hidden, 1, lengths.is_some());
    let sizes = Sizes::of(rows, time);
    let mut executor = on.executor(&stack.plan, sizes, &[stack.forward]);
    Weights::from_tensors(layer.named(0).into_iter().collect()).load_into(&mut *executor)?;
    // In every case that has the batch first, time is 1: both orders are the same numbers.
    ensure!(!batch_first || time == 1, "{time} steps");
    executor.write(stack.x, 0, Values::F32(&x.values()?))?;
    if let Some(lengths) = lengths {
        let lengths: Vec<u32> = lengths.values()?.iter().map(|n| *n as u32).collect();
        // A length that is no smaller than the window ends nothing.
        executor.write(stack.lengths, 0, Values::U32(&lengths))?;
    }
    if let Some(h0) = input(5)? {
        executor.write(stack.layers[0].h, 0, Values::F32(&h0.values()?))?;
    }
    if let (Some(c0), Some(c)) = (input(6)?, stack.layers[0].c) {
        executor.write(c, 0, Values::F32(&c0.values()?))?;
    }
    let (y, states) = run_window(&mut *executor, stack.forward, &stack.layers, stack.y)?;
    let graph = onnx::read(&bytes(&case.join("model.onnx"))?, &alone)?;
    let mut worst = 0.0f64;
    for (i, output) in graph.outputs.iter().enumerate() {
        let expected = onnx::tensor_file(&bytes(&case.join(format!("test_data_set_0/output_{i}.pb")))?)?.values()?;
        let found = match node.outputs.iter().position(|o| o == output) {
            Some(0) => &y,
            Some(1) => &states.h,
            other => return Err(format!("output {output} is number {other:?}").into()),
        };
        worst = worst.max(check_close(output, found, &expected, on.tolerance())?);
    }
    note_error(GROUP, name, on, worst);
    DONE
}

fn refused() -> Outcome {
    let case = project(FOLDER).join("test_lstm_defaults");
    let attribute = |name: &str, change: fn(&mut onnx::Attribute)| {
        let (mut node, input) = node_of(&case)?;
        change(node.attributes.entry(name.into()).or_default());
        match onnx::recurrent(&node, &*input) {
            Ok(_) => Err(format!("{name} was taken")),
            Err(message) => Ok(message),
        }
    };
    for (message, expected) in [
        (attribute("clip", |a| a.float = 3.0)?, "clip"),
        (attribute("input_forget", |a| a.int = 1)?, "input_forget"),
        (attribute("activations", |a| a.texts = ["Sigmoid", "Softsign", "Tanh"].map(Into::into).into())?, "Softsign"),
        (attribute("direction", |a| a.text = "bidirectional".into())?, "do not fit"),
    ] {
        ensure!(message.contains(expected), "{message}");
    }
    DONE
}
