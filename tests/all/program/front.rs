//! The front door of the library: what it gives is the command line's, bit for bit.

use std::path::Path;

use gatefold::training::{Cell, End, Line, Method, Schedule, TrainingOptions, Unknown};
use gatefold::{Device, Error, FinishReason, Model, Options, Score, Training};
use libtest_mimic::Trial;
use serde_json::Value;

use crate::command_line::{gatefold, text};
use crate::context::{DONE, Outcome, trial, trials_per_adapter};
use crate::ensure;
use crate::model_folders::{Folder, json};

pub fn trials() -> Vec<Trial> {
    let mut trials = vec![
        trial("front: texts are the command line's on the CPU", || texts("cpu")),
        trial("front: scores are the command line's on the CPU", || scores("cpu")),
        trial("front: training is the command line's on the CPU", || training("cpu", 40)),
        trial("front: a stream goes on while its model or server does other things, or is gone", streams),
        trial("front: lines are trained as on the command line", lines),
        trial("front: a model of a temporary folder stays whole, and the folder goes", temporary),
        trial("front: what is wrong is an error by its own name", wrong),
    ];
    trials.extend(trials_per_adapter("front: texts are the command line's", |i| texts(&i.to_string())));
    trials.extend(trials_per_adapter("front: scores are the command line's", |i| scores(&i.to_string())));
    trials.extend(trials_per_adapter("front: training is the command line's", |i| training(&i.to_string(), 6)));
    trials
}

/// A text with structure, of some thousand characters.
fn corpus() -> String {
    let words = ["the", "gate", "folds", "a", "state", "and", "forgets", "what", "it", "read"];
    let word = |i: u64| words[(i.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40) as usize % words.len()];
    (0..600).map(|i| word(i).to_string() + if i % 11 == 10 { ".\n" } else { " " }).collect()
}

/// Standard output of a call that must succeed.
fn output(call: &[&str]) -> Result<String, String> {
    let output = gatefold(call);
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(format!("{call:?}: {}", text(&output.stderr))) }
}

/// JSON objects, one a line.
fn objects(call: &[&str]) -> Result<Vec<Value>, String> {
    output(call)?.lines().map(|line| serde_json::from_str(line).map_err(|e| format!("{e}: {line}"))).collect()
}

fn texts(device: &str) -> Outcome {
    let on = Device::find(device)?;
    let plain = Options { seed: 7, max_tokens: Some(60), ..Options::default() };
    let filtered = Options { top_k: Some(9), repetition_penalty: Some(1.2), temperature: Some(0.9), ..plain.clone() };
    let stopped = Options { stop: vec!["e".into(), "\n".into()], ..plain.clone() };
    let filters = ["--top-k", "9", "--repetition-penalty", "1.2", "--temperature", "0.9"];
    let stops = ["--stop", "e", "--stop", "\n"];
    let model = Model::open("builtin:shakespeare", &on)?;
    for (options, more) in [(&plain, &[][..]), (&filtered, &filters), (&stopped, &stops)] {
        let call = ["generate", "ROMEO:", "--json", "--seed", "7", "-n", "60", "--device", device];
        let expected = json(&[&call[..], more].concat())?;
        let generated = model.generate("ROMEO:", options)?;
        ensure!(expected["text"] == *generated, "{more:?}: {generated:?} for {expected}");
        let pieces = model.stream("ROMEO:", options)?.collect::<Result<Vec<String>, Error>>()?;
        ensure!(pieces.concat() == generated, "{more:?}: {pieces:?} for {generated:?}");
        let whole = model.stream("ROMEO:", options)?.finish()?;
        ensure!(expected["tokens"] == serde_json::json!(whole.tokens), "{:?} for {expected}", whole.tokens);
        ensure!(expected["finish_reason"] == whole.finish.word(), "{:?} for {expected}", whole.finish);
        ensure!(expected["log_probability"] == whole.log_probability(), "{} for {expected}", whole.log_probability());
    }
    ensure!(model.stream("ROMEO:", &stopped)?.finish()?.finish == FinishReason::Stop, "no stop text was found");

    // Many side by side: those of the command line, and each as it is alone.
    let call = ["generate", "-m", "builtin:molecules", "--count", "9", "--seed", "3", "--format", "jsonl"];
    let expected = objects(&[&call[..], &["--device", device]].concat())?;
    let model = Model::open("builtin:molecules", &on)?;
    let options = Options { seed: 3, ..Options::default() };
    let sampled = model.sample(9, &options)?;
    ensure!(sampled.len() == 9 && expected.len() == 9, "{} and {}", sampled.len(), expected.len());
    for (i, (mine, line)) in sampled.iter().zip(&expected).enumerate() {
        ensure!(line["text"] == *mine.text, "{i}: {:?} for {line}", mine.text);
        let alone = model.stream("", &Options { sequence: i as u64, ..options.clone() })?.finish()?;
        ensure!(alone == *mine, "{i}: alone it is {alone:?}");
    }
    DONE
}

