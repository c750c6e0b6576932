//! Models that people published, converted by the program from their own files.
//!
//! They are in `../shared/models` with logits and greedy ids that PyTorch computed; without them the trials are skipped.

use libtest_mimic::Trial;
use serde_json::Value;

use crate::command_line::{gatefold, text};
use crate::context::{DONE, Outcome, adapters, project, skipped, trial};
use crate::ensure;
use crate::model_folders::Folder;

const FOLDER: &str = "../shared/models";

#[derive(Clone, Copy)]
struct Published {
    name: &'static str,
    source: &'static str,
    vocab: &'static str,
    reference: &'static str,
    /// How far logits may be from the recorded ones.
    tolerance: &'static str,
    /// Tokens of the reference's prompt that the model puts there by itself.
    begins_with: usize,
}

const MODELS: [Published; 3] = [
    Published {
        name: "chempleter, a GRU in PyTorch's .pt",
        source: "chempleter/model.pt",
        vocab: "chempleter/stoi.json",
        reference: "chempleter/chempleter.ref",
        tolerance: "1e-4",
        begins_with: 1,
    },
    Published {
        name: "Shakespeare, LSTMs of TensorFlow.js",
        source: "ml5-charrnn/shakespeare",
        vocab: "ml5-charrnn/shakespeare.vocab.json",
        reference: "ml5-charrnn/shakespeare.ref",
        tolerance: "1e-4",
        begins_with: 0,
    },
    Published {
        name: "Bolaño, LSTMs of TensorFlow.js",
        source: "ml5-charrnn/bolano",
        vocab: "ml5-charrnn/bolano/vocab.json",
        reference: "ml5-charrnn/bolano.ref",
        tolerance: "1e-3",
        begins_with: 0,
    },
];

pub fn trials() -> Vec<Trial> {
    if !project(FOLDER).exists() {
        return vec![trial("imported model: published models", || skipped(FOLDER))];
    }
    let mut trials = Vec::new();
    for model in MODELS {
        for device in std::iter::once("cpu".to_string()).chain((0..adapters().len()).map(|i| i.to_string())) {
            let on = if device == "cpu" { "the CPU".into() } else { adapters()[device.parse::<usize>().unwrap_or(0)].info.name.clone() };
            trials.push(trial(format!("imported model: {} on {on}", model.name), move || published(model, &device)));
        }
    }
    trials
}

fn published(model: Published, device: &str) -> Outcome {
    let path = |file: &str| project(FOLDER).join(file).display().to_string();
    let folder = Folder::new(&format!("imported-{}-{device}", model.name.len()));
    let to = folder.join("model").display().to_string();
    let (source, vocab) = (path(model.source), path(model.vocab));
    let reference = path(&format!("{}.safetensors", model.reference));
    let call = ["convert", &source, &to, "--vocab", &vocab, "--verify", &reference, "--tolerance", model.tolerance];
    let output = gatefold(&[&call[..], &["--device", device]].concat());
    let said = text(&output.stdout);
    ensure!(output.status.success(), "{said}{}", text(&output.stderr));
    ensure!(said.matches("verified").count() == 2, "{said}");
    if let Some(file) = std::env::var_os("GATEFOLD_ERRORS") {
        use std::io::Write;
        let lines = said.lines().filter(|line| line.contains("verified"));
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(file)?;
        lines.for_each(|line| drop(writeln!(file, "model\t{}\t{device}\t{line}", model.name)));
    }

    let json: Value = serde_json::from_slice(&std::fs::read(path(&format!("{}.json", model.reference)))?)?;
    let ids = |field: &str| -> Vec<u64> {
        json[field].as_array().map(|ids| ids.iter().filter_map(Value::as_u64).collect()).unwrap_or_default()
    };
    let vocabulary = gatefold::import::Vocabulary::read("vocabulary", &std::fs::read(&vocab)?)?.tokenizer;
    let prime: Vec<u32> = ids("prime_ids")[model.begins_with..].iter().map(|id| *id as u32).collect();
    let prompt = vocabulary.decode(&prime)?;
    let greedy = ids("greedy_ids");
    let count = greedy.len().to_string();
    let call = ["generate", "-m", &to, "-p", &prompt, "-n", &count, "--temperature", "0", "--json", "--device", device];
    let output = gatefold(&call);
    ensure!(output.status.success(), "{}", text(&output.stderr));
    let generated: Value = serde_json::from_slice(&output.stdout)?;
    let found: Vec<u64> = generated["tokens"].as_array().map(|t| t.iter().filter_map(Value::as_u64).collect()).unwrap_or_default();
    ensure!(found == greedy, "greedy ids {found:?}, expected {greedy:?}");
    DONE
}
