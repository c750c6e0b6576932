//! Weights before training.

use std::collections::BTreeMap;

use super::Config;
use crate::network::Shape;
use crate::plan::philox;

/// Weights as PyTorch's modules begin with: embeddings standard normal, recurrent layers uniform within 1/sqrt(H), other
/// products uniform within 1/sqrt(inputs). The numbers are Philox's, keyed by the seed and a tensor's place, not PyTorch's
/// own.
pub fn initial_weights(shape: &Shape, seed: u64) -> BTreeMap<String, Vec<f32>> {
    initial_weights_of(&Config::new(*shape), seed)
}

/// The same for any model.
pub fn initial_weights_of(config: &Config, seed: u64) -> BTreeMap<String, Vec<f32>> {
    let shapes = config.weight_shapes();
    let inputs = |name: &str| {
        let weight = name.strip_suffix("bias").map(|prefix| format!("{prefix}weight"));
        let of = shapes.iter().find(|(other, _)| other == weight.as_deref().unwrap_or(name));
        *of.expect("a bias has its weight").1.last().expect("a weight has inputs")
    };
    let bound = |name: &str| {
        let units = match &config.coupling {
            _ if !name.contains("rnn.") => inputs(name),
            Some(coupling) if name.starts_with("encoder.") => coupling.encoder.shape.hidden,
            _ => config.hidden_size,
        };
        1.0 / (units as f32).sqrt()
    };
    let tensor = |(place, (name, dims)): (usize, &(String, Vec<usize>))| {
        let len = dims.iter().product();
        let words = words(seed, place as u32, len);
        let values = if name.ends_with("embedding.weight") {
            words.chunks(2).flat_map(normal_pair).take(len).collect()
        } else {
            let bound = bound(name);
            words.iter().take(len).map(|w| (unit(*w) * 2.0 - 1.0) as f32 * bound).collect()
        };
        (name.clone(), values)
    };
    shapes.iter().enumerate().map(tensor).collect()
}

/// At least `len` random words, a multiple of four.
fn words(seed: u64, place: u32, len: usize) -> Vec<u32> {
    let key = [seed as u32, (seed >> 32) as u32];
    (0..len.div_ceil(4) as u64).flat_map(|i| philox([i as u32, (i >> 32) as u32, place, 0], key)).collect()
}

/// Inside 0 and 1.
fn unit(word: u32) -> f64 {
    (f64::from(word) + 0.5) / 4_294_967_296.0
}

/// Two standard normal numbers from two words, by Box and Muller.
fn normal_pair(words: &[u32]) -> [f32; 2] {
    let radius = (-2.0 * unit(words[0]).ln()).sqrt();
    let (sin, cos) = (std::f64::consts::TAU * unit(words[1])).sin_cos();
    [(radius * cos) as f32, (radius * sin) as f32]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::Cell;

    #[test]
    fn the_embedding_is_normal_and_the_rest_uniform() {
        let shape = Shape { cell: Cell::Gru, vocab: 101, embedding: 99, hidden: 64, layers: 2 };
        let weights = initial_weights(&shape, 7);
        let moments = |values: &[f32]| {
            let n = values.len() as f64;
            let mean = values.iter().map(|x| f64::from(*x)).sum::<f64>() / n;
            (mean, values.iter().map(|x| (f64::from(*x) - mean).powi(2)).sum::<f64>() / n)
        };
        let (mean, variance) = moments(&weights["embedding.weight"]);
        assert!(mean.abs() < 0.05 && (variance - 1.0).abs() < 0.05, "{mean} {variance}");
        for name in ["rnn.weight_ih_l0", "rnn.weight_hh_l1", "output.weight"] {
            let (mean, variance) = moments(&weights[name]);
            // Of U(-1/8, 1/8).
            assert!(mean.abs() < 0.01 && (variance - 1.0 / 192.0).abs() < 3e-4, "{name}: {mean} {variance}");
            assert!(weights[name].iter().all(|x| x.abs() <= 0.125));
        }
        assert_ne!(weights["rnn.weight_hh_l0"], weights["rnn.weight_hh_l1"]);
        assert_ne!(weights, initial_weights(&shape, 8));
        assert_eq!(weights, initial_weights(&shape, 7));
    }
}
