//! Texts in and out of the program: byte-order marks and line ends, what the vocabulary lacks, the bytes of a score, csv
//! and ids read back, help that fits a terminal.

use std::io::Write as _;
use std::process::{Command, Stdio};

use gatefold::unstable::host::replace_model;
use gatefold::unstable::model::Precision;
use gatefold::unstable::network::Cell;
use gatefold::unstable::text::Tokenizer;
use libtest_mimic::Trial;
use serde_json::Value;

use crate::command_line::{gatefold, text};
use crate::context::{DONE, Outcome, project, skipped, trial};
use crate::ensure;
use crate::model_folders::{Folder, json, model};

pub fn trials() -> Vec<Trial> {
    vec![
        trial("texts: bits per byte count the bytes of scored tokens", bytes_of_scored),
        trial("texts: bits per byte of recorded lines", recorded_lines),
        trial("texts: byte-order marks and CR LF are no text", marks_and_line_ends),
        trial("texts: UTF-16 is named with the way out", utf16),
        trial("texts: what the vocabulary lacks is said in every command", lacking),
        trial("texts: csv is read back as it was, jsonl keeps ids as they were written", read_back),
        trial("texts: --unique with csv goes on after texts of several lines", unique_csv),
        trial("texts: a prompt, tokens and files are taken in each of their forms", forms),
        trial("texts: -h of every command fits 40 lines of 80 columns", short_help),
    ]
}

const CPU: [&str; 2] = ["--device", "cpu"];

fn run(call: &[&str]) -> Result<(String, String), String> {
    let output = gatefold(&[call, &CPU].concat());
    let (shown, said) = (text(&output.stdout), text(&output.stderr));
    if output.status.success() { Ok((shown, said)) } else { Err(format!("{call:?}: {said}")) }
}

fn score(call: &[&str]) -> Result<Value, String> {
    json(&[&["score", "--json"], call, &CPU].concat())
}

fn bytes_of_scored() -> Outcome {
    let folder = Folder::new("bits");
    let list = serde_json::json!({"model": {"type": "list", "vocab": ["a", "\u{e9}a", "\n"]}}).to_string();
    let of_words = include_str!("../../tokenizers/word_level.json");
    // Bytes of the text without its first token, and without what is skipped.
    for (name, tokenizer, written, lines, bytes) in [
        ("characters", Tokenizer::characters("a\u{e9}\n".chars())?, "\u{e9}aa\u{e9}", false, 4),
        ("skipped", Tokenizer::characters("a\u{e9}\n".chars())?, "x\u{e9}a\u{20ac}a", false, 2),
        ("lines", Tokenizer::characters("a\u{e9}\n".chars())?, "\u{e9}a\r\naa\n\n", true, 2),
        ("list", Tokenizer::from_json(list.as_bytes(), "list.json")?, "\u{e9}aa\n", false, 2),
        ("bytes", Tokenizer::bytes(), "\u{e9}aa", false, 3),
        ("words", Tokenizer::from_json(of_words.as_bytes(), "words.json")?, "the cat", false, 4),
    ] {
        replace_model(folder.join(name), &model(Cell::Gru, tokenizer, |_| {}), Precision::F32)?;
        let (of_model, file) = (folder.join(name).display().to_string(), folder.write("text.txt", written));
        let call = [&file, "-m", &of_model, "--on-unknown", "skip"];
        let scored = score(&[&call[..], if lines { &["--lines"] } else { &[] }].concat())?;
        let of = |field: &str| scored[field].as_f64().unwrap_or(f64::NAN);
        ensure!(scored["bytes"] == bytes, "{name}: {scored}");
        let expected = of("tokens") * of("nats_per_token") / std::f64::consts::LN_2 / f64::from(bytes);
        ensure!((of("bits_per_byte") - expected).abs() < 1e-9, "{name}: {scored}");
    }
    // With bos every token is scored.
    let tokenizer = r#"{"model": {"type": "characters", "vocab": ["a"], "special": {"<s>": 1}}}"#;
    let with_bos = model(Cell::Gru, Tokenizer::from_json(tokenizer.as_bytes(), "t")?, |c| c.bos_token_id = Some(1));
    replace_model(folder.join("bos"), &with_bos, Precision::F32)?;
    let file = folder.write("text.txt", "aaa");
    let scored = score(&[&file, "-m", &folder.join("bos").display().to_string()])?;
    ensure!(scored["bytes"] == 3 && scored["tokens"] == 3, "{scored}");
    DONE
}

