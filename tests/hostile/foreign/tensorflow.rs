//! TensorFlow.js weights: a manifest, and files beside it.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{numbers, use_source};
use crate::{Format, attack, mutations};

const TENSORFLOW: [(&str, &str, &[usize]); 5] = [
    ("embedding", "embedding", &[5, 3]),
    ("rnnlm/cell_0/basic_lstm_cell/bias", "bias", &[8]),
    ("rnnlm/cell_0/basic_lstm_cell/kernel", "kernel", &[5, 8]),
    ("rnnlm/softmax_b", "softmax_b", &[5]),
    ("rnnlm/softmax_w", "softmax_w", &[2, 5]),
];

#[test]
fn tensorflow_manifest() {
    let mut manifest = serde_json::Map::new();
    let mut files = BTreeMap::new();
    for (name, file, shape) in TENSORFLOW {
        manifest.insert(name.into(), json!({"filename": file, "shape": shape}));
        files.insert(file.to_string(), numbers(shape.iter().product()));
    }
    let open = |bytes: &[u8]| use_source(bytes, &files);
    let valid = Value::Object(manifest).to_string().into_bytes();
    attack(&Format {
        name: "TensorFlow.js manifest",
        valid: valid.clone(),
        mutate: mutations::json,
        open: &open,
        names: "broken/file",
    });
    let outside = String::from_utf8(valid).expect("text").replace("\"filename\":\"bias\"", "\"filename\":\"../bias\"");
    let error = use_source(outside.as_bytes(), &files).unwrap_err().to_string();
    assert!(error.contains("not beside the manifest"), "{error}");
}
