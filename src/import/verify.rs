//! Whether a model gives the numbers that another program recorded.

use super::safetensors;
use crate::error::{Error, Result};
use crate::executor::{Executor, Run, Values};
use crate::model::{Bytes, Model, short};
use crate::network::LanguageModel;
use crate::plan::{SectionId, Sizes};

/// Logits at most that one recording may have.
const MAX_LOGITS: usize = 1 << 24;

/// How a model's logits compare with recorded ones.
#[derive(Clone, Debug)]
pub struct Agreement {
    /// The name of the recording.
    pub name: String,
    /// Rows and time steps.
    pub sizes: Sizes,
    /// The kind of numbers recorded: logits, log-probabilities or probabilities.
    pub of: Recorded,
    /// Largest difference of a logit, or of a log-probability.
    pub largest: f64,
    /// Positions at which the most likely token is another one.
    pub other_best: usize,
}

/// The kinds of numbers in a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recorded {
    /// The logits themselves.
    Logits,
    /// Their logarithms of a softmax.
    LogProbabilities,
    /// Their softmax.
    Probabilities,
}

impl Recorded {
    /// The kind of these rows, recognised by their sums.
    fn of(expected: &[f32], vocab: usize) -> Recorded {
        let all = |is: &dyn Fn(&[f32]) -> bool| expected.chunks(vocab).all(is);
        let one = |sum: f64| (sum - 1.0).abs() < 1e-3;
        if vocab > 1 && all(&|row| row.iter().all(|x| *x >= 0.0) && one(row.iter().map(|x| f64::from(*x)).sum())) {
            Recorded::Probabilities
        } else if vocab > 1 && all(&|row| one(row.iter().map(|x| f64::from(*x).exp()).sum())) {
            Recorded::LogProbabilities
        } else {
            Recorded::Logits
        }
    }

    /// For messages.
    pub fn name(self) -> &'static str {
        match self {
            Recorded::Logits => "logits",
            Recorded::LogProbabilities => "log-probabilities",
            Recorded::Probabilities => "probabilities",
        }
    }
}

/// A function that opens an executor: for plan, sizes and sections.
pub type Opens<'a> = &'a dyn Fn(&LanguageModel, Sizes, &[SectionId]) -> Result<Box<dyn Executor>>;

/// Compares with every recording of a safetensors file: `NAMEids`, whole numbers `[B, T]` or `[T]`, and `NAMElogits`
/// `[B, T, V]` or `[T, V]`.
///
/// # Errors
/// A file without a recording, or of another vocabulary; an executor that fails.
pub fn verify(model: &Model, file: &str, bytes: &Bytes, open: Opens) -> Result<Vec<Agreement>> {
    let wrong = |what: String| Error::model(file, what);
    let tensors = safetensors(file, bytes).map_err(wrong)?.tensors;
    let mut agreements = Vec::new();
    for (name, ids) in &tensors {
        let Some(stem) = name.strip_suffix("ids") else { continue };
        let Some(logits) = tensors.get(&format!("{stem}logits")) else { continue };
        let within = |what: String| wrong(format!("`{}`: {what}", short(name)));
        let vocab = model.shape.vocab;
        let (rows, time) = match ids.shape[..] {
            [time] => (1, time),
            [rows, time] => (rows, time),
            ref shape => return Err(within(format!("shape {shape:?}; expected [rows, time]"))),
        };
        if rows == 0 || time == 0 || logits.elements() > MAX_LOGITS {
            return Err(within(format!(
                "{rows} rows, {time} steps and {} logits; expected some, at most {MAX_LOGITS}",
                logits.elements()
            )));
        }
        if logits.elements() != rows * time * vocab || logits.shape.last() != Some(&vocab) {
            return Err(within(format!("logits of shape {:?}; expected [{rows}, {time}, {vocab}]", logits.shape)));
        }
        let (ids, expected) = (ids.values().map_err(within)?, logits.values().map_err(within)?);
        if let Some(id) = ids.iter().find(|id| !(**id >= 0.0 && **id < vocab as f32)) {
            return Err(within(format!("id {id} in a vocabulary of {vocab}")));
        }
        let found = run(model, Sizes::of(rows, time), &ids, open)?;
        let stem = stem.trim_end_matches(['_', '.', '/']);
        let recording = if stem.is_empty() { name } else { stem };
        agreements.push(compare(recording, Sizes::of(rows, time), &found, &expected, vocab));
    }
    if agreements.is_empty() {
        return Err(wrong("no recording: expected tensors `ids` [B, T] and `logits` [B, T, V]".into()));
    }
    Ok(agreements)
}

