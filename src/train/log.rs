//! The log of a run: a JSON object a line.

use serde::{Deserialize, Serialize};

/// A line of the log: means over the steps since the line before.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// Steps that are done.
    pub step: u32,
    /// How often the corpus was read.
    pub epoch: f64,
    /// Mean loss of the targets since the line before, in nats, with dropout; absent when there was no step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss: Option<f64>,
    /// Mean loss of the validation's targets, in nats, where one was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_loss: Option<f64>,
    /// e to the power of `valid_loss`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub perplexity: Option<f64>,
    /// Of the last step.
    pub learning_rate: f32,
    /// Mean norm of the gradients before they were clipped.
    pub gradient_norm: f64,
    /// Targets that training took a second; the only number here that another run would not repeat.
    pub tokens_per_second: f64,
}

impl Line {
    /// The line, with its end.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a line is JSON") + "\n"
    }

    /// A line of a log; `None` for what is none, such as the half of one at the end.
    pub fn read(line: &[u8]) -> Option<Line> {
        serde_json::from_slice(line).ok()
    }

    /// The lines of a log.
    pub fn read_all(log: &[u8]) -> Vec<Line> {
        log.split(|byte| *byte == b'\n').filter_map(Line::read).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_back() {
        let line = Line {
            step: 7,
            epoch: 0.1 + 0.2,
            loss: Some(1.0 / 3.0),
            valid_loss: None,
            perplexity: None,
            learning_rate: 0.1,
            gradient_norm: 2.0 / 7.0,
            tokens_per_second: 1e6,
        };
        let log = format!("{}{}{{\"step\": 8", line.to_json(), line.to_json());
        assert_eq!(Line::read_all(log.as_bytes()), [line.clone(), line]);
    }
}
