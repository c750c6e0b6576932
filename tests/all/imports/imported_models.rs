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

/// Small models of every kind of file in tests/imports, which make.py there made, with the logits that NumPy and ONNX's
/// reference evaluator gave.
const SMALL: [(&str, &str); 16] = [
    ("cells.npz", "npz of two LSTMCells, deflated, in part f64 and column by column"),
    ("k2.safetensors", "Keras 2: GRU with the reset before the matrix, hard_sigmoid"),
    ("k3.safetensors", "Keras 3: bidirectional GRU with the reset after it, two biases"),
    ("lstm.onnx", "ONNX: two LSTM nodes"),
    ("peep.onnx", "ONNX: LSTM with peepholes"),
    ("gru0.onnx", "ONNX: two GRU nodes, linear_before_reset 0"),
    ("gru1.onnx", "ONNX: GRU, linear_before_reset 1"),
    ("rnn.onnx", "ONNX: two RNN nodes"),
    ("relu.npz", "npz of a plain RNN with relu"),
    ("projection.npz", "npz of two LSTM layers with a projection and without biases"),
    ("order.npz", "npz of three modules whose order is not the alphabet's"),
    ("norms.npz", "npz of weight norm, spectral norm and fastai's raw weight"),
    ("sizes.npz", "npz of three LSTMs of 6, 5 and 3 units"),
    ("onehot.npz", "npz of an LSTM over one-hot vectors"),
    ("last.onnx", "ONNX: weights beside the model, the last step before the head"),
    ("folded.onnx", "ONNX: weights through Concat, Transpose, Unsqueeze and Cast, logits not the first output"),
];

pub fn trials() -> Vec<Trial> {
    let mut trials = vec![
        trial("imported model: a dry run writes nothing, --map renames and leaves out", mapped),
        trial("imported model: wrong calls and files are named", wrong_calls),
        trial("imported model: no wrong model is made in silence", refused),
    ];
    for device in devices() {
        let on = name_of(&device);
        trials.extend(SMALL.map(|(file, what)| {
            let device = device.clone();
            trial(format!("imported model: {what} on {on}"), move || small(file, &device))
        }));
    }
    trials.extend(published_models());
    trials
}

/// The CPU and every adapter, as --device takes them.
fn devices() -> Vec<String> {
    std::iter::once("cpu".to_string()).chain((0..adapters().len()).map(|i| i.to_string())).collect()
}

fn name_of(device: &str) -> String {
    device.parse().map_or("the CPU".into(), |i: usize| adapters()[i].info.name.clone())
}

/// Converts, compares with the recorded logits, generates as far as the model can, and scores.
fn small(file: &str, device: &str) -> Outcome {
    let path = |name: &str| project("tests/imports").join(name).display().to_string();
    let stem = file.split('.').next().unwrap_or_default();
    let folder = Folder::new(&format!("import-{stem}-{device}"));
    let to = folder.join("model").display().to_string();
    let reference = path(&format!("{stem}.ref.safetensors"));
    let call = ["convert", &path(file), &to, "--verify", &reference, "--tolerance", "1e-5", "--device", device];
    let activation: &[&str] = if stem == "relu" { &["--activation", "relu"] } else { &[] };
    let output = gatefold(&[&call[..], activation].concat());
    ensure!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
    let written = folder.write("text.txt", "<1><2><3><0><6>");
    let scored = gatefold(&["score", &written, "-m", &to, "--json", "--device", device]);
    ensure!(scored.status.success() && text(&scored.stdout).contains("\"tokens\":4"), "{}", text(&scored.stderr));
    let generated =
        gatefold(&["generate", "-m", &to, "-p", "<1><2>", "-n", "9", "--seed", "1", "--json", "--device", device]);
    let said = text(&generated.stderr);
    if stem == "k3" {
        ensure!(generated.status.code() == Some(1), "{:?}", generated.status);
        ensure!(said.contains("a bidirectional model reads a text from its end too"), "{said}");
        let long = folder.write("long.txt", "<1>".repeat(5000));
        let scored = gatefold(&["score", &long, "-m", &to, "--device", device]);
        ensure!(text(&scored.stderr).contains("reads it as a whole"), "{}", text(&scored.stderr));
    } else {
        ensure!(generated.status.success(), "{said}");
        let json: Value = serde_json::from_slice(&generated.stdout)?;
        ensure!(json["tokens"].as_array().map(Vec::len) == Some(9), "{json}");
        // The text written step by step has the probability that the window gives it.
        let whole = folder.write("whole.txt", format!("<1><2>{}", json["text"].as_str().unwrap_or_default()));
        let scored = gatefold(&["score", &whole, "-m", &to, "--json", "--device", device]);
        let scored: Value = serde_json::from_slice(&scored.stdout)?;
        let first = folder.write("first.txt", "<1><2>");
        let prompt: Value =
            serde_json::from_slice(&gatefold(&["score", &first, "-m", &to, "--json", "--device", device]).stdout)?;
        let nats =
            |v: &Value| v["nats_per_token"].as_f64().unwrap_or(f64::NAN) * v["tokens"].as_f64().unwrap_or(f64::NAN);
        let (steps, window) = (-json["log_probability"].as_f64().unwrap_or(f64::NAN), nats(&scored) - nats(&prompt));
        ensure!((steps - window).abs() < 1e-4, "step by step {steps} nats, as a window {window}");
    }
    DONE
}

