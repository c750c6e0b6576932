//! Model folders through the program: score against generation, precisions, vocabularies of 32,000 words and of
//! Chinese, start and stop, and calls that go wrong.

use std::path::{Path, PathBuf};

use gatefold::unstable::host::replace_model;
use gatefold::unstable::model::{Config, Model, Precision, Weights, initial_weights};
use gatefold::unstable::network::{Cell, Shape};
use gatefold::unstable::text::Tokenizer;
use libtest_mimic::Trial;
use serde_json::Value;

use crate::command_line::{gatefold, text};
use crate::context::{DONE, Outcome, trial, trials_per_adapter};
use crate::ensure;

pub fn trials() -> Vec<Trial> {
    let mut trials = vec![
        trial("model folders: score agrees with generation on the CPU", || score_agrees("cpu")),
        trial("model folders: score takes each line as a text on the CPU", || lines_agree("cpu")),
        trial("model folders: lines that cannot be scored are named", wrong_lines),
        trial("model folders: f16 and bf16 within 0.01 nats of f32", precisions),
        trial("model folders: 32,000 words of a tokenizer.json", many_words),
        trial("model folders: Chinese characters", chinese),
        trial("model folders: bos begins, eos and stop texts end", start_and_stop),
        trial("model folders: score reads files piece by piece, and standard input", pieces),
        trial("model folders: wrong calls name file, tensor, found and expected", wrong_calls),
    ];
    trials.extend(trials_per_adapter("model folders: score agrees with generation", |adapter| {
        score_agrees(&adapter.to_string())
    }));
    trials.extend(trials_per_adapter("model folders: score takes each line as a text", |adapter| {
        lines_agree(&adapter.to_string())
    }));
    trials
}

/// A folder that is removed when it goes out of scope.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("gatefold-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a temporary folder");
        Folder(path)
    }

    pub fn write(&self, name: &str, contents: impl AsRef<[u8]>) -> String {
        let path = self.0.join(name);
        std::fs::write(&path, contents).expect("a temporary file");
        path.display().to_string()
    }
}