/// The numbers of `score --json`.
fn same_score(mine: &Score, expected: &Value) -> Result<(), String> {
    let numbers = [
        ("tokens", mine.log_probs.len() as f64),
        ("bytes", mine.bytes as f64),
        ("nats_per_token", mine.nats_per_token()),
        ("perplexity", mine.perplexity()),
        ("bits_per_byte", mine.bits_per_byte()),
    ];
    match numbers.iter().find(|(name, mine)| expected[name].as_f64() != Some(*mine)) {
        Some((name, mine)) => Err(format!("{name} {mine} for {expected}")),
        None => Ok(()),
    }
}

fn streams() -> Outcome {
    let model = Model::open("builtin:shakespeare", &Device::cpu(Some(1))?)?;
    // Long enough to be under way still.
    let options = Options { seed: 7, max_tokens: Some(3000), ..Options::default() };
    let whole = model.stream("ROMEO:", &options)?.finish()?;
    let begun = model.stream("ROMEO:", &options)?;
    model.sample(3, &Options { max_tokens: Some(5), ..Options::default() })?;
    let server = model.serve(4)?;
    let served = server.stream("ROMEO:", &options)?;
    drop((server, model));
    ensure!(begun.finish()? == whole && served.finish()? == whole, "another text");
    DONE
}

fn scores(device: &str) -> Outcome {
    let folder = Folder::new(&format!("front-scores-{device}"));
    let on = Device::find(device)?;
    let long = "To be, or not to be, that is the question:\n".repeat(9);
    let model = Model::open("builtin:shakespeare", &on)?;
    for written in [&long, "ab"] {
        let file = folder.write("text.txt", written);
        same_score(&model.score(written)?, &json(&["score", &file, "--json", "--device", device])?)?;
    }
    for (name, texts) in [
        ("builtin:molecules", vec!["CCO", "c1ccccc1", "CC(=O)Oc1ccccc1C(=O)O", "N"]),
        ("builtin:shakespeare", vec!["Speak, speak.", "Before we proceed", "no"]),
    ] {
        let file = folder.write("lines.txt", texts.join("\n"));
        let expected = objects(&["score", &file, "-m", name, "--lines", "--each", "--device", device])?;
        let model = Model::open(name, &on)?;
        let scores = model.score_each(&texts)?;
        ensure!(scores.len() == expected.len(), "{} and {}", scores.len(), expected.len());
        for (mine, line) in scores.iter().zip(&expected) {
            ensure!(line["log_probability"] == mine.log_probability(), "{} for {line}", mine.log_probability());
            ensure!(line["tokens"] == mine.log_probs.len(), "{} for {line}", mine.log_probs.len());
        }
    }
    DONE
}

/// The sizes of a tiny model, as typed.
const TINY: [&str; 12] = [
    "--hidden",
    "20",
    "--embedding",
    "8",
    "--layers",
    "2",
    "--batch-size",
    "4",
    "--sequence-length",
    "12",
    "--dropout",
    "0.25",
];

/// The same for the front door.
fn tiny(end: End) -> TrainingOptions {
    TrainingOptions {
        hidden: Some(20),
        embedding: Some(8),
        layers: Some(2),
        batch_size: Some(4),
        sequence_length: Some(12),
        dropout: Some(0.25),
        end: Some(end),
        ..TrainingOptions::default()
    }
}

/// The files of a model, byte for byte.
fn same_model(mine: &Path, expected: &Path) -> Result<(), String> {
    for name in ["model.safetensors", "config.json", "generation_config.json", "tokenizer.json"] {
        let read = |folder: &Path| std::fs::read(folder.join(name)).map_err(|e| format!("{name}: {e}"));
        if read(mine)? != read(expected)? {
            return Err(format!("{name}: other bytes than the command line's"));
        }
    }
    Ok(())
}