fn recorded_lines() -> Outcome {
    const CASE: &str = "../shared/cases/26-bits-per-byte-lines";
    let case = project(CASE);
    let Ok(expected) = std::fs::read(case.join("expected.json")) else { return skipped(CASE) };
    let expected: Value = serde_json::from_slice(&expected)?;
    let folder = Folder::new("recorded-lines");
    let path = |name: &str| case.join(name).display().to_string();
    let made = folder.join("model").display().to_string();
    run(&["convert", &path("model.pt"), &made, "--vocab", &path("vocab.json")])?;
    let scored = score(&[&path("names.txt"), "-m", &made, "--lines"])?;
    let near = |a: &Value, b: &Value| (a.as_f64().unwrap_or(9.0) - b.as_f64().unwrap_or(0.0)).abs() < 1e-4;
    ensure!(near(&scored["bits_per_byte"], &expected["bits_per_byte"]), "{scored} {expected}");
    ensure!(scored["bytes"] == expected["bytes_of_scored"] && scored["tokens"] == expected["scored"], "{scored}");
    DONE
}

fn marks_and_line_ends() -> Outcome {
    let folder = Folder::new("marks");
    let plain = "the cat\nsat on\na mat\n".repeat(60);
    let marked = format!("\u{feff}{}", plain.replace('\n', "\r\n"));
    let (plain, marked) = (folder.write("plain.txt", &plain), folder.write("marked.txt", &marked));
    let mut vocabularies = Vec::new();
    for (name, data, more) in [("a", &plain, None), ("b", &marked, None), ("c", &marked, Some("--lines"))] {
        let made = folder.join(name).display().to_string();
        let call = ["train", "--data", data, "--output", &made, "--steps", "2", "--hidden", "8", "--layers", "1"];
        let sizes = ["--batch-size", "4", "--sequence-length", "8"];
        run(&[&call[..], &sizes, more.as_slice()].concat())?;
        vocabularies.push(text(&std::fs::read(folder.join(name).join("tokenizer.json"))?));
    }
    ensure!(vocabularies[0] == vocabularies[1], "{} {}", vocabularies[0], vocabularies[1]);
    ensure!(!vocabularies[2].contains("\\r") && !vocabularies[2].contains('\u{feff}'), "{}", vocabularies[2]);
    let of_model = ["-m", "builtin:shakespeare"];
    for lines in [&[][..], &["--lines"]] {
        let scores = [&plain, &marked].map(|file| score(&[&[file.as_str()], &of_model[..], lines].concat()));
        let [a, b] = scores;
        let (a, b) = (a?, b?);
        ensure!(a["nats_per_token"] == b["nats_per_token"] && a["bytes"] == b["bytes"], "{a} {b}");
    }
    let prompts = ["the cat\nsat\n", "\u{feff}the cat\r\nsat\r\n"].map(|prompts| folder.write("p.txt", prompts));
    let jsonl = folder.write("p.jsonl", "\u{feff}{\"prompt\": \"the cat\"}\r\n{\"prompt\": \"sat\"}\r\n");
    let texts = [&prompts[0], &prompts[1], &jsonl]
        .map(|file| run(&["generate", "--prompts", file, "-n", "5", "--seed", "1", "--format", "text"]));
    let [a, b, c] = texts;
    let (a, b, c) = (a?.0, b?.0, c?.0);
    ensure!(a == b && a == c && a.lines().count() == 2, "{a:?} {b:?} {c:?}");
    // A model's own files, and a vocabulary.
    let made = folder.join("a");
    for name in ["config.json", "tokenizer.json", "generation_config.json"] {
        let path = made.join(name);
        if let Ok(json) = std::fs::read(&path) {
            std::fs::write(&path, [b"\xef\xbb\xbf", &json[..]].concat())?;
        }
    }
    run(&["generate", "the", "-n", "3", "-m", &made.display().to_string()])?;
    let tokens = folder.write("tokens.txt", "\u{feff}a\r\nc\r\ne\r\nh\r\nm\r\nn\r\no\r\ns\r\nt\r\n\u{20}\r\n\\n\r\n");
    let made = folder.join("d").display().to_string();
    let call = ["train", "--data", &marked, "--output", &made, "--steps", "1", "--hidden", "8", "--tokenizer", &tokens];
    run(&[&call[..], &["--batch-size", "4", "--sequence-length", "8"]].concat())?;
    DONE
}

