//! Training through the program: runs that are broken off and go on, runs that must fail, what a run leaves.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use gatefold::unstable::host::{map, open_model};
use gatefold::unstable::train::{Checkpoint, Line};
use libtest_mimic::Trial;

use crate::command_line::{gatefold, text};
use crate::context::{DONE, Outcome, trial, trials_per_adapter};
use crate::ensure;
use crate::model_folders::{Folder, json};

pub fn trials() -> Vec<Trial> {
    let mut trials = vec![
        trial("training: a run that goes on equals an unbroken one on the CPU", || goes_on("cpu", 60, &[])),
        trial("training: a run of a plain RNN that goes on equals an unbroken one", || {
            goes_on("cpu", 60, &["--cell", "rnn", "--nonlinearity", "relu"])
        }),
        trial("training: a run of lines goes on too", lines_go_on),
        trial("training: killed at 20 moments, a run loses only steps since its checkpoint", killed),
        trial("training: Ctrl-C writes a checkpoint", interrupted),
        trial("training: a run that is refused leaves the old one whole", refused),
        trial("training: a loss that is no number ends the run and keeps the checkpoint", diverged),
        trial("training: without better validations a run ends early", patience),
        trial("training: lines become a model that ends its texts", lines),
        trial("training: validation and score agree", score_agrees),
        trial("training: a corpus in the data folder of the run's own folder stays", own_data),
        trial("training: wrong calls say what is wrong", wrong_calls),
        trial("training: help fits 80 columns", help),
    ];
    #[cfg(unix)]
    trials.push(trial("training: a full disk ends the run and keeps the checkpoint", full_disk));
    trials.extend(trials_per_adapter("training: a run that goes on equals an unbroken one", |adapter| {
        goes_on(&adapter.to_string(), 12, &[])
    }));
    trials
}

/// Sizes of a model that takes about a millisecond a step.
const TINY: [&str; 12] = [
    "--hidden",
    "24",
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

/// A text of some thousand characters with structure.
fn corpus() -> String {
    let words = ["the", "gate", "folds", "a", "state", "and", "forgets", "what", "it", "read"];
    let mut text = String::new();
    for i in 0..900u64 {
        text += words[(i.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40) as usize % words.len()];
        text += if i % 11 == 10 { ".\n" } else { " " };
    }
    text
}

/// A call of `train` on a text, with the sizes of a tiny model.
fn call<'a>(data: &'a str, output: &'a str, device: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["train", "--data", data, "--output", output, "--device", device], &TINY[..], more].concat()
}

/// Runs a call that must succeed.
fn succeed(call: &[&str]) -> Result<String, String> {
    let output = gatefold(call);
    let said = text(&output.stdout) + &text(&output.stderr);
    if output.status.success() { Ok(said) } else { Err(format!("{call:?}: {:?} {said}", output.status)) }
}

/// Runs a call that must fail with this status, and say each of these.
fn fail(call: &[&str], status: i32, parts: &[&str]) -> Result<(), String> {
    let output = gatefold(call);
    let said = text(&output.stderr);
    if output.status.code() != Some(status) || said.contains("panicked") {
        return Err(format!("{call:?}: {:?} {said}", output.status));
    }
    match parts.iter().find(|part| !said.contains(**part)) {
        Some(part) => Err(format!("{call:?}: expected `{part}` in: {said}")),
        None => Ok(()),
    }
}

fn checkpoint(folder: &Path) -> Result<Checkpoint, String> {
    let file = folder.join("checkpoint/last.safetensors");
    let read = map(&file).and_then(|bytes| Checkpoint::read(&file.display().to_string(), &bytes));
    read.map_err(|e| e.to_string())
}

fn log(folder: &Path) -> Result<Vec<Line>, String> {
    let log = std::fs::read(folder.join("log.jsonl")).map_err(|e| e.to_string())?;
    let mut lines = Line::read_all(&log);
    let complete = log.iter().filter(|byte| **byte == b'\n').count();
    // The only number that time decides.
    lines.iter_mut().for_each(|line| line.tokens_per_second = 0.0);
    if complete == lines.len() { Ok(lines) } else { Err(format!("{complete} lines, {} of them read", lines.len())) }
}

