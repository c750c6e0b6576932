//! Workloads: sizes of a model and of its use.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::error::{Error, Result};
use crate::model::{Weights, initial_weights};
use crate::network::{Cell, Nonlinearity, Shape};
use crate::text::unmarked;

/// A model's sizes, and how many sequences of how many steps it works on.
#[derive(Clone, Debug, PartialEq)]
pub struct Workload {
    /// Its name.
    pub name: String,
    /// The model.
    pub shape: Shape,
    /// Sequences side by side.
    pub batch: usize,
    /// Tokens of each.
    pub steps: usize,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    cell: String,
    vocab: usize,
    embed: usize,
    hidden: usize,
    layers: usize,
    batch: usize,
    steps: usize,
}

/// Sizes beyond this are mistakes.
const MOST: usize = 1 << 24;

impl Workload {
    /// The presets.
    pub fn presets() -> Vec<Workload> {
        Workload::read("benches/workloads.json", include_bytes!("../../benches/workloads.json")).expect("ours is right")
    }

    /// Workloads from a JSON object: `{"NAME": {"cell": "lstm", "vocab": V, "embed": E, "hidden": H, "layers": L,
    /// "batch": B, "steps": T}, ...}`.
    ///
    /// # Errors
    /// No such file: names the workload and what is wrong with it.
    pub fn read(file: &str, json: &[u8]) -> Result<Vec<Workload>> {
        let wrong = |what: String| Error::model(file, what);
        let entries: BTreeMap<String, Entry> =
            serde_json::from_slice(unmarked(json).map_err(wrong)?).map_err(|e| wrong(e.to_string()))?;
        let workload = |(name, entry): (String, Entry)| {
            let Entry { vocab, embed, hidden, layers, batch, steps, .. } = entry;
            let cell = match entry.cell.as_str() {
                "lstm" => Cell::Lstm,
                "gru" => Cell::Gru,
                "rnn" => Cell::Rnn(Nonlinearity::Tanh),
                other => return Err(wrong(format!("{name}: cell {other:?}; expected \"lstm\", \"gru\" or \"rnn\""))),
            };
            if let Some(size) = [vocab, embed, hidden, layers, batch, steps].iter().find(|n| !(1..=MOST).contains(*n)) {
                return Err(wrong(format!("{name}: a size of {size}; expected 1 to {MOST}")));
            }
            let shape = Shape { cell, vocab, embedding: embed, hidden, layers };
            Ok(Workload { name, shape, batch, steps })
        };
        entries.into_iter().map(workload).collect()
    }
}

impl Workload {
    /// Random weights of its model, as training begins with.
    pub fn weights(&self) -> Weights {
        Weights::from_tensors(initial_weights(&self.shape, 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presets_are_read() {
        let presets = Workload::presets();
        let seed = presets.iter().find(|w| w.name == "seed").unwrap();
        assert_eq!((seed.shape.vocab, seed.shape.hidden, seed.batch, seed.steps), (10_000, 256, 32, 100));
        assert_eq!(presets.len(), 5);
    }

    #[test]
    fn a_wrong_workload_is_named() {
        let with = |cell: &str, hidden: u32| {
            format!(
                r#"{{"a": {{"cell": "{cell}", "vocab": 5, "embed": 1, "hidden": {hidden}, "layers": 1, "batch": 1, "steps": 1}}}}"#
            )
        };
        let error = |json: String| Workload::read("w.json", json.as_bytes()).unwrap_err().to_string();
        assert!(error(with("mgu", 1)).contains("w.json: a: cell \"mgu\""));
        assert!(error(with("gru", 0)).contains("w.json: a: a size of 0"));
        assert!(error("{\"a\": 5}".into()).contains("w.json"));
    }
}