impl std::ops::Deref for Folder {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A model of random weights with this tokenizer.
pub fn model(cell: Cell, tokenizer: Tokenizer, change: impl FnOnce(&mut Config)) -> Model {
    let shape = Shape { cell, vocab: tokenizer.len(), embedding: 24, hidden: 40, layers: 2 };
    let mut config = Config::new(shape);
    change(&mut config);
    let weights = Weights::from_tensors(initial_weights(&shape, 5));
    Model { name: "test".into(), config, shape, generation_config: None, weights, tokenizer, source_tokenizer: None }
}

/// Runs the program on a model and gives the JSON that it prints.
pub fn json(call: &[&str]) -> Result<Value, String> {
    let output = gatefold(call);
    match serde_json::from_slice(&output.stdout) {
        Ok(value) if output.status.success() => Ok(value),
        _ => Err(format!("{call:?}: {:?} {} {}", output.status, text(&output.stdout), text(&output.stderr))),
    }
}

/// The log-probability of a text is the same whether it is generated or scored.
fn score_agrees(device: &str) -> Outcome {
    let folder = Folder::new(&format!("agrees-{device}"));
    let call = ["generate", "-n", "300", "--seed", "11", "--json", "--device", device];
    let generated = json(&call)?;
    let written = generated["text"].as_str().ok_or("no text")?;
    // The embedded model begins with a line end, which is read and not scored.
    let file = folder.write("text.txt", format!("\n{written}"));
    let scored = json(&["score", &file, "--json", "--device", device])?;
    let tokens = scored["tokens"].as_f64().ok_or("no tokens")?;
    ensure!(tokens == 300.0, "{tokens} tokens");
    let nats = scored["nats_per_token"].as_f64().ok_or("no nats")?;
    let expected = generated["log_probability"].as_f64().ok_or("no log-probability")?;
    ensure!((nats * tokens + expected).abs() < 1e-4, "{} by score, {expected} by generation", -nats * tokens);
    let bits = scored["bits_per_byte"].as_f64().ok_or("no bits")?;
    ensure!((bits - nats * tokens / 300.0 / std::f64::consts::LN_2).abs() < 1e-6, "{bits} bits per byte");
    ensure!((scored["perplexity"].as_f64().ok_or("none")? - nats.exp()).abs() < 1e-6, "perplexity");
    ensure!(scored["tokens_per_second"].as_f64() > Some(0.0) && scored["adapter"].is_string(), "{scored}");
    DONE
}

/// Many lines side by side have the log-probabilities of their generation, or of each alone, however lines end.
fn lines_agree(device: &str) -> Outcome {
    let folder = Folder::new(&format!("lines-{device}"));
    let objects = |output: std::process::Output| -> Result<Vec<Value>, String> {
        ensure!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout).lines().map(|line| serde_json::from_str(line).map_err(|e| e.to_string())).collect()
    };
    // Between bos and eos; more lines than rows.
    let model = ["--model", "builtin:molecules", "--device", device];
    let call = ["generate", "--count", "150", "--seed", "9", "--format", "jsonl"];
    let generated = objects(gatefold(&[&call[..], &model].concat()))?;
    let texts: Vec<&str> = generated.iter().filter_map(|line| line["text"].as_str()).collect();
    ensure!(texts.len() == 150 && generated.iter().all(|line| line["finish_reason"] == "eos"), "{generated:?}");
    // An empty line, ends of Windows, no end of the last one.
    let file = folder.write("molecules.smi", format!("{}\n\r\n{}", texts[..70].join("\n"), texts[70..].join("\r\n")));
    let scored = objects(gatefold(&[&["score", &file, "--lines", "--each"][..], &model].concat()))?;
    ensure!(scored.len() == 150, "{} lines", scored.len());
    let nats = |line: &Value| line["log_probability"].as_f64().unwrap_or(f64::NAN);
    for ((number, line), expected) in (1u64..).filter(|n| *n != 71).zip(&scored).zip(&generated) {
        ensure!(line["line"] == number && line["text"] == expected["text"], "{line} is not {expected}");
        ensure!(line["tokens"].as_u64() == expected["tokens"].as_array().map(|t| t.len() as u64), "{line}");
        ensure!((nats(line) - nats(expected)).abs() < 1e-4, "{line}, {expected} by generation");
    }
    let all = json(&[&["score", &file, "--lines", "--json"][..], &model].concat())?;
    let (tokens, per_token) = (all["tokens"].as_f64().ok_or("none")?, all["nats_per_token"].as_f64().ok_or("none")?);
    ensure!(all["lines"] == 150, "{all}");
    ensure!((tokens * per_token + scored.iter().map(nats).sum::<f64>()).abs() < 1e-6 * tokens, "{all}");
    // Without bos and eos; longer than a window; beside shorter ones.
    let long = ["To be, or not to be: ".repeat(15), "O".into(), "that is".into(), "the question. ".repeat(12)];
    let file = folder.write("long.txt", long.join("\n"));
    let scored = objects(gatefold(&["score", &file, "--lines", "--each", "--device", device]))?;
    for (line, text) in scored.iter().zip(&long) {
        if text.len() == 1 {
            ensure!(line["tokens"] == 0 && nats(line) == 0.0, "{line}");
            continue;
        }
        let alone = json(&["score", &folder.write("alone.txt", text), "--json", "--device", device])?;
        let expected = alone["tokens"].as_f64().ok_or("none")? * alone["nats_per_token"].as_f64().ok_or("none")?;
        ensure!(line["tokens"] == alone["tokens"] && (nats(line) + expected).abs() < 1e-4, "{line}, alone {alone}");
    }
    ensure!(scored.len() == 4, "{scored:?}");
    DONE
}

