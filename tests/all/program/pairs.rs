//! Encoder-decoders through the program: trained from pairs, gone on with, and asked for targets.

use std::io::Write;
use std::process::{Command, Stdio};

use libtest_mimic::Trial;

use crate::command_line::{gatefold, text};
use crate::context::{DONE, Outcome, trial, trials_per_adapter};
use crate::ensure;
use crate::model_folders::Folder;

pub fn trials() -> Vec<Trial> {
    let mut trials = vec![
        trial("pairs: a run that goes on equals an unbroken one", goes_on),
        trial("pairs: what is held out has other sources than what is learnt from", held_out),
        trial("pairs: wrong lines and calls say what is wrong", wrong),
    ];
    trials
        .push(trial("pairs: targets are learnt, and are the same in any batch on the CPU", || translates("cpu", true)));
    trials.extend(trials_per_adapter("pairs: targets are the same in any batch", |adapter| {
        translates(&adapter.to_string(), false)
    }));
    trials
}

/// Words of up to six letters, and their letters from the end; a third column is passed over.
fn reversed(pairs: u64) -> String {
    let mut state = 1u64;
    let mut next = |n: u64| {
        state = state.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(1);
        (state >> 33) % n
    };
    let mut lines = String::new();
    for _ in 0..pairs {
        let word: Vec<char> = (0..2 + next(5)).map(|_| (b'a' + next(6) as u8) as char).collect();
        let target: Vec<String> = word.iter().rev().map(|c| c.to_uppercase().to_string()).collect();
        lines += &format!("{}\t{}\tnote\r\n", word.iter().collect::<String>(), target.join(" "));
    }
    lines
}

const SIZES: [&str; 13] = [
    "--tokenizer",
    "word:100",
    "--source-tokenizer",
    "char",
    "--hidden",
    "48",
    "--layers",
    "1",
    "--batch-size",
    "32",
    "--cell",
    "gru",
    "-q",
];

fn train(data: &str, output: &str, more: &[&str]) -> Result<String, String> {
    let call = [&["train", "--pairs", data, "--output", output], &SIZES[..], more].concat();
    let output = gatefold(&call);
    let said = text(&output.stdout) + &text(&output.stderr);
    if output.status.success() { Ok(said) } else { Err(format!("{call:?}: {:?} {said}", output.status)) }
}

/// What is printed for lines of sources.
fn translate(model: &str, device: &str, sources: &str, more: &[&str]) -> Result<String, String> {
    let mut call = Command::new(env!("CARGO_BIN_EXE_gatefold"));
    call.args(["translate", "--model", model, "--device", device]).args(more);
    let mut child = call.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let written = child.stdin.take().unwrap().write_all(sources.as_bytes());
    let output = child.wait_with_output().map_err(|e| e.to_string())?;
    written.map_err(|e| e.to_string())?;
    ensure!(output.status.success(), "{:?} {}", output.status, text(&output.stderr));
    Ok(text(&output.stdout))
}

fn goes_on() -> Outcome {
    let folder = Folder::new("pairs-go-on");
    let data = folder.write("pairs.tsv", reversed(600));
    let [whole, parts] = ["whole", "parts"].map(|name| folder.join(name).display().to_string());
    let more = ["--device", "cpu", "--dropout", "0.25", "--valid-every", "7", "--steps"];
    train(&data, &whole, &[&more[..], &["40"]].concat())?;
    train(&data, &parts, &[&more[..], &["17", "--schedule", "constant"]].concat())?;
    // The rate's schedule depends on the end: both are trained at a constant one.
    std::fs::remove_dir_all(&whole).map_err(|e| e.to_string())?;
    train(&data, &whole, &[&more[..], &["40", "--schedule", "constant"]].concat())?;
    let output = gatefold(&["train", "--resume", &parts, "--steps", "40", "--device", "cpu", "-q"]);
    ensure!(output.status.success(), "{}", text(&output.stderr));
    for file in ["model.safetensors", "config.json", "source_tokenizer.json"] {
        let read = |run: &str| std::fs::read(format!("{run}/{file}")).map_err(|e| e.to_string());
        ensure!(read(&whole)? == read(&parts)?, "{file} differs");
    }
    DONE
}