/// The log of a run, but for its speeds.
fn log_of(folder: &Path) -> Result<Vec<Line>, String> {
    let log = std::fs::read(folder.join("log.jsonl")).map_err(|e| e.to_string())?;
    Ok(log.split(|byte| *byte == b'\n').filter_map(Line::read).map(without_speed).collect())
}

fn without_speed(line: Line) -> Line {
    Line { tokens_per_second: 0.0, ..line }
}

fn training(device: &str, steps: u32) -> Outcome {
    let folder = Folder::new(&format!("front-training-{device}"));
    let (data, text) = (folder.write("data.txt", corpus()), corpus());
    let typed = folder.join("typed").display().to_string();
    let (of_steps, half) = (steps.to_string(), (steps / 2).to_string());
    let call = ["train", "--data", &data, "--output", &typed, "--device", device, "--steps", &of_steps];
    let others: &[&[&str]] = &[
        &["--valid-every", &half, "--log-every", "3", "--seed", "5"],
        &["--cell", "gru", "--seed", "5", "--optimizer", "adamw", "--weight-decay", "0.01", "--schedule", "constant"],
    ];
    let asked = TrainingOptions { seed: 5, ..tiny(End::Steps(steps)) };
    let mine = [
        TrainingOptions { valid_every: Some(steps / 2), log_every: 3, ..asked.clone() },
        TrainingOptions {
            cell: Cell::Gru,
            optimizer: Method::Adamw,
            weight_decay: 0.01,
            schedule: Schedule::Constant,
            ..asked
        },
    ];
    let on = Device::find(device)?;
    for (more, options) in others.iter().zip(mine) {
        output(&[&call[..], &TINY, more, &["--overwrite"]].concat())?;
        let own = folder.join("own");
        let mut lines = Vec::new();
        let training = Training::on_file(&data).with(options.clone()).over_folder(&own);
        training.on_line(|line| lines.push(without_speed(line.clone()))).run(&on)?;
        same_model(&own, &folder.join("typed")).map_err(|e| format!("{more:?}: {e}"))?;
        let log = log_of(&folder.join("typed"))?;
        ensure!(!log.is_empty() && lines == log && log_of(&own)? == log, "{more:?}: {lines:?} for {log:?}");
        // The same from a string, in a temporary folder.
        let model = Training::on_text(&text).with(options).run(&on)?;
        model.save(folder.join("saved"))?;
        same_model(&folder.join("saved"), &folder.join("typed")).map_err(|e| format!("{more:?}: {e}"))?;
    }
    // One that is told to stop goes on to the same end.
    let (whole, parts, seen) = (folder.join("whole"), folder.join("parts"), std::cell::Cell::new(0));
    let options = TrainingOptions { log_every: 1, seed: 5, ..tiny(End::Steps(steps)) };
    Training::on_file(&data).with(options.clone()).over_folder(&whole).run(&on)?;
    let stopped = Training::on_file(&data).with(options).over_folder(&parts);
    stopped.on_line(|line| seen.set(line.step)).until(|| seen.get() > 0).run(&on)?;
    ensure!(seen.get() < steps, "it was told to stop, and went on to step {}", seen.get());
    Training::resume(&parts).run(&on)?;
    same_model(&parts, &whole).map_err(|e| format!("stopped and resumed: {e}"))?;
    // The command line goes on where the front door stopped.
    let further = (steps + 2).to_string();
    let own = folder.join("own").display().to_string();
    output(&["train", "--resume", &own, "--device", device, "--steps", &further])?;
    output(&["train", "--resume", &typed, "--device", device, "--steps", &further])?;
    same_model(&folder.join("own"), &folder.join("typed"))?;
    DONE
}

fn lines() -> Outcome {
    let folder = Folder::new("front-lines");
    let names: String = (0..60).map(|i| ["ana\n", "bela\n", "cara\n", "dana\n", "ela\n", "fara\n"][i % 6]).collect();
    let (data, typed) = (folder.write("names.txt", &names), folder.join("typed").display().to_string());
    let call = ["train", "--data", &data, "--lines", "--output", &typed, "--device", "cpu", "--epochs", "3"];
    let sizes: Vec<&str> = TINY.iter().filter(|part| !["--embedding", "8"].contains(part)).copied().collect();
    output(&[&call[..], &sizes, &["--tied"]].concat())?;
    let options = TrainingOptions { lines: true, tied: true, embedding: None, ..tiny(End::Epochs(3)) };
    let model = Training::on_text(&names).with(options).run(&Device::cpu(Some(2))?)?;
    model.save(folder.join("saved"))?;
    same_model(&folder.join("saved"), &folder.join("typed"))?;
    DONE
}