/// Whether two runs ended the same: log, best weights, last weights, moments, states, position.
fn same(a: &Path, b: &Path) -> Result<(), String> {
    if log(a)? != log(b)? {
        return Err(format!("logs differ:\n{:?}\n{:?}", log(a)?, log(b)?));
    }
    for file in ["model.safetensors", "config.json", "tokenizer.json", "generation_config.json"] {
        let read = |folder: &Path| std::fs::read(folder.join(file)).map_err(|e| e.to_string());
        if read(a)? != read(b)? {
            return Err(format!("{file} differs"));
        }
    }
    let (a, b) = (checkpoint(a)?, checkpoint(b)?);
    let names = |c: &Checkpoint| c.snapshot.keys().cloned().collect::<Vec<_>>();
    if names(&a) != names(&b) || !names(&a).contains(&"second_moment.output.bias".to_string()) {
        return Err(format!("{:?} {:?}", names(&a), names(&b)));
    }
    let bits = |values: &[f32]| values.iter().map(|x| x.to_bits()).collect::<Vec<u32>>();
    if let Some((name, _)) = a.snapshot.iter().find(|(name, values)| bits(values) != bits(&b.snapshot[*name])) {
        return Err(format!("{name} differs"));
    }
    if a.manifest.progress != b.manifest.progress {
        return Err(format!("{:?} {:?}", a.manifest.progress, b.manifest.progress));
    }
    Ok(())
}

/// A run in two parts, of which the first is no multiple of anything, and the same in one.
fn goes_on(device: &str, steps: u32, cell: &[&str]) -> Outcome {
    let folder = Folder::new(&format!("goes-on-{device}-{}", cell.join("")));
    let data = folder.write("data.txt", corpus());
    let [whole, broken] = ["whole", "broken"].map(|name| folder.join(name).display().to_string());
    let (all, half) = (steps.to_string(), (steps / 2 - 1).to_string());
    let (every, some) = ((steps / 4).to_string(), (steps / 6).to_string());
    let rate = ["--schedule", "plateau", "--plateau", "0", "--warmup", "9", "--valid-every", &every, "--log-every"];
    let more = [cell, &rate[..], &[&some, "--steps"]].concat();
    succeed(&call(&data, &whole, device, &[&more[..], &[&all]].concat()))?;
    // The part that ends there validates there; a checkpoint of the unbroken run does not.
    let broken_off = [&more[..], &[&all, "--checkpoint-every", &half]].concat();
    let child = spawn(&call(&data, &broken, device, &broken_off))?;
    let begun = Instant::now();
    let wanted: u32 = half.parse()?;
    let killed = kill_when(child, || {
        let step = checkpoint(Path::new(&broken)).map_or(0, |c| c.manifest.progress.step);
        step >= wanted || begun.elapsed() > Duration::from_secs(60)
    })?;
    let step = checkpoint(Path::new(&broken))?.manifest.progress.step;
    ensure!(step >= wanted, "the checkpoint is of step {step}");
    let said = succeed(&["train", "--resume", &broken, "--device", device])?;
    ensure!(!killed || said.contains(&format!("goes on after step {step}")), "{said}");
    same(Path::new(&whole), Path::new(&broken))?;
    let lines = log(Path::new(&whole))?;
    ensure!(lines.last().is_some_and(|line| line.step == steps && line.valid_loss.is_some()), "{lines:?}");
    let svg = std::fs::read_to_string(Path::new(&whole).join("loss.svg"))?;
    ensure!(svg.contains("validation, last"), "{svg}");
    ensure!(!Path::new(&whole).join("data").exists(), "ids of a finished run");
    // A finished run stays finished, and goes further when asked to.
    let again = succeed(&["train", "--resume", &broken, "--device", device])?;
    ensure!(again.contains(&format!("{steps} steps")), "{again}");
    same(Path::new(&whole), Path::new(&broken))?;
    let further = (steps + 4).to_string();
    succeed(&["train", "--resume", &broken, "--device", device, "--steps", &further])?;
    ensure!(log(Path::new(&broken))?.last().is_some_and(|line| line.step == steps + 4), "further");
    DONE
}

fn spawn(call: &[&str]) -> Result<Child, String> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gatefold"));
    command.env_remove("GATEFOLD_DEVICE").args(call).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().map_err(|e| e.to_string())
}

