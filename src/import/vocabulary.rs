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

/// Names under which people keep tokens, the ones that say most first.
pub const NAMES: [&str; 28] = [
    "char2idx",
    "char_to_idx",
    "char2int",
    "char_to_int",
    "char_to_ix",
    "char2ix",
    "char2id",
    "stoi",
    "token2idx",
    "token_to_idx",
    "token2id",
    "word2idx",
    "word_to_idx",
    "word2id",
    "word_index",
    "_tokens",
    "vocab",
    "vocabulary",
    "chars",
    "characters",
    "tokens",
    "itos",
    "idx2char",
    "int2char",
    "ix_to_char",
    "idx_to_token",
    "id2token",
    "idx2word",
];

/// Names that mark something, by what they mark; in lower case.
const BOS: [&str; 11] =
    ["<bos>", "[bos]", "<s>", "[start]", "<start>", "[cls]", "<sos>", "[sos]", "<go>", "_go", "<|startoftext|>"];
const EOS: [&str; 7] = ["<eos>", "[eos]", "</s>", "[end]", "<end>", "<|endoftext|>", "_eos"];
const PAD: [&str; 5] = ["<pad>", "[pad]", "<blank>", "_pad_", "_pad"];
const UNK: [&str; 5] = ["<unk>", "[unk]", "<oov>", "[oov]", "_unk"];
/// Pairs of plain letters that mark beginning and end where both are there: as they are, or at an end of the list.
const PLAIN: [([&str; 2], bool); 3] = [(["GO", "EOS"], false), (["SOS", "EOS"], false), (["^", "$"], true)];

/// A tokenizer, and the tokens in it that mark something.
#[derive(Clone, Debug)]
pub struct Vocabulary {
    /// Text to ids and back.
    pub tokenizer: Tokenizer,
    /// Begins a text.
    pub bos: Option<u32>,
    /// Ends one.
    pub eos: Vec<u32>,
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
        let bytes = unmarked(bytes).map_err(|what| Error::text(file, what))?;
        let begins = bytes.iter().find(|b| !b.is_ascii_whitespace());
        if begins == Some(&b'[')
            && let Ok(tokens) = serde_json::from_slice::<Vec<String>>(bytes)
            && !tokens.is_empty()
        {
            return Vocabulary::of_tokens(tokens, file);
        }
        if begins != Some(&b'{') {
            return Vocabulary::of_tokens(Tokenizer::from_vocabulary(bytes, file)?.texts(), file);
        }
        let is_tokenizer = bytes.windows(8).any(|w| w == b"\"model\":") || bytes.windows(7).any(|w| w == b"\"model\"");
        if is_tokenizer && let Ok(tokenizer) = Tokenizer::from_json(bytes, file) {
            return Ok(Vocabulary { unk: tokenizer.unknown_id(), tokenizer, bos: None, eos: Vec::new(), pad: None });
        }
        if bytes.len() > MAX_BYTES {
            return Err(Error::text(file, format!("{} bytes; expected at most {MAX_BYTES}", bytes.len())));
        }
        let value: Value = serde_json::from_slice(bytes).map_err(|e| Error::text(file, e.to_string()))?;
        let inner = NAMES.iter().find_map(|key| value.get(key).filter(|v| v.is_array() || v.is_object()));
        let tokens = tokens_of(inner.unwrap_or(&value)).map_err(|e| Error::text(file, e.to_string()))?;
        Vocabulary::of_tokens(tokens, file)
    }

    /// Tokens `<0>`, `<1>` and so on, where nobody says what they are.
    ///
    /// # Errors
    /// None for a vocabulary that a model may have.
    pub fn of_numbers(count: usize) -> Result<Vocabulary> {
        Vocabulary::of_tokens((0..count).map(|i| format!("<{i}>")).collect(), "vocabulary")
    }

    /// Tokens in the order of their ids. An empty one, as Keras has for padding, gets a name.
    ///
    /// # Errors
    /// Tokens that are there twice, or none.
    pub fn of_tokens(mut tokens: Vec<String>, file: &str) -> Result<Vocabulary> {
        name_empty(&mut tokens);
        let find = |names: &[&str]| {
            let at = tokens.iter().position(|token| names.contains(&token.to_lowercase().as_str()));
            at.map(|at| at as u32)
        };
        let [mut bos, mut eos, pad, unk] = [&BOS[..], &EOS, &PAD, &UNK].map(find);
        for (pair, at_end) in PLAIN {
            let [first, last] = pair.map(|name| tokens.iter().position(|token| token == name));
            if let (Some(first), Some(last), None) = (first, last, bos) {
                let outer = |at: usize| at < 2 || at + 2 >= tokens.len();
                if !at_end || outer(first) && outer(last) && first.abs_diff(last) == 1 {
                    (bos, eos) = (Some(first as u32), eos.or(Some(last as u32)));
                }
            }
        }
        let mut special = serde_json::Map::new();
        for id in [bos, eos, pad, unk].into_iter().flatten() {
            special.insert(tokens[id as usize].clone(), id.into());
        }
        let characters = special.is_empty() && tokens.iter().all(|token| token.chars().count() == 1);
        let kind = if characters { "characters" } else { "list" };
        let json = serde_json::json!({"model": {"type": kind, "vocab": tokens, "special": special}});
        let tokenizer = Tokenizer::from_json(json.to_string().as_bytes(), file)?;
        Ok(Vocabulary { tokenizer, bos, eos: Vec::from_iter(eos), pad, unk })
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
    let largest = by_id.last_key_value().map_or(0, |(id, _)| *id as usize);
    if largest >= 2 * by_id.len() + 16 {
        return Err(format!("{} tokens, but ids up to {largest}: most ids have none", by_id.len()));
    }
    Ok((0..=largest as u64).map(|id| by_id.remove(&id).unwrap_or_default()).collect())
}