/// Logits [B, T, V] of ids [B, T].
fn run(model: &Model, sizes: Sizes, ids: &[f32], open: Opens) -> Result<Vec<f32>> {
    let plan = crate::score::plan(model.shape);
    let mut executor = open(&plan, sizes, &[plan.logits])?;
    model.weights.load_into(&mut *executor)?;
    let Sizes { rows, time, .. } = sizes;
    let input: Vec<u32> = (0..time * rows).map(|i| ids[i % rows * time + i / rows] as u32).collect();
    executor.write(plan.input, 0, Values::U32(&input))?;
    let ticket = executor.submit(&[Run::new(plan.logits, sizes, 0..1)], &[plan.window_logits])?;
    let results = executor.wait(ticket)?;
    let vocab = model.shape.vocab;
    let place = |i: usize| i % time * rows + i / time;
    Ok((0..rows * time).flat_map(|i| &results[0].real()[place(i) * vocab..][..vocab]).copied().collect())
}

fn compare(name: &str, sizes: Sizes, found: &[f32], expected: &[f32], vocab: usize) -> Agreement {
    let of = Recorded::of(expected, vocab);
    let apart = |(found, expected): (&[f32], &[f32])| -> f64 {
        let pairs = found.iter().zip(expected);
        let worst = |most: f64, x: f64| if x.is_nan() { f64::INFINITY } else { most.max(x) };
        let most = f64::from(found.iter().copied().fold(f32::NEG_INFINITY, f32::max));
        let sum = most + found.iter().map(|x| (f64::from(*x) - most).exp()).sum::<f64>().ln();
        match of {
            Recorded::Logits => pairs.map(|(a, b)| f64::from((a - b).abs())).fold(0.0, worst),
            Recorded::LogProbabilities => {
                pairs.map(|(a, b)| (f64::from(*a) - sum - f64::from(*b)).abs()).fold(0.0, worst)
            }
            // Below the least that a float of 32 bits holds exactly, its logarithm says nothing.
            Recorded::Probabilities => pairs
                .map(|(a, b)| (f64::from(*a) - sum, f64::from(*b)))
                .map(|(a, b)| if b < 1e-30 { (a - 1e-30f64.ln()).max(0.0) } else { (a - b.ln()).abs() })
                .fold(0.0, worst),
        }
    };
    let largest = found.chunks(vocab).zip(expected.chunks(vocab)).map(apart).fold(0.0, f64::max);
    let best = |row: &[f32]| row.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).map(|(i, _)| i);
    let pairs = found.chunks(vocab).zip(expected.chunks(vocab));
    let other_best = pairs.filter(|(a, b)| best(a) != best(b)).count();
    Agreement { name: name.into(), sizes, of, largest, other_best }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logits_and_what_a_softmax_makes_of_them_agree() {
        let logits = [1.0f32, -2.0, 0.5, 3.0, 3.0, -40.0];
        let softmax = |row: &[f32]| {
            let sum: f64 = row.iter().map(|x| f64::from(*x).exp()).sum();
            row.iter().map(|x| (f64::from(*x).exp() / sum) as f32).collect::<Vec<f32>>()
        };
        let probabilities: Vec<f32> = logits.chunks(3).flat_map(softmax).collect();
        let logs: Vec<f32> = probabilities.iter().map(|x| x.ln()).collect();
        let sizes = Sizes::of(1, 2);
        for (recorded, of) in [
            (&logits[..], Recorded::Logits),
            (&probabilities, Recorded::Probabilities),
            (&logs, Recorded::LogProbabilities),
        ] {
            let same = compare("r", sizes, &logits, recorded, 3);
            assert!(same.of == of && same.largest < 1e-5 && same.other_best == 0, "{same:?}");
            let other = compare("r", sizes, &[1.0, -2.0, 0.6, 3.0, 3.0, -40.0], recorded, 3);
            assert!(other.largest > 0.02, "{other:?}");
        }
    }
}