fn utf16() -> Outcome {
    let folder = Folder::new("utf16");
    let words = "the cat sat on a mat\n".repeat(20);
    let units = |mark: bool, big: bool| -> Vec<u8> {
        let mark = if mark { "\u{feff}" } else { "" };
        let all = format!("{mark}{words}");
        all.encode_utf16().flat_map(|unit| if big { unit.to_be_bytes() } else { unit.to_le_bytes() }).collect()
    };
    for (mark, big, name) in
        [(true, false, "UTF-16"), (true, true, "UTF-16"), (false, false, "UTF-16LE"), (false, true, "UTF-16BE")]
    {
        let (file, prompts) = (folder.write("t.txt", units(mark, big)), folder.write("t.jsonl", units(mark, big)));
        let made = folder.join("m").display().to_string();
        for call in [
            &["score", &file][..],
            &["score", &file, "--lines"],
            &["train", "--data", &file, "--output", &made],
            &["train", "--data", &file, "--lines", "--output", &made],
            &["train", "--data", &folder.write("p.txt", &words), "--tokenizer", &file, "--output", &made],
            &["generate", "--prompts", &file],
            &["generate", "--prompts", &prompts],
        ] {
            let output = gatefold(&[call, &CPU].concat());
            let said = text(&output.stderr);
            let expected = format!("the text is in {name}; expected UTF-8. `iconv -f {name} -t UTF-8");
            ensure!(output.status.code() == Some(1) && said.contains(&expected), "{call:?}: {said}");
        }
    }
    DONE
}

fn lacking() -> Outcome {
    let folder = Folder::new("lacking");
    let file = folder.write("t.txt", "To b\u{e9} or\nn\u{f6}t t\u{e9}\u{7}\n".repeat(30));
    let (skip, made) = (["--on-unknown", "skip"], folder.join("m").display().to_string());
    let tokens = folder.write("v.txt", "T\no\nb\nr\nn\nt\n \n\\n\n");
    let train = ["train", "--data", &file, "--output", &made, "--tokenizer", &tokens, "--steps", "1", "--hidden", "8"];
    let sizes = ["--batch-size", "2", "--sequence-length", "8"];
    let (all, once) = ("left out 210 bytes of text at 120 places", "left out 2 bytes of text at 1 place,");
    for (call, expected) in [
        (&["score", &file][..], all),
        (&["score", &file, "--lines"], all),
        (&["score", &file, "--lines", "--each"], all),
        (&["generate", "--prompts", &file, "-n", "2"], all),
        (&["generate", "b\u{e9}", "-n", "2"], once),
        (&["generate", "b\u{e9}", "-n", "2", "--json"], once),
        (&["generate", "b\u{e9}", "-n", "2", "--count", "3"], once),
        (&[&train[..], &sizes].concat(), all),
    ] {
        let (_, said) = run(&[call, &skip].concat())?;
        ensure!(said.contains(expected), "{call:?}: {said}");
        ensure!(said.contains("\"\u{e9}\" ") && !said.contains('\u{7}'), "{call:?}: {said}");
    }
    // The hint fits the vocabulary.
    let words = include_str!("../../tokenizers/word_level.json");
    replace_model(
        folder.join("w"),
        &model(Cell::Gru, Tokenizer::from_json(words.as_bytes(), "w")?, |_| {}),
        Precision::F32,
    )?;
    let output = gatefold(&["generate", "the snark", "-m", &folder.join("w").display().to_string()]);
    let said = text(&output.stderr);
    ensure!(said.contains("--on-unknown unk writes ") && said.contains("--on-unknown skip leaves it out"), "{said}");
    let output = gatefold(&[&["generate", "\u{e9}"][..], &skip].concat());
    ensure!(text(&output.stderr).contains("the vocabulary has nothing of the prompt"), "{}", text(&output.stderr));
    DONE
}