fn translates(device: &str, learns: bool) -> Outcome {
    let folder = Folder::new(&format!("pairs-translate-{device}"));
    let data = folder.write("pairs.tsv", reversed(1500));
    let model = folder.join("model").display().to_string();
    // Few steps write targets of many lengths, many of them without an end.
    let steps = if learns { "900" } else { "40" };
    train(&data, &model, &["--device", "cpu", "--dropout", "0", "--steps", steps])?;
    let sources = "abc\n\nfedcba\nab\naabbcc\nfade\nz\nbad\n";
    let most = ["--max-tokens", "12", "--scores"];
    let one = translate(&model, device, sources, &[&most[..], &["--batch", "1"]].concat())?;
    for batch in ["3", "64"] {
        let other = translate(&model, device, sources, &[&most[..], &["--batch", batch]].concat())?;
        ensure!(one == other, "batch {batch}:\n{other}\nalone:\n{one}");
    }
    let drawn = ["--temperature", "1.5", "--seed", "7"];
    let alone = translate(&model, device, sources, &[&most[..], &drawn[..], &["--batch", "1"]].concat())?;
    let together = translate(&model, device, sources, &[&most[..], &drawn[..]].concat())?;
    ensure!(alone == together && (learns || alone != one), "drawn alone:\n{alone}\ntogether:\n{together}");
    let targets: Vec<&str> = one.lines().map(|line| line.split_once('\t').map_or("", |(_, text)| text)).collect();
    ensure!(targets.len() == 8 && targets[1].is_empty() && targets[6].is_empty(), "{targets:?}");
    if learns {
        ensure!(targets[..6] == ["C B A", "", "A B C D E F", "B A", "C C B B A A", "E D A F"], "{targets:?}");
    }
    DONE
}

fn held_out() -> Outcome {
    let folder = Folder::new("pairs-held-out");
    // Each source has two targets: one of them in each part would tell what the other part is about.
    let lines: String = (0..400).map(|i| format!("{}\t{}\n", i / 2, i % 2)).collect();
    let data = folder.write("pairs.tsv", lines);
    let model = folder.join("model").display().to_string();
    let call = ["train", "--pairs", &data, "--output", &model, "--hidden", "8", "--layers", "1", "--steps", "1"];
    let output = gatefold(&call);
    let said = text(&output.stderr);
    ensure!(output.status.success() && said.contains("380 pairs to learn from, 20 held out"), "{said}");
    DONE
}

fn wrong() -> Outcome {
    let folder = Folder::new("pairs-wrong");
    let made = folder.join("model").display().to_string();
    let no_tab = folder.write("no-tab.tsv", "a\tb\n\nab\n");
    let said = train(&no_tab, &made, &["--steps", "1"]).err().unwrap_or_default();
    ensure!(said.contains("no-tab.tsv: line 3 has no tab; expected a source, a tab and a target"), "{said}");
    ensure!(!folder.join("model").exists(), "nothing is left");
    let data = folder.write("pairs.tsv", reversed(100));
    let calls: [(&[&str], &str); 4] = [
        (&["train", "--data", &data, "--pairs", &data, "--output", &made], "cannot be used with"),
        (&["train", "--pairs", &data, "--tokenizer", "word:0", "--output", &made], "expected word:N"),
        (&["train", "--pairs", &data, "--label-smoothing", "1.5", "--output", &made], "label-smoothing"),
        (&["translate", "--model", "builtin:shakespeare", "abc"], "expected an encoder-decoder"),
    ];
    for (call, expected) in calls {
        let output = gatefold(call);
        let said = text(&output.stderr);
        ensure!(!output.status.success() && said.contains(expected), "{call:?}: {said}");
    }
    train(&data, &made, &["--steps", "1"])?;
    let output = gatefold(&["generate", "--model", &made, "abc"]);
    ensure!(!output.status.success() && text(&output.stderr).contains("expected a language model"), "{output:?}");
    DONE
}