fn wrong_lines() -> Outcome {
    let folder = Folder::new("wrong-lines");
    let score = |name: &str, contents: &str, more: &[&str]| {
        let file = folder.write(name, contents);
        let output = gatefold(&[&["score", &file, "--model", "builtin:molecules", "--device", "cpu"], more].concat());
        (output.status.code(), text(&output.stderr).replace(&file, name))
    };
    let (status, message) = score("a.smi", "CCO\n\nC\u{e9}C\n", &["--lines"]);
    ensure!(
        status == Some(1) && message.contains("a.smi: character") && message.contains("line 3, column 2"),
        "{message}"
    );
    let (status, message) = score("b.smi", "\n\r\n\n", &["--lines"]);
    ensure!(status == Some(1) && message.contains("b.smi: no token to score"), "{message}");
    for call in [&["--each"][..], &["--lines", "--each", "--json"]] {
        let (status, message) = score("c.smi", "CCO\n", call);
        ensure!(status == Some(2), "{call:?}: {message}");
    }
    let (status, message) = score("c.smi", "CCO\n", &["--lines", "--on-unknown", "skip"]);
    ensure!(status == Some(0), "{message}");
    // Nobody reads the lines: that is no error.
    let file = folder.write("d.smi", "CCO\n".repeat(5000));
    let call = ["score", &file, "--model", "builtin:molecules", "--device", "cpu", "--lines", "--each"];
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_gatefold"));
    let mut child =
        command.args(call).stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn()?;
    drop(child.stdout.take());
    let output = child.wait_with_output()?;
    ensure!(output.status.success(), "{:?} {}", output.status, text(&output.stderr));
    DONE
}

fn precisions() -> Outcome {
    let folder = Folder::new("precisions");
    let file = folder.write("text.txt", "It was the best of times, it was the worst of times.".repeat(40));
    let of_model = model(Cell::Gru, Tokenizer::bytes(), |_| {});
    let mut nats = Vec::new();
    for (name, precision) in [("f32", Precision::F32), ("f16", Precision::F16)] {
        replace_model(folder.join(name), &of_model, precision)?;
    }
    // Ours are not written in bf16: the f32 file's words lose their low halves here.
    to_bf16(&folder)?;
    for name in ["f32", "f16", "bf16"] {
        let model = folder.join(name).display().to_string();
        let scored = json(&["score", &file, "--model", &model, "--json", "--device", "cpu"])?;
        nats.push(scored["nats_per_token"].as_f64().ok_or("no nats")?);
    }
    ensure!(nats[0] > 1.0, "{nats:?}");
    ensure!((nats[1] - nats[0]).abs() < 1e-2 && (nats[2] - nats[0]).abs() < 1e-2, "f32, f16, bf16: {nats:?}");
    ensure!(nats[1] != nats[0] && nats[2] != nats[0], "the precision made no difference: {nats:?}");
    DONE
}

/// The folder `bf16` from the folder `f32`.
fn to_bf16(folder: &Folder) -> Result<(), libtest_mimic::Failed> {
    let (from, to) = (folder.join("f32"), folder.join("bf16"));
    std::fs::create_dir_all(&to)?;
    for name in ["config.json", "tokenizer.json"] {
        std::fs::copy(from.join(name), to.join(name))?;
    }
    let bytes = std::fs::read(from.join("model.safetensors"))?;
    let (mut header, mut data) = (serde_json::Map::new(), Vec::new());
    for tensor in gatefold::unstable::model::read_header("f32", &bytes)? {
        let begin = data.len();
        for b in bytes[tensor.place()].chunks_exact(4) {
            let value = f32::from_le_bytes(b.try_into().expect("four bytes"));
            data.extend(half::bf16::from_f32(value).to_le_bytes());
        }
        let place = serde_json::json!({"dtype": "BF16", "shape": tensor.shape, "data_offsets": [begin, data.len()]});
        header.insert(tensor.name, place);
    }
    let header = Value::from(header).to_string();
    let file = [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &data].concat();
    std::fs::write(to.join("model.safetensors"), file)?;
    Ok(())
}

