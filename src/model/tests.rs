//! Whole models, from bytes: what is wrong is named; what is written is read.

use std::collections::BTreeMap;

use super::*;
use crate::network::{Cell, Nonlinearity};

const TOKENIZER: &str = r#"{"model": {"type": "characters", "vocab": ["a", "b", "c"]}}"#;

fn config(cell: Cell, hidden: usize, tied: bool) -> Config {
    let embedding = if tied { hidden } else { 2 };
    let shape = Shape { cell, vocab: 5, embedding, hidden, layers: 2 };
    Config { tie_word_embeddings: tied, start_text: Some("a".into()), ..Config::new(shape) }
}

/// Weights that f16 holds exactly, each tensor's its own.
fn weights(config: &Config) -> Weights {
    let tensor = |(i, (name, shape)): (usize, (String, Vec<usize>))| {
        let len = shape.iter().product();
        (name, (0..len).map(|j| ((i * 7 + j) % 64) as f32 / 32.0 - 1.0).collect())
    };
    let tensors: BTreeMap<String, Vec<f32>> =
        weight_shapes(&config.shape()).into_iter().enumerate().map(tensor).collect();
    Weights::of(tensors, config)
}

fn files(config: &Config, weights: &Weights, precision: Precision) -> Files {
    let mut bytes = Vec::new();
    weights.write(&mut bytes, config, precision).unwrap();
    Files {
        config: Bytes::new(config.to_json().unwrap()),
        weights: Bytes::new(bytes),
        tokenizer: Bytes::new(TOKENIZER),
        source_tokenizer: None,
        generation_config: None,
    }
}

fn valid() -> Files {
    let config = config(Cell::Lstm, 3, false);
    files(&config, &weights(&config), Precision::F32)
}

fn message(files: &Files) -> String {
    Model::from_files("m", files).unwrap_err().to_string()
}

/// The files with a text of the same length instead of another one in the weights' header.
fn with_header(files: &Files, from: &str, to: &str) -> Files {
    assert_eq!(from.len(), to.len());
    let mut bytes = files.weights.to_vec();
    let at = bytes.windows(from.len()).position(|window| window == from.as_bytes()).expect("it is there");
    bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
    Files { weights: Bytes::new(bytes), ..files.clone() }
}

fn with_config(files: &Files, from: &str, to: &str) -> Files {
    let json = String::from_utf8(files.config.to_vec()).unwrap();
    assert!(json.contains(from), "{json}");
    Files { config: Bytes::new(json.replace(from, to)), ..files.clone() }
}

#[test]
fn what_is_written_is_read() {
    for cell in [Cell::Lstm, Cell::Gru, Cell::Rnn(Nonlinearity::Relu)] {
        for hidden in [1, 3, 65] {
            for (tied, precision) in [(false, Precision::F32), (true, Precision::F32), (true, Precision::F16)] {
                let config = config(cell, hidden, tied);
                let weights = weights(&config);
                let model = Model::from_files("m", &files(&config, &weights, precision)).unwrap();
                assert_eq!(model.config, config);
                assert_eq!(model.weights.parameters(), weights.parameters());
                for (name, shape) in weight_shapes(&config.shape()) {
                    let values = model.weights.get(&name).unwrap();
                    assert_eq!(values.len(), shape.iter().product::<usize>(), "{name}");
                    assert_eq!(values, weights.get(&name).unwrap(), "{name}");
                }
            }
        }
    }
}

#[test]
fn a_tied_model_is_counted_once() {
    let (tied, untied) = (config(Cell::Gru, 3, true), config(Cell::Gru, 3, false));
    assert_eq!(weights(&tied).parameters(), 5 * 3 + 2 * (9 * 3 * 2 + 2 * 9) + 5);
    assert_eq!(weights(&untied).parameters(), 5 * 2 + 9 * 2 + 9 * 3 + 18 + (9 * 3 * 2 + 18) + 5 * 3 + 5);
}