/// Kills a process once something holds; `false` if it had ended by itself.
fn kill_when(mut child: Child, holds: impl Fn() -> bool) -> Result<bool, String> {
    let ended = |child: &mut Child| child.try_wait().map_err(|e| e.to_string());
    while ended(&mut child)?.is_none() {
        if holds() {
            let killed = child.kill().is_ok();
            child.wait().map_err(|e| e.to_string())?;
            return Ok(killed);
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    Ok(false)
}

/// Names, of which each has a structure.
fn names() -> String {
    let (first, last) = (["an", "bel", "cor", "du", "el"], ["a", "ina", "us", "or", "is", "ando"]);
    let mut text = String::new();
    for i in 0..240usize {
        text += &format!("{}{}{}\n", first[i % 5], ["", "d", "l"][i / 5 % 3], last[i / 15 % 6]);
    }
    text
}

fn lines_go_on() -> Outcome {
    let folder = Folder::new("lines-go-on");
    let data = folder.write("names.txt", names());
    let [whole, broken] = ["whole", "broken"].map(|name| folder.join(name).display().to_string());
    let more = ["--lines", "--epochs", "3", "--valid-every", "40", "--log-every", "7"];
    succeed(&call(&data, &whole, "cpu", &more))?;
    let every_ten = [&more[..], &["--checkpoint-every", "10"]].concat();
    let step = || checkpoint(&folder.join("broken")).map_or(0, |c| c.manifest.progress.step);
    kill_when(spawn(&call(&data, &broken, "cpu", &every_ten))?, || step() >= 70)?;
    ensure!(step() >= 70, "step {}", step());
    // The ids are made again where they are lost.
    let _ = std::fs::remove_dir_all(folder.join("broken/data"));
    succeed(&["train", "--resume", &broken, "--device", "cpu"])?;
    same(Path::new(&whole), Path::new(&broken))?;
    DONE
}

fn killed() -> Outcome {
    const KILLS: u64 = 20;
    const EVERY: u32 = 10;
    let folder = Folder::new("killed");
    let data = folder.write("data.txt", corpus());
    let [whole, broken] = ["whole", "broken"].map(|name| folder.join(name).display().to_string());
    let more = ["--steps", "600", "--valid-every", "60", "--log-every", "5", "--checkpoint-every", "10"];
    let begun = Instant::now();
    succeed(&call(&data, &whole, "cpu", &more))?;
    let took = begun.elapsed();
    let (mut last, mut advanced) = (0, 0);
    for kill in 0..KILLS {
        let resume = ["train", "--resume", &broken, "--device", "cpu"];
        let begin = [&call(&data, &broken, "cpu", &more)[..], &["--overwrite"]].concat();
        let has_checkpoint = checkpoint(Path::new(&broken)).is_ok();
        let child = spawn(if has_checkpoint { &resume } else { &begin })?;
        // Moments spread over a twentieth of the run, so that it has not ended when the last one comes.
        let share = (kill.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32) as f64 / 2f64.powi(32);
        let (at, begun) = (took.mul_f64(share / 20.0), Instant::now());
        if !kill_when(child, || begun.elapsed() >= at)? {
            break;
        }
        let Ok(now) = checkpoint(Path::new(&broken)) else { continue };
        let step = now.manifest.progress.step;
        ensure!(step >= last, "step {step} after step {last}");
        advanced += u32::from(step > last);
        last = step;
        open_model(&broken).map_err(|e| format!("no usable model: {e}"))?;
        let log = std::fs::read(folder.join("broken/log.jsonl"))?;
        let logged = Line::read_all(&log).last().map_or(0, |line| line.step);
        ensure!(logged <= step + EVERY, "{logged} steps were logged, and the checkpoint is of step {step}");
        ensure!(now.manifest.log_bytes <= log.len() as u64, "the log is shorter than the checkpoint says");
    }
    ensure!(advanced > 1, "no kill came after a new checkpoint");
    succeed(&["train", "--resume", &broken, "--device", "cpu"])?;
    same(Path::new(&whole), Path::new(&broken))?;
    let partial = std::fs::read_dir(folder.join("broken"))?.flatten().map(|e| e.file_name());
    let mut names: Vec<String> = partial.map(|name| name.to_string_lossy().into_owned()).collect();
    names.sort();
    let expected = ["checkpoint", "config.json", "generation_config.json", "log.jsonl", "loss.svg"];
    ensure!(names == [&expected[..], &["model.safetensors", "tokenizer.json"]].concat(), "{names:?}");
    DONE
}

#[cfg(unix)]
fn interrupted() -> Outcome {
    let folder = Folder::new("interrupted");
    let data = folder.write("data.txt", corpus());
    let output = folder.join("m").display().to_string();
    let mut command = Command::new(env!("CARGO_BIN_EXE_gatefold"));
    command.args(call(&data, &output, "cpu", &["--steps", "1000000", "--log-every", "3"]));
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
    let begun = Instant::now();
    while log(Path::new(&output)).map_or(0, |lines| lines.len()) < 3 {
        ensure!(begun.elapsed() < Duration::from_secs(60), "no step in a minute");
        ensure!(child.try_wait()?.is_none(), "it ended");
        std::thread::sleep(Duration::from_millis(5));
    }
    Command::new("kill").args(["-INT", &child.id().to_string()]).status()?;
    let ended = child.wait_with_output()?;
    let said = text(&ended.stderr);
    ensure!(ended.status.code() == Some(130), "{:?} {said}", ended.status);
    let step = checkpoint(Path::new(&output))?.manifest.progress.step;
    ensure!(step >= 9, "step {step}");
    let expected = format!("stopped after step {step}, with a checkpoint; `gatefold train --resume {output}` goes on");
    ensure!(said.contains(&expected), "{said}");
    let further = (step + 2).to_string();
    let said = succeed(&["train", "--resume", &output, "--device", "cpu", "--steps", &further])?;
    ensure!(said.contains(&format!("goes on after step {step}")), "{said}");
    DONE
}

#[cfg(not(unix))]
fn interrupted() -> Outcome {
    Ok(libtest_mimic::Completion::ignored_with("no way to send Ctrl-C to one process"))
}

fn diverged() -> Outcome {
    let folder = Folder::new("diverged");
    let data = folder.write("data.txt", corpus());
    let output = folder.join("m").display().to_string();
    let more = ["--steps", "200", "--learning-rate", "1e30", "--warmup", "0"];
    let said = ["at step", "diverged", "--learning-rate", "the checkpoint of step 0 is whole"];
    fail(&call(&data, &output, "cpu", &more), 1, &said)?;
    ensure!(checkpoint(Path::new(&output))?.manifest.progress.step == 0, "a checkpoint of lost weights");
    open_model(&output)?;
    DONE
}

#[cfg(unix)]
fn full_disk() -> Outcome {
    let folder = Folder::new("full");
    let data = folder.write("data.txt", corpus());
    let [whole, full] = ["whole", "full"].map(|name| folder.join(name).display().to_string());
    let more = ["--steps", "40", "--log-every", "10", "--valid-every", "20"];
    succeed(&call(&data, &whole, "cpu", &more))?;
    std::fs::create_dir_all(&full)?;
    let log = Path::new(&full).join("log.jsonl");
    std::os::unix::fs::symlink("/dev/full", &log)?;
    fail(&call(&data, &full, "cpu", &more), 1, &["log.jsonl: No space left on device", "--resume"])?;
    open_model(&full)?;
    std::fs::remove_file(&log)?;
    succeed(&["train", "--resume", &full, "--device", "cpu"])?;
    same(Path::new(&whole), Path::new(&full))?;
    DONE
}

fn patience() -> Outcome {
    let folder = Folder::new("patience");
    let data = folder.write("data.txt", corpus());
    let output = folder.join("m").display().to_string();
    // Steps that are too small to change a number: no validation is better than the first.
    let rate = ["--optimizer", "sgd", "--learning-rate", "1e-30", "--schedule", "constant", "--warmup", "0"];
    let more = [&rate[..], &["--steps", "1000", "--valid-every", "5", "--patience", "3"]].concat();
    let said = succeed(&call(&data, &output, "cpu", &more))?;
    ensure!(said.contains("20 steps, as 3 validations got no better"), "{said}");
    ensure!(said.contains("after step 5"), "{said}");
    DONE
}

fn lines() -> Outcome {
    let folder = Folder::new("lines");
    let data = folder.write("names.txt", names());
    let output = folder.join("m").display().to_string();
    let more = ["--lines", "--epochs", "12", "--learning-rate", "0.02", "--warmup", "10", "--clip", "0"];
    succeed(&call(&data, &output, "cpu", &more))?;
    let lines = log(Path::new(&output))?;
    let (first, last) = (lines[0].loss, lines.last().and_then(|line| line.valid_loss));
    ensure!(first > Some(1.8) && last < Some(1.2), "{first:?} {last:?}");
    let mut ended = 0;
    for seed in ["1", "2", "3"] {
        let call = ["generate", "--model", &output, "--json", "--device", "cpu", "--seed", seed];
        let generated = json(&call)?;
        ended += u32::from(generated["finish_reason"] == "eos");
        ensure!(!generated["text"].as_str().ok_or("no text")?.contains('<'), "{generated}");
    }
    ensure!(ended >= 2, "{ended} of 3 names ended");
    DONE
}

fn score_agrees() -> Outcome {
    let folder = Folder::new("score");
    let data = folder.write("data.txt", corpus());
    let valid = folder.write("valid.txt", &corpus()[500..2000]);
    let output = folder.join("m").display().to_string();
    let more = ["--valid", &valid, "--valid-tokens", "0", "--cell", "gru", "--tied", "--embedding", "24"];
    let call = ["train", "--data", &data, "--output", &output, "--device", "cpu", "--hidden", "24", "--overwrite"];
    // One row reads the text as score does, in windows that carry the state. Of several rows all but the first begin
    // in the text's middle, with the state of a window before.
    for (rows, steps, apart) in [("1", "30", 1e-4), ("4", "200", 1e-3)] {
        let steps = ["--steps", steps, "--batch-size", rows, "--dropout", "0"];
        succeed(&[&call[..], &more, &steps].concat())?;
        let best = checkpoint(Path::new(&output))?.manifest.progress.best.ok_or("no validation")?;
        let scored = json(&["score", &valid, "--model", &output, "--json", "--device", "cpu"])?;
        let nats = scored["nats_per_token"].as_f64().ok_or("no nats")?;
        ensure!((nats - best.loss).abs() < apart, "{rows} rows: {nats} by score, {} by validation", best.loss);
    }
    DONE
}

/// The contents of a folder, but for times.
fn contents(folder: &Path) -> Result<Vec<(String, Vec<u8>)>, String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(|e| e.to_string())? {
        let path = entry.map_err(|e| e.to_string())?.path();
        if path.is_dir() {
            found.extend(contents(&path)?);
        } else {
            found.push((path.display().to_string(), std::fs::read(&path).map_err(|e| e.to_string())?));
        }
    }
    found.sort();
    Ok(found)
}

fn refused() -> Outcome {
    let folder = Folder::new("refused-training");
    let data = folder.write("data.txt", corpus());
    let (short, latin) = (folder.write("short.txt", "abc"), folder.write("latin.txt", "\u{e9}t\u{e9}"));
    let output = folder.join("m").display().to_string();
    succeed(&call(&data, &output, "cpu", &["--steps", "20"]))?;
    let before = contents(Path::new(&output))?;
    let tokenizer = format!("{output}/tokenizer.json");
    for (call, status) in [
        (call(&data, &output, "cpu", &["--steps", "20"]), 2),
        (call(&short, &output, "cpu", &["--overwrite"]), 1),
        (call(&latin, &output, "cpu", &["--overwrite", "--tokenizer", &tokenizer]), 1),
        (call("nowhere.txt", &output, "cpu", &["--overwrite"]), 1),
    ] {
        fail(&call, status, &[])?;
        ensure!(contents(Path::new(&output))? == before, "{call:?} changed the old run");
    }
    let new = folder.join("new");
    fail(&call(&short, new.to_str().ok_or("a name")?, "cpu", &[]), 1, &["too few"])?;
    ensure!(!new.exists(), "a run that did not begin left its folder");
    // A folder whose config.json is lost still holds a model.
    std::fs::remove_file(folder.join("m/config.json"))?;
    std::fs::remove_dir_all(folder.join("m/checkpoint"))?;
    std::fs::remove_file(folder.join("m/log.jsonl"))?;
    fail(&call(&data, &output, "cpu", &["--steps", "20"]), 2, &["model.safetensors is there already", "--overwrite"])?;
    DONE
}

fn wrong_calls() -> Outcome {
    let folder = Folder::new("wrong-training");
    let data = folder.write("data.txt", corpus());
    let short = folder.write("short.txt", "abc");
    let empty = folder.write("empty.txt", "");
    let letters = folder.write("letters.txt", "a\nb\n");
    let bytes = folder.write("bytes.txt", b"abc\n\xff");
    let path = |name: &str| folder.join(name).display().to_string();
    let (new, taken, none) = (path("new"), path("taken"), path("none.txt"));
    succeed(&call(&data, &taken, "cpu", &["--steps", "2"]))?;
    let mut cut = std::fs::read(folder.join("taken/checkpoint/last.safetensors"))?;
    fail(&["train", "--data", &data], 2, &["--output"])?;
    fail(&["train", "--resume", &taken, "--data", &data, "--output", &new], 2, &["cannot be used with"])?;
    fail(&["train", "--resume", &taken, "--hidden", "5"], 2, &["cannot be used with"])?;
    fail(&["train", "--resume", &new], 2, &["is not there", "--data and --output"])?;
    for (data, output, more, status, parts) in [
        (&none, &new, &[][..], 1, &["none.txt", "No such file"][..]),
        (&data, &taken, &[], 2, &["is there already", "--resume", "--overwrite"]),
        (&short, &new, &[], 1, &["short.txt", "too few for 4 rows", "--batch-size"]),
        (&empty, &new, &[], 1, &["empty.txt: there is no text"]),
        (&data, &short, &[], 2, &["short.txt: there is a file; expected a folder"]),
        (&bytes, &new, &[], 1, &["bytes.txt", "line 2", "--tokenizer byte"]),
        (&data, &new, &["--tokenizer", &letters], 1, &["data.txt: ", "at line 1, column 1"]),
        (&data, &new, &["--tokenizer", &none], 1, &["--tokenizer", "none.txt"]),
        (&data, &new, &["--tokenizer", &letters, "--lines", "--bos", "<go>"], 2, &["--bos <go>"]),
        (&data, &new, &["--bos", "a"], 2, &["--lines"]),
        (&data, &new, &["--on-unknown", "unk"], 2, &["no unknown token"]),
        (&data, &new, &["--cell", "gru", "--forget-bias", "1"], 2, &["no forget gate"]),
        (&data, &new, &["--cell", "rnn", "--forget-bias", "1"], 2, &["`rnn` has no forget gate"]),
        (&data, &new, &["--nonlinearity", "relu"], 2, &["--nonlinearity", "`lstm`"]),
        (&data, &new, &["--tied"], 2, &["length 8", "24", "--tied"]),
        (&data, &new, &["--steps", "0"], 2, &["--steps"]),
        (&data, &new, &["--steps", "1", "--epochs", "1"], 2, &["cannot be used with"]),
        (&data, &new, &["--learning-rate", "nan"], 2, &["expected a number above 0"]),
        (&data, &new, &["--checkpoint-every", "10x"], 2, &["such as 500", "10m"]),
    ] {
        fail(&call_with(data, output, more), status, parts)?;
    }
    let huge = ["train", "--data", &data, "--output", &new, "--device", "cpu", "--hidden", "30000"];
    fail(&huge, 1, &["GiB", "of memory available", "--batch-size"])?;
    ensure!(!folder.join("new/config.json").exists(), "a model without a run");
    cut.truncate(cut.len() / 2);
    std::fs::write(folder.join("taken/checkpoint/last.safetensors"), cut)?;
    fail(&["train", "--resume", &taken], 1, &["checkpoint/last.safetensors", "cut off"])?;
    DONE
}

/// People call the folder of their texts `data`, too.
fn own_data() -> Outcome {
    let folder = Folder::new("own-data");
    std::fs::create_dir(folder.join("data"))?;
    let (data, output) = (folder.write("data/corpus.txt", corpus()), folder.join("").display().to_string());
    for more in [&["--steps", "2"][..], &["--steps", "2", "--overwrite"]] {
        succeed(&call(&data, &output, "cpu", more))?;
        let left: Vec<_> = std::fs::read_dir(folder.join("data"))?.flatten().map(|entry| entry.file_name()).collect();
        ensure!(left == ["corpus.txt"], "{left:?}");
    }
    DONE
}

/// As [`call`], where later options may repeat those of the tiny model.
fn call_with<'a>(data: &'a str, output: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let tiny: Vec<&str> = TINY.chunks(2).filter(|pair| !more.contains(&pair[0])).flatten().copied().collect();
    [&["train", "--data", data, "--output", output, "--device", "cpu"], &tiny[..], more].concat()
}

fn help() -> Outcome {
    let output = gatefold(&["train", "--help"]);
    let help = text(&output.stdout);
    ensure!(output.status.success() && help.contains("--resume"), "{help}");
    let wide: Vec<&str> = help.lines().filter(|line| line.chars().count() > 80).collect();
    ensure!(wide.is_empty(), "{wide:?}");
    DONE
}
