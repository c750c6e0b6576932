//! Safetensors files with the names of Keras layers, and their description.

use serde_json::json;

use super::{attack_file, safetensors_of};
use crate::mutations::{self, Rng};

/// Layers as Keras describes them.
fn keras_description() -> String {
    json!({"keras_version": "2.4.0", "layers": [
        {"class_name": "Embedding", "config": {"name": "embedding"}},
        {"class_name": "Bidirectional", "config": {"name": "both", "merge_mode": "concat", "layer":
            {"class_name": "GRU", "config": {"return_sequences": true, "reset_after": false, "recurrent_activation": "hard_sigmoid"}}}},
        {"class_name": "Dense", "config": {"name": "dense", "activation": "softmax"}},
    ]})
    .to_string()
}

const KERAS: [(&str, &[usize]); 9] = [
    ("both/backward/bias", &[6]),
    ("both/backward/kernel", &[3, 6]),
    ("both/backward/recurrent_kernel", &[2, 6]),
    ("both/forward/bias", &[6]),
    ("both/forward/kernel", &[3, 6]),
    ("both/forward/recurrent_kernel", &[2, 6]),
    ("dense/bias", &[5]),
    ("dense/kernel", &[4, 5]),
    ("embedding/embeddings", &[5, 3]),
];

/// Half of the cases break the description of the layers, half the tensors.
fn keras_mutation(rng: &mut Rng, valid: &[u8]) -> Vec<u8> {
    if rng.below(2) == 0 {
        return mutations::safetensors(rng, valid);
    }
    let description = mutations::json(rng, keras_description().as_bytes());
    let mut tensors = KERAS.to_vec();
    if rng.below(4) == 0 {
        tensors.remove(rng.below(KERAS.len()));
    }
    safetensors_of(&tensors, Some(&String::from_utf8_lossy(&description)))
}

#[test]
fn keras_safetensors() {
    attack_file("safetensors of Keras layers", safetensors_of(&KERAS, Some(&keras_description())), keras_mutation);
}
