//! Files that somebody broke, by chance or on purpose: whatever is in them, reading ends with a value or with an
//! error that names the file, without a panic and without more memory than the file can need.

mod allocator;
mod mutations;
mod tokenizer;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;

use gatefold::Error;
use gatefold::model::{Bytes, Config, Files, GenerationConfig, Model, weight_shapes};
use gatefold::plan::Sizes;
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
    /// What every error must name.
    names: &'static str,
}

/// Opens the good file, then broken ones. The allocator counts for the whole process: one format at a time.
fn attack(format: &Format) {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    (format.open)(&format.valid).unwrap_or_else(|e| panic!("{}: the good file: {e}", format.name));
    let (mut accepted, mut worst) = (0, 0);
    for seed in 0..CASES {
        let mut rng = Rng::new(seed);
        let blind = seed % 2 == 0;
        let bytes = if blind { mutations::blind } else { format.mutate }(&mut rng, &format.valid);
        let case = format!("{}, seed {seed}, {} bytes", format.name, bytes.len());
        let (outcome, peak) = allocator::peak_of(seed, || {
            catch_unwind(AssertUnwindSafe(|| (format.open)(&bytes).map_err(|e| e.to_string())))
        });
        match outcome.unwrap_or_else(|_| panic!("{case}: a panic")) {
            Ok(()) => accepted += 1,
            Err(message) => assert!(message.contains(format.names), "{case}: no {:?} in {message:?}", format.names),
        }
        let cap = CAP_BYTES + 4 * bytes.len();
        assert!(peak <= cap, "{case}: {peak} bytes of memory; the cap is {cap}");
        worst = worst.max(peak);
    }
    println!("{}: {CASES} cases, {accepted} accepted, at most {} KiB", format.name, worst >> 10);
    assert!(accepted < CASES / 2, "{}: {accepted} of {CASES} broken files were accepted", format.name);
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

/// A good model's files, named `broken` in messages; a case replaces one of them.
fn files() -> Files {
    Files {
        config: Bytes::new(CONFIG),
        weights: Bytes::new(weights()),
        tokenizer: Bytes::new(TOKENIZER),
        generation_config: None,
    }
}

/// Opens a model and does with it what comes next: converts weights, plans and measures runs.
fn use_model(files: &Files) -> Result<(), Error> {
    let model = Model::from_files("broken", files)?;
    for (name, _) in weight_shapes(&model.shape) {
        assert!(model.weights.get(&name).expect("checked").iter().all(|x| x.is_finite()));
    }
    let plan = gatefold::generate::plan(model.shape, 0);
    plan.plan.memory(&gatefold::generate::sections(&plan), Sizes { rows: 256, time: 64 });
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