fn temporary() -> Outcome {
    let options = TrainingOptions { seed: 8_140_127, ..tiny(End::Steps(5)) };
    let on = Device::cpu(Some(1))?;
    let (text, mut meanwhile) = (corpus(), 0);
    let training = Training::on_text(&text).with(options).on_line(|_| meanwhile = folders_of("8140127"));
    let model = training.run(&on)?;
    ensure!(meanwhile == 1, "{meanwhile} folders while it ran");
    ensure!(folders_of("8140127") == 0, "a temporary folder was left");
    ensure!(model.name() == "trained on a text", "{}", model.name());
    let options = Options { max_tokens: Some(9), ..Options::default() };
    ensure!(model.sample(1, &options)?[0].tokens.len() == 9, "no text");
    DONE
}

/// Temporary folders with a run of this seed.
fn folders_of(seed: &str) -> usize {
    let seed = format!("\\\"seed\\\":{seed}");
    let of_seed = |path: &Path| {
        let checkpoint = std::fs::read(path.join("model/checkpoint/last.safetensors")).unwrap_or_default();
        checkpoint.windows(seed.len()).any(|bytes| bytes == seed.as_bytes())
    };
    let folders = std::fs::read_dir(std::env::temp_dir()).into_iter().flatten().flatten();
    folders.filter(|entry| of_seed(&entry.path())).count()
}

fn wrong() -> Outcome {
    let on = Device::cpu(Some(1))?;
    let text = corpus();
    let asked = tiny(End::Steps(5));
    let said = |text: &str, options: TrainingOptions| match Training::on_text(text).with(options).run(&on) {
        Ok(model) => Err(format!("{} was trained", model.name())),
        Err(error) => Ok(error),
    };
    for (options, part) in [
        (TrainingOptions { hidden: Some(0), ..asked.clone() }, "hidden_size"),
        (TrainingOptions { dropout: Some(1.0), ..asked.clone() }, "dropout"),
        (TrainingOptions { batch_size: Some(0), ..asked.clone() }, "batch_size 0: expected 1 to 65,536"),
        (TrainingOptions { learning_rate: Some(f32::NAN), ..asked.clone() }, "expected a number above 0"),
        (TrainingOptions { end: Some(End::Steps(0)), ..asked.clone() }, "end 0: expected 1 to"),
        (TrainingOptions { log_every: 0, ..asked.clone() }, "log_every"),
        (TrainingOptions { tied: true, ..asked.clone() }, "expected equal lengths"),
        (TrainingOptions { cell: Cell::Gru, forget_bias: Some(1.0), ..asked.clone() }, "no forget gate"),
        (TrainingOptions { forget_bias: Some(f32::INFINITY), ..asked.clone() }, "forget_bias"),
        (TrainingOptions { unknown: Unknown::Unk(9999), ..asked.clone() }, "an id below"),
    ] {
        let error = said(&text, options)?.to_string();
        ensure!(error.contains(part) && !error.contains("--"), "expected `{part}`: {error}");
    }
    let error = said("abc", asked.clone())?;
    ensure!(matches!(error, Error::TooFew { found: 2 | 3, rows: 4, lines: false, .. }), "{error:?}");
    ensure!(!error.to_string().contains("--"), "{error}");
    let huge = TrainingOptions { hidden: Some(30_000), embedding: None, ..asked.clone() };
    let error = said(&text, huge)?;
    ensure!(matches!(error, Error::Memory { rows: None, .. }) && !error.to_string().contains("--"), "{error:?}");
    let model = Model::open("builtin:shakespeare", &on)?;
    for options in [
        Options { temperature: Some(-1.0), ..Options::default() },
        Options { stop: vec![String::new()], ..Options::default() },
        Options { banned: vec![9999], ..Options::default() },
    ] {
        let error = model.generate("A", &options).err().ok_or("it was written")?.to_string();
        ensure!(!error.contains("--"), "{error}");
    }
    DONE
}
