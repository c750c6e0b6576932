//! A first training, with nothing typed but the text: it ends soon and writes words.

use std::collections::BTreeSet;

use gatefold::unstable::host::map;
use gatefold::unstable::train::{Checkpoint, Defaults, End, Extent};
use libtest_mimic::Trial;

use crate::command_line::{gatefold, text};
use crate::context::{DONE, Outcome, trial};
use crate::ensure;
use crate::model_folders::{Folder, json};

pub fn trials() -> Vec<Trial> {
    vec![
        trial("first training: a small text is learnt well enough to write its words", words),
        trial("first training: what is typed wins, and is not said to be chosen", typed),
    ]
}

const WORDS: [&str; 8] = ["the", "gate", "folds", "state", "and", "forgets", "what", "read"];

/// Words in an order that nobody can guess: ln(8) nats each, and the letters after the first cost nothing.
fn corpus() -> String {
    let word = |i: u64| WORDS[(i.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40) as usize % WORDS.len()];
    (0..500).map(|i| word(i).to_string() + if i % 9 == 8 { ".\n" } else { " " }).collect()
}

fn words() -> Outcome {
    let folder = Folder::new("first-training");
    let (corpus, model) = (corpus(), folder.join("model").display().to_string());
    let data = folder.write("words.txt", &corpus);
    let output = gatefold(&["train", "--data", &data, "--output", &model, "--device", "cpu"]);
    ensure!(output.status.success(), "{}", text(&output.stderr));
    let said = text(&output.stderr);
    let vocab = corpus.chars().collect::<BTreeSet<_>>().len();
    let choice = Defaults::of(Extent { tokens: corpus.len(), lines: None, vocab });
    let options = [
        format!("--hidden {} --layers {} --dropout {}", choice.hidden, choice.layers, choice.dropout),
        format!("--batch-size {} --sequence-length {}", choice.batch_size, choice.sequence_length),
        format!("--learning-rate {} --warmup {} --epochs {}", choice.learning_rate, choice.warmup, choice.epochs),
    ];
    let chosen = said.lines().find(|line| line.contains("chosen for")).ok_or("nothing was said to be chosen")?;
    ensure!(chosen.contains(&options.join(" ")), "{chosen}; expected {options:?}");

    // The run goes on with the options that were chosen.
    let last = folder.join("model/checkpoint/last.safetensors");
    let manifest = Checkpoint::read("last", &map(&last)?)?.manifest;
    ensure!(manifest.options.end == End::Epochs(choice.epochs), "{:?}", manifest.options.end);
    ensure!(manifest.options.batch_size == choice.batch_size as usize, "{}", manifest.options.batch_size);

    let best = manifest.progress.best.ok_or("no validation")?.loss;
    // ln(8) nats a word of 5.4 characters with its blank is 0.39.
    ensure!(best < 0.55, "{best} nats a character");
    let call = ["generate", "--model", &model, "-n", "1000", "--seed", "1", "--json", "--device", "cpu"];
    let written = json(&call)?["text"].as_str().ok_or("no text")?.to_string();
    let found: Vec<&str> = written.split([' ', '.', '\n']).filter(|word| !word.is_empty()).collect();
    let right = found[1..found.len() - 1].iter().filter(|word| WORDS.contains(word)).count();
    ensure!(found.len() > 100 && right * 100 >= 97 * (found.len() - 2), "{right} of {} words:\n{written}", found.len());
    DONE
}

fn typed() -> Outcome {
    let folder = Folder::new("first-typed");
    let (data, model) = (folder.write("words.txt", corpus()), folder.join("model").display().to_string());
    let begin = ["train", "--data", &data, "--output", &model, "--device", "cpu"];
    let typed = ["--hidden", "16", "--layers", "1", "--batch-size", "7", "--steps", "3", "--dropout", "0"];
    let output = gatefold(&[&begin[..], &typed].concat());
    let said = text(&output.stderr);
    ensure!(output.status.success(), "{said}");
    let chosen = said.lines().find(|line| line.contains("chosen for")).ok_or("nothing was said to be chosen")?;
    ensure!(chosen.contains("--sequence-length 64 --learning-rate"), "{chosen}");
    for option in ["--hidden", "--layers", "--batch-size", "--epochs", "--steps", "--dropout"] {
        ensure!(!chosen.contains(option), "{option} was typed: {chosen}");
    }
    ensure!(said.contains("lstm 1 x 16") && said.contains("3 steps of 7 rows"), "{said}");
    DONE
}
