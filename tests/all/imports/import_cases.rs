//! Files that went wrong once, of `../shared/cases`: each gives the recorded logits, or an error that says why not.
//!
//! Without the folder the trials are skipped; those of Keras need Python with h5py, NumPy and safetensors, too.

use std::path::{Path, PathBuf};
use std::process::Command;

use libtest_mimic::Trial;

use crate::command_line::{gatefold, text};
use crate::context::{DONE, Outcome, project, skipped, trial};
use crate::ensure;
use crate::model_folders::Folder;

const FOLDER: &str = "../shared/cases";

/// The expected result.
#[derive(Clone, Copy)]
enum Expected {
    /// The logits of this recording.
    Logits(&'static str),
    /// An error with this in it.
    Refused(&'static str),
    /// A model, and this said of it.
    Said(&'static str),
}
use Expected::{Logits, Refused, Said};

/// Case, file in it, options, and what is to come out.
type Case = (&'static str, &'static str, &'static [&'static str], Expected);

const CASES: [Case; 27] = [
    ("03-module-order", "model.pt", &[], Logits("expected.safetensors")),
    ("05-seq2seq-shared", "model.pt", &[], Refused("an encoder-decoder: `encoder`")),
    ("06-loss-weight-as-bias", "model.ckpt", &[], Refused("left over: criterion.weight [11]")),
    ("08-scalar-dropped", "learned-scalar.pt", &[], Refused("left over: logit_scale []")),
    ("10-numbers-with-bias", "numbers.pt", &[], Logits("numbers.expected.safetensors")),
    ("11-weight-norm-head", "weight-norm-head.pt", &[], Logits("weight-norm-head.expected.safetensors")),
    ("13-fastai-raw", "fastai.pt", &[], Logits("fastai.expected.safetensors")),
    ("15-keras-shared-layer", "shared.keras", &[], Refused("it is called 2 times")),
    ("15-keras-shared-layer", "shared.h5", &[], Refused("it is called 2 times")),
    ("17-keras-activation-object", "dense-relu-object.keras", &[], Refused("activation is a layer of its own, ReLU")),
    ("17-keras-activation-object", "dense-relu-object.h5", &[], Refused("activation is a layer of its own, ReLU")),
    ("19-keras-lora-h5", "lora.h5", &[], Refused("dense/lora_kernel_a [8, 2]")),
    ("21-keras-subclass", "subclass.keras", &[], Refused("a subclassed model")),
    ("22-onnx-ids-shifted", "shift.legacy.onnx", &[], Refused("it changes ids")),
    ("22-onnx-ids-shifted", "shift.dynamo.onnx", &[], Refused("it changes ids")),
    ("24-onnx-view-for-transpose", "view-for-transpose.onnx", &[], Refused("so texts would mix")),
    ("27-onnx-external-data", "default.onnx", &[], Logits("lstm.expected.safetensors")),
    ("28-onnx-last-step", "last.legacy.onnx", &[], Logits("last.expected.safetensors")),
    ("28-onnx-last-step", "last.dynamo.onnx", &[], Logits("last.expected.safetensors")),
    ("30-onnx-constant-folding", "half-weights-cast.onnx", &[], Logits("half-weights-cast.expected.safetensors")),
    ("30-onnx-constant-folding", "weights-by-nodes.onnx", &[], Logits("weights-by-nodes.expected.safetensors")),
    ("33-pt-objects-beside-weights", "argparse.pt", &[], Logits("expected.safetensors")),
    ("33-pt-objects-beside-weights", "path_and_set.pt", &[], Logits("expected.safetensors")),
    ("36-pt-tied-three-times", "tied3.pt", &[], Logits("tied3.expected.safetensors")),
    ("38-onehot-pt", "onehot.pt", &[], Logits("onehot.expected.safetensors")),
    ("newcomer", "k_gru_soft.keras", &[], Logits("k_gru_soft.rec.safetensors")),
    ("newcomer", "onehot_pytorch.pt", &[], Said("nothing was verified")),
];

const MORE: [Case; 9] = [
    ("40-vocab-from-1", "model.pt", &["--vocab", "keras-word-index-from-1.json"], Said("list of tokens, 8, pad 0")),
    ("40-vocab-from-1", "model.pt", &["--vocab", "nested.json"], Logits("expected.safetensors")),
    ("40-vocab-from-1", "model.pt", &["--vocab", "sos.json"], Said("bos 0, pad 7, eos 1")),
    ("newcomer", "pt_dyn.onnx", &[], Said("nothing was verified")),
    (
        "published/padded-next-word",
        "model.h5",
        &["--vocab", "word_index.json"],
        Said("texts here are not padded, and begin with states of zeros"),
    ),
    ("published/safetensors-0x80", "header-0x280.safetensors", &[], Said("nothing was verified")),
    ("published/safetensors-0x80", "header-0x380.safetensors", &[], Said("nothing was verified")),
    ("published/spro-shakespeare", "shakespeare.pt", &[], Logits("rec.safetensors")),
    (
        "published/tfjs-alice",
        "AiW-20.json",
        &["--vocab", "vocab.json", "--tolerance", "2e-4"],
        Logits("rec.safetensors"),
    ),
];

pub fn trials() -> Vec<Trial> {
    if !project(FOLDER).exists() {
        return vec![trial("import case: all", || skipped(FOLDER))];
    }
    let of = |case: Case| {
        let (folder, file, options, _) = case;
        let with = options.get(1).map_or(String::new(), |option| format!(" with {option}"));
        trial(format!("import case: {folder}, {file}{with}"), move || check(case))
    };
    let mut trials: Vec<Trial> = CASES.into_iter().chain(MORE).map(of).collect();
    trials.push(trial("import case: 01-vocab-list-text, tokens stay as they are", vocabulary_list));
    trials
}

/// A file that convert reads: Keras's own files go through the script first. `Err` is what the script said.
fn exported(source: &Path, to: &Folder) -> Result<Option<Result<PathBuf, String>>, Box<dyn std::error::Error>> {
    if !source.extension().is_some_and(|e| e == "keras" || e == "h5") {
        return Ok(Some(Ok(source.to_path_buf())));
    }
    let python = std::env::var("GATEFOLD_PYTHON").unwrap_or_else(|_| "python3".into());
    let has = Command::new(&python).args(["-c", "import h5py, numpy, safetensors"]).output();
    if !has.is_ok_and(|output| output.status.success()) {
        return Ok(None);
    }
    let target = to.join("exported.safetensors");
    let output = Command::new(python).arg(project("assets/keras_export.py")).arg(source).arg(&target).output()?;
    let said = text(&output.stderr);
    ensure!(!said.contains("Traceback"), "{said}");
    Ok(Some(if output.status.success() { Ok(target) } else { Err(said) }))
}

fn check((case, file, options, expected): Case) -> Outcome {
    let path = |name: &str| project(FOLDER).join(case).join(name);
    let folder = Folder::new(&format!("case-{}-{file}-{}", case.replace('/', "-"), options.len()));
    let to = folder.join("model").display().to_string();
    let source = match exported(&path(file), &folder)? {
        None => return skipped("h5py"),
        Some(Ok(source)) => source.display().to_string(),
        Some(Err(said)) => match expected {
            Refused(part) if said.contains(part) => return DONE,
            _ => return Err(said.into()),
        },
    };
    let mut call = vec!["convert".to_string(), source, to.clone(), "--device".into(), "cpu".into()];
    for option in options {
        let is_file = path(option).is_file();
        call.push(if is_file { path(option).display().to_string() } else { option.to_string() });
    }
    if let Logits(recording) = expected {
        call.extend(["--verify".into(), path(recording).display().to_string()]);
    }
    let output = gatefold(&call.iter().map(String::as_str).collect::<Vec<_>>());
    let said = text(&output.stdout) + &text(&output.stderr);
    match expected {
        Logits(_) => {
            ensure!(output.status.success() && said.contains("verified    "), "{said}");
        }
        Said(part) => {
            ensure!(output.status.success() && said.contains(part), "expected `{part}` in {said}");
        }
        Refused(part) => {
            ensure!(output.status.code() == Some(1) && said.contains(part), "expected `{part}` in {said}");
            ensure!(!Path::new(&to).exists(), "a model was written");
        }
    }
    DONE
}

/// Newlines, quotes, tabs and combining marks of a plain list: the lines have the log-probabilities that PyTorch gave.
fn vocabulary_list() -> Outcome {
    let path = |name: &str| project(FOLDER).join("01-vocab-list-text").join(name).display().to_string();
    let folder = Folder::new("case-vocabulary-list");
    let to = folder.join("model").display().to_string();
    let output = gatefold(&["convert", &path("text.pt"), &to, "--vocab", &path("text.list.json"), "--device", "cpu"]);
    ensure!(output.status.success(), "{}", text(&output.stderr));
    let list: Vec<String> = serde_json::from_slice(&std::fs::read(path("text.list.json"))?)?;
    let written: serde_json::Value = serde_json::from_slice(&std::fs::read(format!("{to}/tokenizer.json"))?)?;
    ensure!(written["model"]["vocab"] == serde_json::json!(list), "{written}");
    DONE
}