fn mapped() -> Outcome {
    let folder = Folder::new("import-mapped");
    let source = project("tests/imports/cells.npz").display().to_string();
    let to = folder.join("model").display().to_string();
    let output = gatefold(&["convert", &source, &to, "--dry-run"]);
    let said = text(&output.stdout);
    ensure!(output.status.success() && !folder.join("model").exists(), "{said}{}", text(&output.stderr));
    for line in ["rnn.weight_hh_l1", "<- net.cells.1.*", "\"num_layers\":2", "<0>, <1>"] {
        ensure!(said.contains(line), "no `{line}` in:\n{said}");
    }
    let map = ["--map", "net._embedding.weight=output.weight", "--map", "net._linear.weight=embedding.weight"];
    let output = gatefold(&[&["convert", &source, &to, "--dry-run"][..], &map].concat());
    // Matrices of [7, 3] and [7, 4] cannot change places.
    ensure!(output.status.code() == Some(1), "{}", text(&output.stdout));
    ensure!(text(&output.stderr).contains("cells.npz"), "{}", text(&output.stderr));
    let output = gatefold(&["convert", &source, &to, "--dry-run", "--map", "net._linear.bias="]);
    ensure!(text(&output.stdout).contains("no bias in the file: zeros"), "{}", text(&output.stderr));
    DONE
}

fn wrong_calls() -> Outcome {
    let folder = Folder::new("import-wrong");
    let path = |name: &str| project("tests/imports").join(name).display().to_string();
    let (npz, lstm) = (path("cells.npz"), path("lstm.onnx"));
    let (here, to) = (folder.join("").display().to_string(), folder.join("model").display().to_string());
    let bytes = std::fs::read(&npz)?;
    let cut = folder.write("cut.npz", &bytes[..bytes.len() / 2]);
    let noise = folder.write("noise.pt", b"not a model");
    let tokens = folder.write("tokens.txt", (0..9).map(|i| format!("t{i}\n")).collect::<String>());
    let other = path("lstm.ref.safetensors");
    std::fs::create_dir(folder.join("theirs"))?;
    let theirs = folder.join("theirs").display().to_string();
    let own = folder.write("theirs/model.safetensors", std::fs::read(path("k3.safetensors"))?);
    for (call, status, parts) in [
        (&["convert", &npz][..], 2, &["Usage"][..]),
        (&["convert", &here, &to], 2, &["a folder without a manifest.json or model.json; expected a file"]),
        (&["convert", &own, &theirs], 2, &["model.safetensors is there already; --force"]),
        (&["convert", &npz, &noise], 2, &["noise.pt: there is a file; expected a folder"]),
        (&["convert", &npz, &to, "--map", "x"], 2, &["--map", "OLD=NEW"]),
        (
            &["convert", &npz, &to, "--map", "x=y"],
            1,
            &["cells.npz", "tensor `x` is to be mapped, and is not there", "net.cells.0.weight_ih"],
        ),
        (&["convert", &lstm, &to, "--map", "x=y"], 1, &["lstm.onnx", "a map is for files of named tensors"]),
        (&["convert", &cut, &to], 1, &["cut.npz", "no directory at its end"]),
        (&["convert", &noise, &to], 1, &["noise.pt", "not a file that is known here"]),
        (&["convert", "/nowhere.pt", &to], 1, &["/nowhere.pt"]),
        (&["convert", &npz, &to, "--vocab", &tokens], 1, &["tokens.txt", "9 tokens, but the model has 7"]),
        (&["convert", &npz, &to, "--verify", &other, "--device", "cpu"], 1, &["lstm.ref", "from the recorded ones"]),
        (&["convert", &npz, &to, "--verify", &npz, "--device", "cpu"], 1, &["cells.npz"]),
        (&["convert", &lstm, &to, "--verify", &other, "--device", "cpu", "--tolerance", "nan"], 1, &["at most NaN"]),
    ] {
        let output = gatefold(call);
        let said = text(&output.stderr);
        ensure!(output.status.code() == Some(status), "{call:?}: {:?} {said}", output.status);
        for part in parts {
            ensure!(said.contains(part), "{call:?}: expected `{part}` in: {said}");
        }
        ensure!(!said.contains("panicked") && !folder.join("model").exists(), "{call:?}: {said}");
    }
    ensure!(gatefold(&["convert", &npz, &to]).status.success(), "the good call");
    let again = gatefold(&["convert", &npz, &to]);
    ensure!(again.status.code() == Some(2) && text(&again.stderr).contains("--force"), "{}", text(&again.stderr));
    ensure!(gatefold(&["convert", &npz, &to, "--force"]).status.success(), "with --force");
    DONE
}

