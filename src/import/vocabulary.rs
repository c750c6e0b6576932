//! Vocabularies in the forms in which people keep them.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::error::{Error, Result};
use crate::model::short;
use crate::text::{Tokenizer, unmarked};

/// Bytes of a file that is not a tokenizer.json or a plain list at most: JSON takes many times its text in memory.
const MAX_BYTES: usize = 1 << 20;
/// Ids at most, as in config.json.
const MAX_TOKENS: u64 = 1 << 20;

/// Names that mark something, by what they mark.
const BOS: [&str; 6] = ["<bos>", "[bos]", "<s>", "[start]", "<start>", "[cls]"];
const EOS: [&str; 6] = ["<eos>", "[eos]", "</s>", "[end]", "<end>", "<|endoftext|>"];
const PAD: [&str; 4] = ["<pad>", "[pad]", "<blank>", "_pad_"];
const UNK: [&str; 4] = ["<unk>", "[unk]", "<oov>", "[oov]"];

/// A tokenizer, and the tokens in it that mark something.
#[derive(Clone, Debug)]
pub struct Vocabulary {
    /// Text to ids and back.
    pub tokenizer: Tokenizer,
    /// Begins a text.
    pub bos: Option<u32>,
    /// Ends one.
    pub eos: Option<u32>,
    /// Fills rows.
    pub pad: Option<u32>,
    /// Stands for what is not there.
    pub unk: Option<u32>,
}

impl Vocabulary {
    /// Reads a tokenizer.json, a list of tokens (JSON or one a line), a JSON object of ids by token or tokens by id, or
    /// an object whose `chars`, `tokens` or `vocab` is one of these.
    ///
    /// # Errors
    /// None of these; ids with holes; what [`Tokenizer`] says.
    pub fn read(file: &str, bytes: &[u8]) -> Result<Vocabulary> {
        let bytes = unmarked(bytes).map_err(|what| Error::Text(format!("{file}: {what}")))?;
        let begins = bytes.iter().find(|b| !b.is_ascii_whitespace());
        if begins != Some(&b'{') {
            let tokens = Tokenizer::from_vocabulary(bytes, file)?;
            let texts = (0..tokens.len() as u32).map(|id| tokens.token_text(id).unwrap_or_default()).collect();
            return Vocabulary::of_tokens(texts, file);
        }
        let is_tokenizer = bytes.windows(8).any(|w| w == b"\"model\":") || bytes.windows(7).any(|w| w == b"\"model\"");
        if is_tokenizer && let Ok(tokenizer) = Tokenizer::from_json(bytes, file) {
            return Ok(Vocabulary { unk: tokenizer.unknown_id(), tokenizer, bos: None, eos: None, pad: None });
        }
        if bytes.len() > MAX_BYTES {
            return Err(Error::Text(format!("{file}: {} bytes; expected at most {MAX_BYTES}", bytes.len())));
        }
        let value: Value = serde_json::from_slice(bytes).map_err(|e| Error::Text(format!("{file}: {e}")))?;
        let inner = ["chars", "tokens", "vocab"].iter().find_map(|key| value.get(key).filter(|v| !v.is_number()));
        let tokens = tokens_of(inner.unwrap_or(&value)).map_err(|e| Error::Text(format!("{file}: {e}")))?;
        Vocabulary::of_tokens(tokens, file)
    }

    /// Tokens `<0>`, `<1>` and so on, where nobody says what they are.
    ///
    /// # Errors
    /// None for a vocabulary that a model may have.
    pub fn of_numbers(count: usize) -> Result<Vocabulary> {
        Vocabulary::of_tokens((0..count).map(|i| format!("<{i}>")).collect(), "vocabulary")
    }

    fn of_tokens(tokens: Vec<String>, file: &str) -> Result<Vocabulary> {
        let find = |names: &[&str]| {
            let at = tokens.iter().position(|token| names.contains(&token.to_lowercase().as_str()));
            at.map(|at| at as u32)
        };
        let [bos, eos, pad, unk] = [&BOS[..], &EOS, &PAD, &UNK].map(find);
        let mut special = serde_json::Map::new();
        for id in [bos, eos, pad, unk].into_iter().flatten() {
            special.insert(tokens[id as usize].clone(), id.into());
        }
        let characters = special.is_empty() && tokens.iter().all(|token| token.chars().count() == 1);
        let kind = if characters { "characters" } else { "list" };
        let json = serde_json::json!({"model": {"type": kind, "vocab": tokens, "special": special}});
        let tokenizer = Tokenizer::from_json(json.to_string().as_bytes(), file)?;
        Ok(Vocabulary { tokenizer, bos, eos, pad, unk })
    }
}

/// Tokens in the order of their ids.
fn tokens_of(value: &Value) -> std::result::Result<Vec<String>, String> {
    if let Some(items) = value.as_array() {
        let text = |item: &Value| item.as_str().map(str::to_string).ok_or("a token that is no text".to_string());
        return items.iter().map(text).collect();
    }
    let entries = value.as_object().ok_or("expected a list of tokens, or an object of ids by token or tokens by id")?;
    let mut by_id = BTreeMap::new();
    for (key, value) in entries {
        let (token, id) = match value {
            Value::Number(id) => (key.as_str(), id.as_u64()),
            Value::String(token) => (token.as_str(), key.parse().ok()),
            _ => return Err(format!("`{}` is neither a token's id nor an id's token", short(key))),
        };
        let id = id
            .filter(|id| *id < MAX_TOKENS)
            .ok_or_else(|| format!("`{}` has no whole number as its id", short(key)))?;
        if let Some(other) = by_id.insert(id, token.to_string()) {
            return Err(format!("id {id} stands there twice: `{}` and `{}`", short(&other), short(token)));
        }
    }
    match by_id.keys().zip(0..).find(|(id, i)| *id != i) {
        Some((_, missing)) => Err(format!("id {missing} has no token, but larger ids have")),
        None => Ok(by_id.into_values().collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_and_lists_are_one_vocabulary() {
        for json in [
            r#"["[PAD]", "[START]", "[C]", "[=O]"]"#,
            r#"{"[PAD]": 0, "[START]": 1, "[C]": 2, "[=O]": 3}"#,
            r#"{"0": "[PAD]", "3": "[=O]", "1": "[START]", "2": "[C]"}"#,
            r#"{"tokens": ["[PAD]", "[START]", "[C]", "[=O]"]}"#,
        ] {
            let v = Vocabulary::read("v.json", json.as_bytes()).unwrap();
            assert_eq!((v.bos, v.eos, v.pad, v.unk), (Some(1), None, Some(0), None), "{json}");
            assert_eq!(v.tokenizer.encode("[C][=O]", crate::text::OnUnknown::Error).unwrap(), [2, 3]);
        }
        let v = Vocabulary::read("v", br#"{"chars": ["a", "b"]}"#).unwrap();
        assert_eq!(v.tokenizer.kind(), "characters");
        for (json, message) in [
            (r#"{"a": 0, "b": 2}"#, "id 1 has no token"),
            (r#"{"a": 0, "b": 0}"#, "id 0 stands there twice"),
            (r#"{"a": -1}"#, "`a` has no whole number"),
            (r#"{"a": []}"#, "neither a token's id"),
            (r#"{"a": 0, "": 1}"#, "entry 1 is empty"),
        ] {
            let error = Vocabulary::read("v", json.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(message) && error.contains('v'), "{error}");
        }
    }
}
