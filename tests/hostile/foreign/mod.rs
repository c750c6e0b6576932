//! Files of other programs, a module a format. Here: what they share, safetensors of PyTorch's names, vocabularies.

mod keras;
mod npz;
mod onnx;
mod pt;
mod tensorflow;
pub mod zip;

use std::collections::BTreeMap;

use gatefold::Error;
use gatefold::unstable::import::{Options, Source, Vocabulary, import};
use gatefold::unstable::model::{Bytes, weight_shapes};
use gatefold::unstable::plan::Sizes;
use serde_json::{Value, json};

use crate::mutations::{self, Rng};
use crate::{Format, attack};

/// Names and shapes of a small GRU under PyTorch's names: 5 tokens, embeddings of 3, 2 units.
const TENSORS: [(&str, &[usize]); 7] = [
    ("decoder.bias", &[5]),
    ("decoder.weight", &[5, 2]),
    ("encoder.weight", &[5, 3]),
    ("rnn.bias_hh_l0", &[6]),
    ("rnn.bias_ih_l0", &[6]),
    ("rnn.weight_hh_l0", &[6, 2]),
    ("rnn.weight_ih_l0", &[6, 3]),
];

/// Imports a file and does with the model what comes next.
fn use_source(bytes: &[u8], files: &BTreeMap<String, Vec<u8>>) -> Result<(), Error> {
    let open = |name: &str| {
        let found = files.get(name).cloned().map(Bytes::new);
        found.ok_or_else(|| Error::model(name, "there is no such file"))
    };
    let source = Source { name: "broken/file".into(), bytes: Bytes::new(bytes.to_vec()), open: &open };
    let imported = import(&source, &Options::default())?;
    let shape = imported.config.shape();
    for (name, dims) in weight_shapes(&shape) {
        let values = imported.weights.get(&name).expect("all weights are there");
        assert_eq!(values.len(), dims.iter().product::<usize>());
        assert!(values.iter().all(|x| x.is_finite()));
    }
    let plan = gatefold::unstable::generate::plan(shape, 0);
    plan.plan.memory(&gatefold::unstable::generate::sections(&plan), Sizes::of(256, 64));
    Ok(())
}

fn attack_file(name: &'static str, valid: Vec<u8>, mutate: fn(&mut Rng, &[u8]) -> Vec<u8>) {
    let open = |bytes: &[u8]| use_source(bytes, &BTreeMap::new());
    attack(&Format { name, valid, mutate, open: &open, names: "broken/file" });
}

fn numbers(len: usize) -> Vec<u8> {
    (0..len).flat_map(|i| (i as f32 / 8.0 - 1.0).to_le_bytes()).collect()
}

fn safetensors_of(tensors: &[(&str, &[usize])], metadata: Option<&str>) -> Vec<u8> {
    let (mut header, mut data) = (serde_json::Map::new(), Vec::new());
    if let Some(text) = metadata {
        header.insert("__metadata__".into(), json!({"keras": text}));
    }
    for (name, shape) in tensors {
        let first = data.len();
        data.extend(numbers(shape.iter().product()));
        header.insert((*name).into(), json!({"dtype": "F32", "shape": shape, "data_offsets": [first, data.len()]}));
    }
    let header = Value::Object(header).to_string();
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &data].concat()
}

#[test]
fn pytorch_safetensors() {
    attack_file("safetensors of PyTorch's names", safetensors_of(&TENSORS, None), mutations::safetensors);
}

/// Vocabularies as JSON objects.
#[test]
fn vocabulary() {
    let valid = br#"{"[PAD]": 0, "[START]": 1, "[C]": 2, "[=O]": 3, "a": 4}"#.to_vec();
    let open = |bytes: &[u8]| Vocabulary::read("broken/file", bytes).map(drop);
    attack(&Format { name: "vocabulary", valid, mutate: mutations::json, open: &open, names: "broken/file" });
}
