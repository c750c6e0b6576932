//! Files that somebody broke, by chance or on purpose: whatever is in them, reading ends with a value or with an
//! error that names the file, without a panic and without more memory than the file can need.

mod allocator;
mod amplification;
mod foreign;
mod mutations;
mod tokenizer;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;

use gatefold::Error;
use gatefold::unstable::model::{Bytes, Config, Files, GenerationConfig, Model, weight_shapes};
use gatefold::unstable::plan::Sizes;
use mutations::Rng;

/// Cases of each format, half of them blind.
const CASES: u64 = 10_000;
/// Memory that a case may take, besides four times its file.
const CAP_BYTES: usize = 64 << 20;

/// A kind of file, a good one of it, and what reads it.
struct Format<'a> {
    name: &'static str,
    valid: Vec<u8>,
    /// Breaks a good file with knowledge of the format.
    mutate: fn(&mut Rng, &[u8]) -> Vec<u8>,
    open: &'a dyn Fn(&[u8]) -> Result<(), Error>,
    /// The text that every error must contain.
    names: &'static str,
}

/// The allocator counts for the whole process.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Opens the good file, then broken ones.
fn attack(format: &Format) {
    let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    (format.open)(&format.valid).unwrap_or_else(|e| panic!("{}: the good file: {e}", format.name));
    let (mut accepted, mut worst) = (0, 0);
    for seed in 0..CASES {
        let mut rng = Rng::new(seed);
        let blind = seed % 2 == 0;
        let bytes = if blind { mutations::blind } else { format.mutate }(&mut rng, &format.valid);
        match hold_to_cap(format.name, seed, bytes.len(), || (format.open)(&bytes)) {
            Ok(peak) => {
                accepted += 1;
                worst = worst.max(peak);
            }
            Err((message, peak)) => {
                let names = format.names;
                assert!(message.contains(names), "{}, seed {seed}: no {names:?} in {message:?}", format.name);
                worst = worst.max(peak);
            }
        }
    }
    println!("{}: {CASES} cases, {accepted} accepted, at most {} KiB", format.name, worst >> 10);
    assert!(accepted < CASES / 2, "{}: {accepted} of {CASES} broken files were accepted", format.name);
}

/// Runs a case on a file of this size. Fails if it panics or takes more memory than the cap; gives the error's text,
/// if any, and the peak of memory.
fn hold_to_cap(
    name: &str,
    seed: u64,
    size: usize,
    run: impl FnOnce() -> Result<(), Error>,
) -> Result<usize, (String, usize)> {
    let case = format!("{name}, seed {seed}, {size} bytes");
    let caught = || catch_unwind(AssertUnwindSafe(|| run().map_err(|e| e.to_string())));
    let (outcome, peak) = allocator::peak_of(seed, caught);
    let cap = CAP_BYTES + 4 * size;
    assert!(peak <= cap, "{case}: {peak} bytes of memory; the cap is {cap}");
    let outcome = outcome.unwrap_or_else(|_| panic!("{case}: a panic"));
    outcome.map(|()| peak).map_err(|message| (message, peak))
}

const CONFIG: &[u8] = br#"{"format_version": 1, "cell": "gru", "vocab_size": 5, "embedding_size": 3, "hidden_size": 2,
    "num_layers": 2, "tie_word_embeddings": false, "dropout": 0.1, "start_text": "a"}"#;
const TOKENIZER: &[u8] = br#"{"model": {"type": "characters", "vocab": ["a", "b", "c", "\n", "\u8bd7"]}}"#;

/// A good model.safetensors for [`CONFIG`].
fn weights() -> Vec<u8> {
    let shapes: [(&str, &[usize]); 11] = [
        ("embedding.weight", &[5, 3]),
        ("output.bias", &[5]),
        ("output.weight", &[5, 2]),
        ("rnn.bias_hh_l0", &[6]),
        ("rnn.bias_hh_l1", &[6]),
        ("rnn.bias_ih_l0", &[6]),
        ("rnn.bias_ih_l1", &[6]),
        ("rnn.weight_hh_l0", &[6, 2]),
        ("rnn.weight_hh_l1", &[6, 2]),
        ("rnn.weight_ih_l0", &[6, 3]),
        ("rnn.weight_ih_l1", &[6, 2]),
    ];
    let (mut header, mut data) = (serde_json::Map::new(), Vec::new());
    for (name, shape) in shapes {
        let first = data.len();
        let len: usize = shape.iter().product();
        data.extend((0..len).flat_map(|i| (i as f32 / 8.0 - 1.0).to_le_bytes()));
        let info = serde_json::json!({"dtype": "F32", "shape": shape, "data_offsets": [first, data.len()]});
        header.insert(name.into(), info);
    }
    let header = serde_json::Value::Object(header).to_string();
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &data].concat()
}