fn many_words() -> Outcome {
    let folder = Folder::new("words");
    let vocab: serde_json::Map<String, Value> =
        (0..32_000u32).map(|i| (if i == 0 { "[UNK]".into() } else { format!("w{i}") }, i.into())).collect();
    let tokenizer = serde_json::json!({
        "version": "1.0",
        "added_tokens": [],
        "pre_tokenizer": {"type": "WhitespaceSplit"},
        "model": {"type": "WordLevel", "vocab": vocab, "unk_token": "[UNK]"},
    });
    let tokenizer = Tokenizer::from_json(tokenizer.to_string().as_bytes(), "tokenizer.json")?;
    replace_model(&*folder, &model(Cell::Lstm, tokenizer, |_| {}), Precision::F16)?;
    let folder_name = folder.display().to_string();
    ensure!(json(&["inspect", "--json", &folder_name])?["tokenizer"] == "WordLevel (tokenizer.json)", "inspect");
    let call = ["generate", "-m", &folder_name, "-p", "w31999 w7", "-n", "20", "--seed", "1", "--json"];
    let generated = json(&[&call[..], &["--device", "cpu"]].concat())?;
    ensure!(generated["tokens"].as_array().map(Vec::len) == Some(20), "{generated}");
    // The text written, scored after the prompt, is these tokens again.
    let written = generated["text"].as_str().ok_or("no text")?;
    let file = folder.write("text.txt", format!("w31999 w7 {}", written.trim_start()));
    let scored = json(&["score", &file, "-m", &folder_name, "--json", "--device", "cpu"])?;
    ensure!(scored["tokens"] == 21, "{scored}");
    let unknown = folder.write("unknown.txt", "w1 w2\nw3 nonsense w4");
    let output = gatefold(&["score", &unknown, "-m", &folder_name, "--device", "cpu"]);
    let said = text(&output.stderr);
    ensure!(output.status.code() == Some(1) && said.contains("line 2"), "{said}");
    for (what, tokens) in [("skip", 3), ("unk", 4)] {
        let call = ["score", &unknown, "-m", &folder_name, "--json", "--device", "cpu", "--on-unknown", what];
        ensure!(json(&call)?["tokens"] == tokens, "{what}");
    }
    DONE
}

fn chinese() -> Outcome {
    let folder = Folder::new("chinese");
    let tokenizer = Tokenizer::characters("床前明月光，疑是地上霜。举头望故乡思低\n".chars())?;
    replace_model(&*folder, &model(Cell::Gru, tokenizer, |c| c.start_text = Some("\n".into())), Precision::F32)?;
    let folder_name = folder.display().to_string();
    let call = ["generate", "-m", &folder_name, "-n", "30", "--seed", "4", "--device", "cpu"];
    let generated = json(&[&call[..], &["--json", "-p", "床前"]].concat())?;
    let written = generated["text"].as_str().ok_or("no text")?;
    ensure!(written.chars().count() == 30 && written.chars().any(|c| c > '\u{4e00}'), "{written}");
    let streamed = gatefold(&[&call[..], &["-p", "床前"]].concat());
    ensure!(text(&streamed.stdout) == format!("床前{written}\n"), "{} {written}", text(&streamed.stdout));
    let file = folder.write("poem.txt", format!("床前{written}"));
    ensure!(json(&["score", &file, "-m", &folder_name, "--json", "--device", "cpu"])?["tokens"] == 31, "tokens");
    let unknown = gatefold(&[&call[..], &["-p", "床前龙"]].concat());
    ensure!(text(&unknown.stderr).contains("'龙' (U+9F99) at line 1, column 3"), "{}", text(&unknown.stderr));
    DONE
}

