//! The beginning of a run.

use super::Snapshot;
use crate::model::{Config, GenerationConfig, initial_weights_of};
use crate::network::Cell;

/// Tokens that a model of continuous text writes where nobody says how many.
const TEXT_TOKENS: u32 = 500;

/// The weights before the first step: PyTorch's initialisation, [`initial_weights_of`]. A tied embedding is drawn as the
/// output layer's weight is, as logits of standard normal weights would be far too large. With `forget_bias` the two
/// biases of an LSTM's forget gates are this number together.
pub fn first_weights(config: &Config, seed: u64, forget_bias: Option<f32>) -> Snapshot {
    let mut weights = initial_weights_of(config, seed);
    for (alias, name) in config.aliases() {
        let second = weights.remove(alias).expect("every weight has a shape");
        if alias == "output.weight" {
            weights.insert(name.into(), second);
        }
    }
    let stacks = match config.encoder_decoder() {
        None => vec![("rnn.", config.shape())],
        Some(shape) => vec![("encoder.rnn.", shape.coupling.encoder.shape), ("decoder.rnn.", shape.decoder)],
    };
    let lstms = stacks.into_iter().filter(|(_, shape)| shape.cell == Cell::Lstm);
    for ((prefix, shape), bias) in lstms.zip(forget_bias.into_iter().cycle()) {
        for (name, values) in weights.iter_mut().filter(|(name, _)| name.starts_with(prefix) && name.contains(".bias_"))
        {
            // Gates i f g o.
            values[shape.hidden..2 * shape.hidden].fill(if name.contains("bias_ih") { bias } else { 0.0 });
        }
    }
    weights
}

/// How the model is sampled where nobody says: at this temperature, sequences at most twice as long as the longest one
/// that it learnt.
pub fn generation_config(longest_sequence: Option<usize>, temperature: f32) -> GenerationConfig {
    GenerationConfig {
        do_sample: Some(true),
        temperature: Some(temperature),
        max_new_tokens: Some(longest_sequence.map_or(TEXT_TOKENS, |n| u32::try_from(2 * n).unwrap_or(TEXT_TOKENS))),
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::Shape;

    #[test]
    fn forget_gates_begin_open() {
        let config = Config::new(Shape { cell: Cell::Lstm, vocab: 5, embedding: 3, hidden: 4, layers: 2 });
        let (plain, open) = (first_weights(&config, 7, None), first_weights(&config, 7, Some(1.5)));
        for layer in ["l0", "l1"] {
            let (ih, hh) = (&open[&format!("rnn.bias_ih_{layer}")], &open[&format!("rnn.bias_hh_{layer}")]);
            assert_eq!((&ih[4..8], &hh[4..8]), (&[1.5; 4][..], &[0.0; 4][..]));
            assert_eq!(ih[..4], plain[&format!("rnn.bias_ih_{layer}")][..4]);
            assert_eq!(hh[8..], plain[&format!("rnn.bias_hh_{layer}")][8..]);
        }
    }

    #[test]
    fn a_tied_embedding_is_small() {
        let shape = Shape { cell: Cell::Gru, vocab: 50, embedding: 16, hidden: 16, layers: 1 };
        let weights = first_weights(&Config { tie_word_embeddings: true, ..Config::new(shape) }, 7, None);
        assert!(weights["embedding.weight"].iter().all(|x| x.abs() <= 0.25));
        assert!(!weights.contains_key("output.weight"));
    }
}