/// Files as large as they may be, made to take much more memory than text: under the same cap.
#[test]
fn large() {
    let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let tensors = (0..70_000).map(|i| format!(r#""{i}":{{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}"#));
    let tensors = tensors.collect::<Vec<String>>().join(",");
    let fields: Vec<String> = (0..80_000).map(|i| format!(r#""{i}":[]"#)).collect();
    let zeros = |n: usize| "0,".repeat(n);
    for header in [
        format!(r#"{{"a":{{"dtype":"F32","shape":[{}0],"data_offsets":[0,0]}}}}"#, zeros(2_000_000)),
        format!(r#"{{"a":{{"other":[{}0]}}}}"#, zeros(2_000_000)),
        format!(r#"{{"a":{{"dtype":"{}"}}}}"#, "\\n".repeat(2_000_000)),
        format!("{{{tensors}}}"),
        " ".repeat(4 << 20),
    ] {
        let bytes = [&(header.len() as u64).to_le_bytes(), header.as_bytes()].concat();
        let file = Files { weights: Bytes::new(bytes), ..files() };
        hold_to_cap("large safetensors", 0, header.len(), || use_model(&file)).unwrap_err();
    }
    for json in [format!(r#"{{"a":[{}0]}}"#, zeros(520_000)), format!("{{{}}}", fields.join(",")), zeros(1 << 20)] {
        let file = Files { config: Bytes::new(json.clone()), ..files() };
        hold_to_cap("large config", 0, json.len(), || use_model(&file)).unwrap_err();
        let read = || GenerationConfig::from_json("g", json.as_bytes(), 5).map(drop);
        let _ = hold_to_cap("large generation_config", 0, json.len(), read);
    }
}

/// A good model's files, named `broken` in messages; a case replaces one of them.
fn files() -> Files {
    Files {
        config: Bytes::new(CONFIG),
        weights: Bytes::new(weights()),
        tokenizer: Bytes::new(TOKENIZER),
        source_tokenizer: None,
        generation_config: None,
    }
}

/// Opens a model and does with it what comes next: converts weights, plans and measures runs.
fn use_model(files: &Files) -> Result<(), Error> {
    let model = Model::from_files("broken", files)?;
    for (name, _) in weight_shapes(&model.shape) {
        assert!(model.weights.get(&name).expect("checked").iter().all(|x| x.is_finite()));
    }
    let plan = gatefold::unstable::generate::plan(model.shape, 0);
    plan.plan.memory(&gatefold::unstable::generate::sections(&plan), Sizes::of(256, 64));
    Ok(())
}

#[test]
fn config() {
    let good = files();
    let open = |bytes: &[u8]| {
        Config::from_json("alone/config.json", bytes)
            .inspect_err(|e| assert!(e.to_string().contains("alone/config.json"), "{e}"))
            .ok();
        use_model(&Files { config: Bytes::new(bytes.to_vec()), ..good.clone() })
    };
    attack(&Format {
        name: "config.json",
        valid: CONFIG.to_vec(),
        mutate: mutations::json,
        open: &open,
        // A config that is well by itself may contradict another file, which is named then.
        names: "broken/",
    });
}

#[test]
fn safetensors() {
    let good = files();
    let open = |bytes: &[u8]| use_model(&Files { weights: Bytes::new(bytes.to_vec()), ..good.clone() });
    attack(&Format {
        name: "model.safetensors",
        valid: weights(),
        mutate: mutations::safetensors,
        open: &open,
        names: "broken/model.safetensors",
    });
}

#[test]
fn generation_config() {
    let valid = br#"{"max_new_tokens": 200, "temperature": 0.8, "do_sample": true, "top_k": 40, "top_p": 0.95,
        "min_p": 0.05, "repetition_penalty": 1.1, "presence_penalty": 0.5, "frequency_penalty": 0.5,
        "eos_token_id": [3, 4], "stop_strings": ["a", "bc"]}"#;
    let open = |bytes: &[u8]| GenerationConfig::from_json("broken/generation_config.json", bytes, 5).map(drop);
    attack(&Format {
        name: "generation_config.json",
        valid: valid.to_vec(),
        mutate: mutations::json,
        open: &open,
        names: "broken/generation_config.json",
    });
}

#[test]
fn tokenizer() {
    let good = files();
    let open = |bytes: &[u8]| use_model(&Files { tokenizer: Bytes::new(bytes.to_vec()), ..good.clone() });
    attack(&Format {
        name: "tokenizer.json",
        valid: TOKENIZER.to_vec(),
        mutate: mutations::json,
        open: &open,
        names: "broken/tokenizer.json",
    });
}
