//! `gatefold generate` for many sequences: files, shards, crashes, wrong lines, full disks.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use libtest_mimic::Trial;

use crate::command_line::text;
use crate::context::{DONE, Outcome, adapters, trial, trials_per_adapter};
use crate::ensure;

pub fn trials() -> Vec<Trial> {
    let mut trials = vec![
        trial("batches: a file for any batch, and its shards, on the CPU", || same_file("cpu")),
        trial("batches: resumed after kills at several moments", killed),
        trial("batches: --resume refuses another run", other_runs),
        trial("batches: outputs that cannot be, and options that do not go together", wrong_calls),
        trial("batches: prompts with options, and wrong lines", wrong_lines),
        trial("batches: a full disk and a closed pipe", full_disk),
        trial("batches: unique texts", unique),
    ];
    #[cfg(unix)]
    trials.push(trial("batches: Ctrl-C says what stays", interrupted));
    trials.extend(trials_per_adapter("batches: a file for any batch, and its shards", |adapter| {
        ensure!(!adapters().is_empty(), "no adapter");
        same_file(&adapter.to_string())
    }));
    trials
}

/// A folder that vanishes with the trial.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("gatefold-batches-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a folder");
        Folder(path)
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().expect("a path in UTF-8").into()
    }

    fn write(&self, name: &str, text: &str) -> String {
        std::fs::write(self.0.join(name), text).expect("written");
        self.path(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn command(call: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gatefold"));
    command.env_remove("GATEFOLD_DEVICE").arg("generate").args(call);
    if !call.contains(&"--device") {
        command.args(["--device", "cpu"]);
    }
    command
}

fn generate(call: &[&str]) -> Output {
    command(call).output().expect("the program starts")
}

fn written(call: &[&str]) -> Result<Vec<u8>, String> {
    let output = generate(call);
    if output.status.success() { Ok(output.stdout) } else { Err(text(&output.stderr)) }
}

fn read(path: impl AsRef<Path>) -> Result<Vec<u8>, String> {
    std::fs::read(path.as_ref()).map_err(|e| format!("{}: {e}", path.as_ref().display()))
}

fn same_file(device: &str) -> Outcome {
    let call = ["--device", device, "--count", "50", "-n", "12", "--seed", "4", "--stop", "e", "--format", "csv"];
    let with = |more: &[&str]| written(&[&call[..], more].concat());
    let whole = with(&["--batch", "64"])?;
    ensure!(text(&whole).lines().count() >= 51, "{}", text(&whole));
    ensure!(whole == with(&["--batch", "7"])?, "another batch, other lines");
    let shards: Result<Vec<Vec<u8>>, String> =
        ["1/3", "2/3", "3/3"].iter().map(|shard| with(&["--shard", shard, "--batch", "1"])).collect();
    ensure!(whole == shards?.concat(), "the shards are not the whole");
    ensure!(whole == with(&["--output", "-"])?, "other lines on standard output by its name");
    DONE
}

fn killed() -> Outcome {
    let folder = Folder::new("killed");
    let call = ["--count", "600", "-n", "25", "--seed", "8", "--unique", "--format", "jsonl", "--resume", "--output"];
    let whole = folder.path("whole.jsonl");
    written(&[&call[..], &[&whole]].concat())?;
    let whole = read(whole)?;
    let path = folder.path("killed.jsonl");
    let mut kills = 0;
    for (i, milliseconds) in [30, 150, 400, 900, 2200, 2500].into_iter().enumerate() {
        let batch = ["5", "64", "256"][i % 3];
        let mut child = command(&[&call[..], &[&path, "--batch", batch]].concat()).stderr(Stdio::null()).spawn()?;
        std::thread::sleep(Duration::from_millis(milliseconds));
        kills += u32::from(child.try_wait()?.is_none());
        // SIGKILL on Unix.
        child.kill()?;
        child.wait()?;
        let so_far = read(&path).unwrap_or_default();
        ensure!(whole.starts_with(&so_far), "what was written is not the beginning of the whole");
    }
    written(&[&call[..], &[&path]].concat())?;
    ensure!(read(&path)? == whole, "after {kills} kills the file is another one");
    println!("killed {kills} times");
    DONE
}

#[cfg(unix)]
fn interrupted() -> Outcome {
    let folder = Folder::new("interrupted");
    let path = folder.path("o.txt");
    let call = ["--count", "1000000", "-n", "20", "--seed", "8", "--resume", "--output", &path];
    let child = command(&call).stderr(Stdio::piped()).spawn()?;
    // It has begun when its manifest is there.
    let begun = std::time::Instant::now();
    while !Path::new(&format!("{path}.run.json")).exists() && begun.elapsed() < Duration::from_secs(60) {
        std::thread::sleep(Duration::from_millis(20));
    }
    std::thread::sleep(Duration::from_millis(500));
    let status = Command::new("kill").args(["-INT", &child.id().to_string()]).status()?;
    ensure!(status.success(), "{status:?}");
    let output = child.wait_with_output()?;
    let said = text(&output.stderr);
    ensure!(output.status.code() == Some(130), "status {:?}: {said}", output.status);
    let lines = text(&read(&path)?).lines().count();
    let said = said.replace(',', "");
    ensure!(said.contains(&format!("o.txt: {lines} sequences so far; --resume goes on from there")), "{said}");
    DONE
}

fn wrong_calls() -> Outcome {
    let folder = Folder::new("wrong-outputs");
    let (there, none) = (folder.write("there.txt", "mine"), folder.path("none/o.txt"));
    let here = folder.path("");
    for (call, parts) in [
        (&["--count", "1", "--output", &there][..], &["the file is there; it is of no run", "remove this one"][..]),
        (&["--count", "1", "--output", &there, "--resume"], &["there.txt is of no run"]),
        (&["--count", "1", "--output", &none], &["there is no folder", "make it first"]),
        (&["--count", "1", "--output", &here], &["there is a folder; expected a file"]),
        (&["--json", "--unique"], &["'--json' cannot be used with '--unique'"]),
        (&["--json", "--batch", "4"], &["'--json' cannot be used with '--batch <N>'"]),
        (&["-n", "-5"], &["'-5' for '--max-tokens <N>'"]),
        (&["--top-k", "-1"], &["'-1' for '--top-k <K>'"]),
    ] {
        let output = generate(call);
        let said = text(&output.stderr);
        ensure!(output.status.code() == Some(2), "{call:?}: status {:?}: {said}", output.status.code());
        ensure!(parts.iter().all(|part| said.contains(part)), "{call:?}: {said}");
    }
    ensure!(read(&there)? == b"mine", "the file was written to");
    DONE
}

fn other_runs() -> Outcome {
    let folder = Folder::new("other");
    let path = folder.path("o.txt");
    let call = ["--count", "5", "-n", "3", "--seed", "8", "--output", &path];
    written(&call)?;
    let refused = |more: &[&str], what: &str| -> Result<(), String> {
        let output = generate(&[&call[..], more].concat());
        let message = text(&output.stderr);
        let right = output.status.code() == Some(2) && message.contains(what);
        if right { Ok(()) } else { Err(format!("{more:?}: status {:?}: {message}", output.status.code())) }
    };
    refused(&[], "the file is there; --resume goes on")?;
    refused(&["--resume", "--temperature", "0.5"], "was begun with temperature 0.800000011920929, this run has 0.5")?;
    refused(&["--resume", "--shard", "1/2"], "was begun with shard null, this run has \"1/2\"")?;
    refused(&["--resume", "--format", "csv"], "was begun with format \"text\", this run has \"csv\"")?;
    let other = generate(&["--count", "5", "-n", "3", "--seed", "9", "--output", &path, "--resume"]);
    ensure!(text(&other.stderr).contains("was begun with seed 8, this run has 9"), "{}", text(&other.stderr));
    // Without a seed it is the run's own, and another batch is the same run.
    let same = generate(&["--count", "5", "-n", "3", "--output", &path, "--resume", "--batch", "2"]);
    ensure!(same.status.success() && text(&same.stderr).contains("finished already"), "{}", text(&same.stderr));
    DONE
}

fn wrong_lines() -> Outcome {
    let folder = Folder::new("lines");
    let good = [
        r#"{"prompt": "ROMEO:", "id": "first", "temperature": 0}"#,
        r#"{"prompt": "KING", "max_tokens": 3, "stop": ["A", "B"], "ban_tokens": [1, 2]}"#,
    ];
    let bad = [
        (r#"{"prompt": "A", "topk": 3}"#, "unknown field `topk`, expected one of `prompt`"),
        (r#"{"prompt": "A", "top_p": 3}"#, "top_p 3: expected more than 0"),
        (r#"{"prompt": "\u00e9"}"#, "(U+00E9)"),
        (r#"{"prompt": 5}"#, "expected a string"),
        (r#"{"prompt": "A", "stop": [""]}"#, "stop \"\": expected a text that is not empty"),
        ("", "EOF while parsing"),
        (r#"{"prompt": "A"} x"#, "trailing characters"),
    ];
    for (line, message) in bad {
        let path = folder.write("prompts.jsonl", &[good[0], good[1], line, good[0]].join("\n"));
        let call = ["--prompts", &path, "--format", "jsonl", "-n", "6", "--seed", "1", "--samples-per-prompt", "2"];
        let stopped = generate(&call);
        let said = text(&stopped.stderr);
        ensure!(stopped.status.code() == Some(1), "{line}: status {:?}", stopped.status.code());
        ensure!(said.contains("prompts.jsonl, line 3") && said.contains(message), "{line}: {said}");
        let lines = text(&stopped.stdout).lines().count();
        ensure!(lines == 4, "{line}: {lines} lines in front of it");
        let skipped = generate(&[&call[..], &["--on-error", "skip"]].concat());
        ensure!(skipped.status.success(), "{line}: {}", text(&skipped.stderr));
        let shown = text(&skipped.stdout);
        let ids: Vec<String> = shown
            .lines()
            .map(|l| serde_json::from_str::<serde_json::Value>(l).expect("JSON")["id"].to_string())
            .collect();
        ensure!(ids == ["\"first\"", "\"first\"", "2", "3", "\"first\"", "\"first\""], "{line}: {ids:?}");
    }
    // Empty lines and line ends of Windows.
    let path = folder.write("p.txt", "ROMEO:\r\n\nKING");
    let shown = text(&written(&["--prompts", &path, "-n", "2", "--seed", "1"])?);
    ensure!(shown.lines().count() == 3 && shown.starts_with("ROMEO:") && !shown.contains('\r'), "{shown}");
    DONE
}

fn full_disk() -> Outcome {
    if Path::new("/dev/full").exists() {
        for call in [&["--output", "/dev/full"][..], &["--output", "/dev/full", "--format", "csv"]] {
            let output = generate(&[&["--count", "20", "-n", "5", "--seed", "1"][..], call].concat());
            let message = text(&output.stderr);
            ensure!(output.status.code() == Some(1), "status {:?}", output.status.code());
            ensure!(message.contains("/dev/full: No space left") && !message.contains("panicked"), "{message}");
        }
    }
    use std::io::Read;
    let mut child = command(&["--count", "100000000", "-n", "20", "--seed", "1"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut first = [0; 10];
    child.stdout.take().expect("piped").read_exact(&mut first)?;
    let output = child.wait_with_output()?;
    ensure!(output.status.success(), "status {:?}: {}", output.status.code(), text(&output.stderr));
    DONE
}

fn unique() -> Outcome {
    let call = ["--count", "100", "-n", "1", "--seed", "2"];
    let all = text(&written(&call)?);
    let output = generate(&[&call[..], &["--unique"]].concat());
    let shown = text(&output.stdout);
    let mut expected: Vec<&str> = Vec::new();
    all.lines().for_each(|line| {
        if !expected.contains(&line) {
            expected.push(line)
        }
    });
    ensure!(shown.lines().collect::<Vec<_>>() == expected, "{shown}");
    let dropped = format!("{} dropped", 100 - expected.len());
    ensure!(text(&output.stderr).contains(&dropped), "{}, expected {dropped}", text(&output.stderr));
    DONE
}