#[test]
fn a_tied_model_may_hold_its_output_weight_if_it_is_the_embedding() {
    let tied = config(Cell::Gru, 3, true);
    let untied = Config { tie_word_embeddings: false, ..tied.clone() };
    let mut tensors = BTreeMap::new();
    for (name, _) in weight_shapes(&tied.shape()) {
        tensors.insert(name.clone(), weights(&tied).get(&name).unwrap().into_owned());
    }
    let same = files(&untied, &Weights::from_tensors(tensors.clone()), Precision::F32);
    let same = Files { config: Bytes::new(tied.to_json().unwrap()), ..same };
    assert_eq!(Model::from_files("m", &same).unwrap().weights.parameters(), weights(&tied).parameters());
    tensors.get_mut("output.weight").unwrap()[4] = 9.0;
    let other = files(&untied, &Weights::from_tensors(tensors), Precision::F32);
    let message = message(&Files { config: same.config, ..other });
    assert!(message.contains("m/model.safetensors: tensor `output.weight` is 9 at element 4, where"), "{message}");
}

#[test]
fn types_may_be_mixed() {
    // embedding.weight [5, 2] as BF16: its offsets stay, so its last axis doubles.
    let config = Config { embedding_size: 4, ..config(Cell::Lstm, 3, false) };
    let narrow = Config { embedding_size: 2, ..config.clone() };
    let mut tensors = BTreeMap::new();
    for (name, shape) in weight_shapes(&config.shape()) {
        let len: usize = shape.iter().product();
        tensors.insert(name.clone(), vec![1.0; if name == "embedding.weight" { len / 2 } else { len }]);
    }
    let mut mixed = Vec::new();
    let mut shapes = weight_shapes(&config.shape());
    shapes[0].1 = vec![narrow.vocab_size, narrow.embedding_size];
    mixed.extend(safetensors::header(&shapes, Precision::F32, Default::default()));
    for (name, _) in &shapes {
        mixed.extend(safetensors::encode(&tensors[name], Precision::F32).unwrap());
    }
    let files = Files { config: Bytes::new(config.to_json().unwrap()), weights: Bytes::new(mixed), ..valid() };
    let files = with_header(&files, r#""F32","shape":[5, 2],"#, r#""BF16","shape":[5,4],"#);
    let model = Model::from_files("m", &files).unwrap();
    assert_eq!(model.weights.dtypes(), [Dtype::F32, Dtype::Bf16]);
    assert_eq!(model.weights.get("embedding.weight").unwrap()[..4], [0.0, 1.0, 0.0, 1.0], "1 is 0x3f800000");
}

#[test]
fn tensors_that_are_not_as_expected_are_named() {
    let files = valid();
    for (broken, expected) in [
        (
            with_header(&files, "output.bias", "output.base"),
            "m/model.safetensors: tensor `output.bias` is missing; the file has output.base, output.weight, ",
        ),
        (
            with_header(&files, "[5, 2]", "[2, 5]"),
            "m/model.safetensors: tensor `embedding.weight` has shape [2, 5]; expected [5, 2] (config.json: cell lstm, \
             vocab_size 5, embedding_size 2, hidden_size 3)",
        ),
        (with_header(&files, r#""F32""#, r#""I32""#), "tensor `embedding.weight` is I32; expected F32, F16 or BF16"),
        (
            with_config(&files, "\"num_layers\": 2", "\"num_layers\": 1"),
            "m/model.safetensors: tensor `rnn.bias_hh_l1` of shape [12] is none of the weights of 1 \
             lstm layers, which is what config.json says",
        ),
        (
            with_config(&files, "\"num_layers\": 2", "\"num_layers\": 3"),
            "m/model.safetensors: tensor `rnn.weight_ih_l2` is missing; the file has",
        ),
        (with_config(&files, "lstm", "gru"), "has shape [12, 2]; expected [9, 2] (config.json: cell gru"),
        (Files { weights: Bytes::new(files.weights[..900].to_vec()), ..files.clone() }, "cut off"),
        (Files { weights: Bytes::new([]), ..files.clone() }, "m/model.safetensors: 0 bytes; a safetensors file"),
    ] {
        let message = message(&broken);
        assert!(message.contains(expected), "{message}\nlacks {expected}");
    }
}

#[test]
fn a_missing_tensor_among_many_names_the_nearest() {
    let shape = Shape { layers: 5, ..config(Cell::Lstm, 3, false).shape() };
    let config = Config::new(shape);
    let broken =
        with_header(&files(&config, &weights(&config), Precision::F32), "embedding.weight", "embeddings.weigh");
    let message = message(&broken);
    assert!(message.contains("`embedding.weight` is missing; the file has embeddings.weigh, "), "{message}");
    assert!(message.contains(" and 19 more"), "{message}");
}

#[test]
fn a_weight_that_is_not_finite_is_named_with_its_element() {
    let files = valid();
    let mut bytes = files.weights.to_vec();
    let end = bytes.len();
    bytes[end - 8..end - 4].copy_from_slice(&f32::NAN.to_le_bytes());
    let message = message(&Files { weights: Bytes::new(bytes), ..files });
    assert!(message.contains("m/model.safetensors: tensor `output.bias` is NaN or infinite at element 3"), "{message}");
}

#[test]
fn weights_that_cannot_be_written_are_named() {
    let config = config(Cell::Gru, 1, true);
    let write = |value: f32, precision| {
        let mut tensors = BTreeMap::new();
        for (name, shape) in weight_shapes(&config.shape()) {
            tensors.insert(name, vec![value; shape.iter().product()]);
        }
        Weights::of(tensors, &config).write(&mut Vec::new(), &config, precision).map_err(|e| e.to_string())
    };
    assert_eq!(write(65504.0, Precision::F16), Ok(()));
    let message = write(70000.0, Precision::F16).unwrap_err();
    assert!(message.contains("tensor `embedding.weight` is 70000 at element 0, which F16 cannot hold"), "{message}");
    assert!(write(f32::NAN, Precision::F32).unwrap_err().contains("NaN at element 0"));
    let none = Weights::default().write(&mut Vec::new(), &config, Precision::F32).unwrap_err().to_string();
    assert!(none.contains("tensor `embedding.weight` is not there to be written"), "{none}");
}

#[test]
fn a_tokenizer_may_be_smaller_than_the_vocabulary_but_not_larger() {
    let larger = r#"{"model": {"type": "characters", "vocab": ["a", "b", "c", "d", "e", "f"]}}"#;
    let message = message(&Files { tokenizer: Bytes::new(larger), ..valid() });
    assert!(message.contains("m/tokenizer.json: 6 tokens; config.json has vocab_size 5"), "{message}");
    assert_eq!(Model::from_files("m", &valid()).unwrap().tokenizer.len(), 3);
}

#[test]
fn a_generation_config_is_read_against_the_vocabulary() {
    let with = |json: &'static str| Files { generation_config: Some(Bytes::new(json)), ..valid() };
    let model = Model::from_files("m", &with(r#"{"top_k": 5, "eos_token_id": 4}"#)).unwrap();
    assert_eq!(model.generation_config.unwrap().eos_token_id, [4]);
    let message = message(&with(r#"{"eos_token_id": 5}"#));
    assert!(message.contains("m/generation_config.json: field `eos_token_id` is 5; expected a token id"), "{message}");
}

#[test]
fn the_models_in_the_program_open_by_name() {
    for name in BUILTIN.iter().copied() {
        assert_eq!(Model::builtin(name).unwrap().name, name);
    }
    let message = Model::builtin("builtin:goethe").unwrap_err().to_string();
    assert!(message.contains("\"builtin:goethe\"; there are builtin:shakespeare"), "{message}");
}