/// Graphs that change ids or mix texts, Keras's calls that are no chain, modules without an order.
fn refused() -> Outcome {
    let folder = Folder::new("import-refused");
    let to = folder.join("model").display().to_string();
    let path = |name: &str| project("tests/imports").join(name).display().to_string();
    let k2 = std::fs::read(path("k2.safetensors"))?;
    let changed = |name: &str, change: &dyn Fn(&mut Value)| -> Result<String, Box<dyn std::error::Error>> {
        let len = u64::from_le_bytes(k2[..8].try_into()?) as usize;
        let mut header: Value = serde_json::from_slice(&k2[8..8 + len])?;
        let mut keras: Value = serde_json::from_str(header["__metadata__"]["keras"].as_str().unwrap_or_default())?;
        change(&mut keras);
        header["__metadata__"]["keras"] = keras.to_string().into();
        let header = header.to_string();
        let bytes = [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &k2[8 + len..]].concat();
        Ok(folder.write(name, bytes))
    };
    let object = changed("object.safetensors", &|keras| {
        keras["layers"][3]["config"]["layer"]["config"]["activation"] =
            serde_json::json!({"class_name": "ReLU", "config": {"negative_slope": 0.5}});
    })?;
    let twice = changed("twice.safetensors", &|keras| {
        let from = |name: &str| serde_json::json!([[[name, 0, 0, {}]]]);
        for (i, name) in [(1, "embedding_1"), (2, "gru_1"), (3, "dropout")] {
            keras["layers"][i]["inbound_nodes"] = from(name);
        }
        keras["layers"][1]["inbound_nodes"] = serde_json::json!([[["embedding_1", 0, 0, {}]], [["gru_1", 0, 0, {}]]]);
        keras["output_layers"] = serde_json::json!([["td", 0, 0]]);
    })?;
    let softmax = changed("softmax.safetensors", &|keras| {
        if let Some(layers) = keras["layers"].as_array_mut() {
            layers.push(serde_json::json!({"class_name": "Softmax", "config": {"name": "again"}}));
        }
    })?;
    let unread = changed("unread.safetensors", &|keras| {
        keras["layers"][3]["config"]["name"] = "other".into();
    })?;
    for (file, part) in [
        (path("shift.onnx"), "Add: it changes ids before they reach the embedding"),
        (path("view.onnx"), "Reshape: it puts numbers of one axis into another"),
        (object, "activation is a layer of its own, ReLU"),
        (twice, "layer `gru_1` (GRU): it is called 2 times"),
        (softmax, "a second softmax"),
        (unread, "no kernel"),
    ] {
        let output = gatefold(&["convert", &file, &to]);
        let said = text(&output.stderr);
        ensure!(output.status.code() == Some(1) && said.contains(part), "{file}: expected `{part}` in {said}");
        ensure!(!folder.join("model").exists(), "{file}: a model was written");
    }
    DONE
}

fn published_models() -> Vec<Trial> {
    if !project(FOLDER).exists() {
        return vec![trial("imported model: published models", || skipped(FOLDER))];
    }
    let mut trials = Vec::new();
    for model in MODELS {
        for device in devices() {
            let on = name_of(&device);
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
    let vocabulary = gatefold::unstable::import::Vocabulary::read("vocabulary", &std::fs::read(&vocab)?)?.tokenizer;
    let prime: Vec<u32> = ids("prime_ids")[model.begins_with..].iter().map(|id| *id as u32).collect();
    let prompt = vocabulary.decode(&prime)?;
    let greedy = ids("greedy_ids");
    let count = greedy.len().to_string();
    let call = ["generate", "-m", &to, "-p", &prompt, "-n", &count, "--temperature", "0", "--json", "--device", device];
    let output = gatefold(&call);
    ensure!(output.status.success(), "{}", text(&output.stderr));
    let generated: Value = serde_json::from_slice(&output.stdout)?;
    let found: Vec<u64> =
        generated["tokens"].as_array().map(|t| t.iter().filter_map(Value::as_u64).collect()).unwrap_or_default();
    ensure!(found == greedy, "greedy ids {found:?}, expected {greedy:?}");
    DONE
}
