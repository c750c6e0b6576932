//! generation_config.json: how a model's author would have it sampled.

use serde::Serialize;

use super::fields::{Fields, write_ids};
use crate::error::Result;

/// generation_config.json, under Hugging Face's names. Whoever generates has the last word; what is `None` here is
/// left to the program's defaults.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct GenerationConfig {
    /// Tokens after the prompt at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_new_tokens: Option<u32>,
    /// Divides the logits; 0 takes the most likely token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f32>,
    /// `false` takes the most likely token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub do_sample: Option<bool>,
    /// Only the k most likely tokens; 0 means all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_k: Option<u32>,
    /// Only the most likely tokens that have this much probability together, in (0, 1].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_p: Option<f32>,
    /// Only tokens that have this share of the likeliest token's probability, in [0, 1].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_p: Option<f32>,
    /// Divides positive logits of tokens that stand in the text and multiplies negative ones; 1 changes nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repetition_penalty: Option<f32>,
    /// Taken from the logits of tokens that stand in the text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub presence_penalty: Option<f32>,
    /// Taken from a token's logit once for each time it stands in the text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frequency_penalty: Option<f32>,
    /// Tokens that end a text, instead of config.json's; in the file one id or a list.
    #[serde(skip_serializing_if = "Vec::is_empty", serialize_with = "write_ids")]
    pub eos_token_id: Vec<u32>,
    /// Texts that end a text; in the file one or a list.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_strings: Option<Vec<String>>,
}

impl GenerationConfig {
    /// Reads a file; `file` is its name in messages. Ids must be below `vocab`.
    ///
    /// # Errors
    /// Not a JSON object, a field of another type or out of range.
    pub fn from_json(file: &str, json: &[u8], vocab: usize) -> Result<GenerationConfig> {
        let fields = Fields::parse(file, json)?;
        let count = |field, range| -> Result<Option<u32>> { Ok(fields.integer(field, range)?.map(|n| n as u32)) };
        let penalty = |field| fields.real(field, "a number from -2 to 2", |x| (-2.0..=2.0).contains(&x));
        // Below 0.001 logits would overflow when divided.
        let temperature = |x: f32| x == 0.0 || x >= 1e-3;
        Ok(GenerationConfig {
            max_new_tokens: count("max_new_tokens", 1..=u64::from(u32::MAX - 1))?,
            temperature: fields.real("temperature", "0 (the most likely token), or 0.001 and more", temperature)?,
            do_sample: fields.flag("do_sample")?,
            top_k: count("top_k", 0..=u64::from(u32::MAX))?,
            top_p: fields.real("top_p", "a number above 0, up to 1", |x| x > 0.0 && x <= 1.0)?,
            min_p: fields.real("min_p", "a number from 0 to 1", |x| (0.0..=1.0).contains(&x))?,
            repetition_penalty: fields.real("repetition_penalty", "a number above 0", |x| x > 0.0)?,
            presence_penalty: penalty("presence_penalty")?,
            frequency_penalty: penalty("frequency_penalty")?,
            eos_token_id: fields.ids("eos_token_id", vocab)?,
            stop_strings: fields.texts("stop_strings")?,
        })
    }

    /// The file's text. Ids must be below `vocab`.
    ///
    /// # Errors
    /// Values that [`GenerationConfig::from_json`] would refuse.
    pub fn to_json(&self, vocab: usize) -> Result<String> {
        let read = |json: &[u8]| GenerationConfig::from_json("generation_config.json", json, vocab);
        super::checked_json(self, |json| Ok(read(json)? == *self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<GenerationConfig> {
        GenerationConfig::from_json("generation_config.json", json.as_bytes(), 100)
    }

    #[test]
    fn every_field_is_optional_and_comes_back() {
        assert_eq!(read("{\"_from_model_config\": true}").unwrap(), GenerationConfig::default());
        let config = read(
            r#"{"max_new_tokens": 200, "temperature": 0.8, "do_sample": true, "top_k": 0, "top_p": 0.95, "min_p": 0,
                "repetition_penalty": 1.1, "presence_penalty": -0.5, "frequency_penalty": 2,
                "eos_token_id": [7, 99], "stop_strings": "\n\n"}"#,
        );
        let config = config.unwrap();
        assert_eq!((config.temperature, config.top_k, config.min_p), (Some(0.8), Some(0), Some(0.0)));
        assert_eq!(
            (&config.eos_token_id[..], config.stop_strings.as_deref()),
            (&[7, 99][..], Some(&["\n\n".into()][..]))
        );
        assert_eq!(read(&config.to_json(100).unwrap()).unwrap(), config);
        assert!(config.to_json(99).is_err(), "id 99 in a vocabulary of 99");
    }

    #[test]
    fn ranges_are_checked() {
        for (json, expected) in [
            ("{\"temperature\": -1}", "generation_config.json: field `temperature` is -1; expected 0 (the most likely"),
            ("{\"temperature\": 1e-5}", "or 0.001 and more"),
            ("{\"temperature\": 1e300}", "field `temperature` is 1e+300"),
            ("{\"top_p\": 0}", "field `top_p` is 0; expected a number above 0, up to 1"),
            ("{\"min_p\": 1.5}", "field `min_p` is 1.5; expected a number from 0 to 1"),
            ("{\"top_k\": -1}", "field `top_k` is -1; expected a whole number from 0"),
            ("{\"max_new_tokens\": 0}", "expected a whole number from 1 to 4294967294"),
            ("{\"repetition_penalty\": 0}", "expected a number above 0"),
            ("{\"presence_penalty\": 3}", "expected a number from -2 to 2"),
            ("{\"do_sample\": 1}", "expected true or false"),
            (
                "{\"eos_token_id\": 100}",
                "field `eos_token_id` is 100; expected a token id, or a list of token ids, below",
            ),
            ("{\"stop_strings\": [\"a\", \"\"]}", "field `stop_strings` is [\"a\",\"\"]; expected a text"),
        ] {
            let message = read(json).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}\nlacks {expected}");
        }
    }
}