fn start_and_stop() -> Outcome {
    let folder = Folder::new("start");
    let folder_name = folder.display().to_string();
    let tokenizer = || Tokenizer::characters("abcdefgh".chars());
    let call = ["generate", "-m", &folder_name, "-n", "400", "--seed", "4", "--device", "cpu", "--json"];

    replace_model(&*folder, &model(Cell::Lstm, tokenizer()?, |_| {}), Precision::F32)?;
    let output = gatefold(&call);
    let said = text(&output.stderr);
    ensure!(output.status.code() == Some(2) && said.contains("needs a prompt; --prompt gives one"), "{said}");
    replace_model(&*folder, &model(Cell::Lstm, tokenizer()?, |c| c.start_text = Some("a!".into())), Precision::F32)?;
    let said = text(&gatefold(&call).stderr);
    ensure!(said.contains("config.json: start_text: character '!' (U+0021) at line 1, column 2"), "{said}");
    replace_model(&*folder, &model(Cell::Lstm, tokenizer()?, |_| {}), Precision::F32)?;

    let plain = json(&[&call[..], &["-p", "ab"]].concat())?;
    ensure!(plain["finish_reason"] == "length", "{plain}");
    let whole = plain["text"].as_str().ok_or("no text")?.to_string();
    let stop = &whole[200..203];
    let stopped = json(&[&call[..], &["-p", "ab", "--stop", stop, "--stop", "zzz"]].concat())?;
    let cut = whole.find(stop).ok_or("the text has it")?;
    ensure!(stopped["text"] == whole[..cut] && stopped["finish_reason"] == "stop", "{stopped}");

    let with_ids = model(Cell::Lstm, tokenizer()?, |c| {
        c.bos_token_id = Some(0);
        c.eos_token_id = vec![7];
    });
    replace_model(&*folder, &with_ids, Precision::F32)?;
    let ended = json(&call)?;
    let text_of = ended["text"].as_str().ok_or("no text")?;
    ensure!(ended["finish_reason"] == "eos" && !text_of.contains('h'), "{ended}");
    ensure!(ended["tokens"].as_array().and_then(|t| t.last()) == Some(&Value::from(7)), "{ended}");
    // With bos every token of a text counts.
    let file = folder.write("text.txt", "abc");
    ensure!(json(&["score", &file, "-m", &folder_name, "--json", "--device", "cpu"])?["tokens"] == 3, "with bos");
    DONE
}

/// Standard input and pieces of any size give what a file gives; characters lie across pieces' ends.
fn pieces() -> Outcome {
    let folder = Folder::new("pieces");
    let tokenizer = Tokenizer::characters("é床x\n".chars())?;
    replace_model(&*folder, &model(Cell::Gru, tokenizer, |_| {}), Precision::F32)?;
    let folder_name = folder.display().to_string();
    let long: String = "xé床\n".repeat(30_000);
    let file = folder.write("long.txt", &long);
    let scored = json(&["score", &file, "-m", &folder_name, "--json", "--device", "cpu"])?;
    ensure!(scored["tokens"] == 4 * 30_000 - 1, "{scored}");
    let call = ["score", "-", "-m", &folder_name, "--json", "--device", "cpu"];
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_gatefold"))
        .args(call)
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()?;
    std::io::Write::write_all(&mut child.stdin.take().ok_or("no stdin")?, long.as_bytes())?;
    let piped: Value = serde_json::from_slice(&child.wait_with_output()?.stdout)?;
    ensure!(piped["nats_per_token"] == scored["nats_per_token"], "{piped} {scored}");
    DONE
}

fn wrong_calls() -> Outcome {
    let folder = Folder::new("wrong");
    let folder_name = folder.display().to_string();
    let empty = folder.write("empty.txt", "");
    let broken = folder.write("broken.txt", b"abc\n\xff\xfe");
    let one = folder.write("one.txt", "a");
    for (call, status, parts) in [
        (&["score", "/nonexistent/text.txt"][..], 1, &["/nonexistent/text.txt", "No such file"][..]),
        (&["score", &empty], 1, &["empty.txt", "no token to score"]),
        (&["score", &one], 1, &["one.txt", "from its second token on"]),
        (&["score", &broken], 1, &["broken.txt", "UTF-8", "line 2"]),
        (&["score", &one, "-m", "/nonexistent/model"], 1, &["/nonexistent/model"]),
        (&["score", &one, "-m", "builtin:nothing"], 1, &["builtin:nothing", "builtin:shakespeare"]),
        (&["score", &one, "-m", &folder_name], 1, &["config.json"]),
        (&["score"], 2, &["Usage"]),
        (&["generate", "--on-unknown", "unk"], 2, &["--on-unknown unk", "unk_token_id"]),
        (&["generate", "--stop", ""], 2, &["--stop"]),
        (&["completions", "nosuchshell"], 2, &["nosuchshell"]),
    ] {
        let output = gatefold(&[call, &["--device", "cpu"][..if call[0] == "completions" { 0 } else { 2 }]].concat());
        let said = text(&output.stderr);
        ensure!(output.status.code() == Some(status), "{call:?}: {:?} {said}", output.status);
        for part in parts {
            ensure!(said.contains(part), "{call:?}: expected `{part}` in: {said}");
        }
        ensure!(!said.contains("panicked"), "{call:?}: {said}");
    }
    DONE
}