/// Fields of csv as RFC 4180 has them, read by another way than the one by which they are written.
fn csv(text: &str) -> Vec<Vec<String>> {
    let (mut rows, mut row, mut field, mut quoted) = (Vec::new(), Vec::new(), String::new(), false);
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '"' if quoted && rest.peek() == Some(&'"') => field.push(rest.next().expect("a quote")),
            '"' => quoted = !quoted,
            ',' if !quoted => row.push(std::mem::take(&mut field)),
            '\n' if !quoted => {
                row.push(std::mem::take(&mut field));
                rows.push(std::mem::take(&mut row));
            }
            c => field.push(c),
        }
    }
    assert!(row.is_empty() && field.is_empty() && !quoted, "no end: {text:?}");
    rows
}

/// A model over what csv has to quote, which has learnt nothing.
fn quoting(folder: &Folder) -> Result<String, libtest_mimic::Failed> {
    let tokenizer = Tokenizer::characters("\",\n\ra \\n".chars())?;
    replace_model(folder.join("quoting"), &model(Cell::Lstm, tokenizer, |_| {}), Precision::F32)?;
    Ok(folder.join("quoting").display().to_string())
}

fn read_back() -> Outcome {
    let folder = Folder::new("read-back");
    let of_model = quoting(&folder)?;
    let ids = ["18446744073709551617", "1.10", r#"{"b": 1,"a": [1e30, "\u00e9"]}"#, "\"x\"", "-0"];
    let prompts = ["a", "\\\"\\n", "a,\\r\\na", " ", "\\\\n"];
    let lines: Vec<String> =
        ids.iter().zip(prompts).map(|(id, prompt)| format!("{{\"prompt\": \"{prompt}\", \"id\": {id}}}\n")).collect();
    let file = folder.write("p.jsonl", lines.concat());
    let call =
        ["generate", "-m", &of_model, "--prompts", &file, "--samples-per-prompt", "20", "-n", "8", "--seed", "1"];
    let write = |format: &str| run(&[&call[..], &["--format", format]].concat()).map(|(shown, _)| shown);
    let (rows, jsonl) = (csv(&write("csv")?), write("jsonl")?);
    ensure!(rows[0] == ["prompt", "text", "nll"] && rows.len() == 101, "{rows:?}");
    let mut quotes = 0;
    for ((row, line), number) in rows[1..].iter().zip(jsonl.lines()).zip(0..) {
        let object: Value = serde_json::from_str(line)?;
        ensure!(object["prompt"] == row[0].as_str() && object["text"] == row[1].as_str(), "{row:?} is not {object}");
        let nll: f64 = row[2].parse()?;
        ensure!((nll + object["log_probability"].as_f64().ok_or("none")?).abs() < 1e-9, "{row:?} {object}");
        let id = ids[number / 20];
        ensure!(line.starts_with(&format!("{{\"id\":{id},")), "{id}: {line}");
        ensure!(object["seed"] == 1, "{object}");
        quotes += usize::from(row[1].contains(['"', '\n']));
    }
    ensure!(quotes > 50, "{quotes} texts that need quotes");
    DONE
}

fn unique_csv() -> Outcome {
    let folder = Folder::new("unique-csv");
    let of_model = quoting(&folder)?;
    let call = ["generate", "-m", &of_model, "-p", "a", "--count", "400", "-n", "2", "--seed", "1", "--unique"];
    let whole = folder.join("whole.csv").display().to_string();
    run(&[&call[..], &["-o", &whole]].concat())?;
    let rows = csv(&text(&std::fs::read(&whole)?));
    let texts: std::collections::BTreeSet<&String> = rows[1..].iter().map(|row| &row[1]).collect();
    ensure!(texts.len() == rows.len() - 1 && texts.len() > 30, "{} of {}", texts.len(), rows.len() - 1);
    ensure!(texts.iter().any(|text| text.contains('\n')), "no line end in {texts:?}");
    DONE
}

fn forms() -> Outcome {
    let call = ["-n", "12", "--seed", "5", "--json"];
    let with = |more: &[&str]| json(&[&["generate"], more, &call[..], &CPU].concat());
    let (typed, named) = (with(&["KING"])?, with(&["--prompt", "KING"])?);
    ensure!(typed == named && typed["prompt"] == "KING" && typed["seed"] == 5, "{typed} {named}");
    let (by_text, by_id) = (with(&["KING", "--ban-token", "e"])?, with(&["KING", "--ban-token", "43"])?);
    ensure!(by_text == by_id && by_text != typed, "{by_text} {by_id}");
    for (call, status, message) in [
        (&["generate", "a", "--ban-token", "xyz"][..], 2, "--ban-token \"xyz\" is 3 tokens of the model; expected one"),
        (&["generate", "a", "--ban-token", "\u{e9}"], 2, "is no token of the model"),
        (&["generate", "a", "--ban-token", "65"], 2, "ban-token 65: expected an id"),
        (&["generate", "a", "-p", "b"], 2, "cannot be used with"),
        (&["generate", "a", "--prompts", "-"], 2, "cannot be used with"),
    ] {
        let output = gatefold(call);
        let said = text(&output.stderr);
        ensure!(output.status.code() == Some(status) && said.contains(message), "{call:?}: {said}");
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_gatefold"));
    let output = command.env("GATEFOLD_DEVICE", "nonesuch").args(["generate", "a"]).output()?;
    ensure!(text(&output.stderr).contains("GATEFOLD_DEVICE: "), "{}", text(&output.stderr));
    let output = gatefold(&["generate", "a", "-n", "3", "--quiet", "--device", "cpu"]);
    ensure!(output.status.success() && output.stderr.is_empty(), "{}", text(&output.stderr));
    // Standard input where a file is read.
    let folder = Folder::new("forms");
    let data = "the cat sat on a mat\n".repeat(40);
    let weights = std::fs::read(project("assets/molecules/model.safetensors"))?;
    let made = folder.join("m").display().to_string();
    let train = ["train", "--data", "-", "--output", &made, "--steps", "1", "--hidden", "8"];
    for (call, input) in [
        (&["score", "-"][..], data.as_bytes()),
        (&["generate", "--prompts", "-", "-n", "1"], b"the\n"),
        (&["inspect", "-"], &weights),
        (&[&train[..], &["--batch-size", "2", "--sequence-length", "8"]].concat(), data.as_bytes()),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gatefold"));
        let device: &[&str] = if call[0] == "inspect" { &[] } else { &CPU };
        let pipes = [Stdio::piped(), Stdio::piped(), Stdio::piped()];
        let [stdin, stdout, stderr] = pipes;
        let mut child = command.args(call).args(device).stdin(stdin).stdout(stdout).stderr(stderr).spawn()?;
        child.stdin.take().expect("a pipe").write_all(input)?;
        let output = child.wait_with_output()?;
        ensure!(output.status.success(), "{call:?}: {}", text(&output.stderr));
    }
    DONE
}

fn short_help() -> Outcome {
    let main = text(&gatefold(&["-h"]).stdout);
    let names = |help: &str| -> Vec<String> {
        let lines = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
        // Lines that go on stand further in.
        let begin = lines.filter_map(|line| line.strip_prefix("  ").filter(|name| !name.starts_with(' ')));
        begin.filter_map(|line| line.split_whitespace().next()).map(String::from).collect()
    };
    let mut calls: Vec<Vec<String>> = vec![vec![]];
    calls.extend(names(&main).into_iter().map(|name| vec![name]));
    calls.extend(names(&text(&gatefold(&["bench", "-h"]).stdout)).into_iter().map(|name| vec!["bench".into(), name]));
    ensure!(calls.len() > 15, "{calls:?}");
    for call in calls.iter().filter(|call| call.last().is_none_or(|name| name != "help")) {
        for (option, most) in [("-h", 40), ("--help", usize::MAX)] {
            let call: Vec<&str> = call.iter().map(String::as_str).chain([option]).collect();
            let help = text(&gatefold(&call).stdout);
            ensure!(help.contains("Usage:"), "{call:?}: {help}");
            ensure!(help.lines().count() <= most, "{call:?}: {} lines\n{help}", help.lines().count());
            let wide = help.lines().find(|line| line.chars().count() > 80);
            ensure!(wide.is_none(), "{call:?}: {wide:?}");
        }
    }
    DONE
}