/// Names for tokens without a text: of id 0 `<pad>`, as Keras counts from 1 and pads with 0.
fn name_empty(tokens: &mut [String]) {
    let has_pad = tokens.iter().any(|token| PAD.contains(&token.to_lowercase().as_str()));
    for (i, token) in tokens.iter_mut().enumerate().filter(|(_, token)| token.is_empty()) {
        *token = if i == 0 && !has_pad { "<pad>".into() } else { format!("<{i}>") };
    }
}

/// Tokens by id in the order of ids, where they are those of a model of `count` rows.
pub fn in_order(tokens: Vec<(String, u64)>, count: usize) -> Option<Vec<String>> {
    let mut texts = vec![String::new(); count];
    let (mut named, mut seen) = (0, std::collections::BTreeSet::new());
    for (token, id) in tokens {
        let place = usize::try_from(id).ok().and_then(|id| texts.get_mut(id))?;
        if token.is_empty() || !place.is_empty() || !seen.insert(token.clone()) {
            return None;
        }
        *place = token;
        named += 1;
    }
    (2 * named >= count).then_some(texts)
}

/// Whether tokens look like words, which a list joins without blanks.
pub fn looks_like_words(tokens: &[String]) -> bool {
    let word = |token: &&String| token.chars().count() > 1 && token.chars().all(|c| c.is_alphabetic() || c == '\'');
    let words = tokens.iter().filter(word).count();
    let blank = tokens.iter().any(|token| token.contains([' ', '\u{2581}', '\u{120}']) || token.starts_with("##"));
    tokens.len() > 16 && 2 * words > tokens.len() && !blank
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
            assert_eq!((v.bos, &v.eos[..], v.pad, v.unk), (Some(1), &[][..], Some(0), None), "{json}");
            assert_eq!(v.tokenizer.encode("[C][=O]", crate::text::OnUnknown::Error).unwrap(), [2, 3]);
        }
        for (json, bos, eos, pad, first) in [
            (r#"{"a": 1, "b": 2}"#, None, &[][..], Some(0), "<pad>"),
            (r#"["", "[UNK]", "a"]"#, None, &[], Some(0), "<pad>"),
            (r#"{"stoi": {"a": 0, "b": 1}, "itos": {"0": "a", "1": "b"}}"#, None, &[], None, "a"),
            (r#"["<sos>", "<eos>", "a"]"#, Some(0), &[1], None, "<sos>"),
            (r#"["^", "$", "C", "c", "="]"#, Some(0), &[1], None, "^"),
            (r#"["!", "\"", "$", "%", "^", "a", "b"]"#, None, &[], None, "!"),
            (r#"["GO", "EOS", "go"]"#, Some(0), &[1], None, "GO"),
            (r#"["go", "stop", "a"]"#, None, &[], None, "go"),
        ] {
            let v = Vocabulary::read("v.json", json.as_bytes()).unwrap();
            assert_eq!((v.bos, &v.eos[..], v.pad), (bos, eos, pad), "{json}");
            assert_eq!(v.tokenizer.texts()[0], first, "{json}");
        }
        let tokens = ["'", "\"", "\n", "\t", "\\", "e\u{301}"];
        let json = serde_json::to_vec(&tokens).unwrap();
        assert_eq!(Vocabulary::read("v.json", &json).unwrap().tokenizer.texts(), tokens);
        let v = Vocabulary::read("v", br#"{"chars": ["a", "b"]}"#).unwrap();
        assert_eq!(v.tokenizer.kind(), "characters");
        for (json, message) in [
            (r#"{"a": 0, "b": 0}"#, "id 0 stands there twice"),
            (r#"{"a": -1}"#, "`a` has no whole number"),
            (r#"{"a": []}"#, "neither a token's id"),
            (r#"{"a": 0, "b": 1000}"#, "most ids have none"),
        ] {
            let error = Vocabulary::read("v", json.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(message) && error.contains('v'), "{error}");
        }
    }
}
