//! An object a line.

use std::rc::Rc;

use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::Tag;
use crate::generate::Sequence;

#[derive(Serialize)]
struct Line<'a> {
    /// The prompt's id, else the sequence's number.
    id: &'a RawValue,
    /// The number of the sample, where the prompt has a name.
    #[serde(skip_serializing_if = "Option::is_none")]
    sample: Option<u64>,
    prompt: &'a str,
    text: &'a str,
    tokens: &'a [u32],
    finish_reason: &'static str,
    seed: u64,
    /// Under the model without filters, at temperature 1, of all tokens together.
    log_probability: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    log_probs: Option<&'a [f32]>,
}

pub(super) fn write(tag: &Tag, sequence: &Sequence, log_probs: bool, line: &mut String) {
    let number = || RawValue::from_string(tag.index.to_string()).expect("a number is JSON").into();
    let id: Rc<RawValue> = tag.id.clone().unwrap_or_else(number);
    let object = Line {
        id: &id,
        sample: tag.id.is_some().then_some(tag.sample),
        prompt: &tag.prompt,
        text: &sequence.text,
        tokens: &sequence.tokens,
        finish_reason: sequence.finish.map_or("length", |reason| reason.word()),
        seed: tag.seed,
        log_probability: sequence.log_probability(),
        log_probs: log_probs.then_some(&sequence.log_probs),
    };
    line.push_str(&serde_json::to_string(&object).expect("a line is JSON"));
    line.push('\n');
}

/// Prompt and text of a line.
pub(super) fn content(line: &str) -> Option<String> {
    let object: Value = serde_json::from_str(line).ok()?;
    Some(format!("{}{}", object["prompt"].as_str()?, object["text"].as_str()?))
}
