//! Tokenizers: text to ids and back.

use std::collections::HashMap;

use serde::Deserialize;

use crate::error::{Error, Result};

/// A tokenizer whose tokens are Unicode scalars.
#[derive(Clone, Debug)]
pub struct Characters {
    characters: Vec<char>,
    ids: HashMap<char, u32>,
}

#[derive(Deserialize)]
struct File {
    model: FileModel,
}

#[derive(Deserialize)]
struct FileModel {
    #[serde(rename = "type")]
    kind: String,
    vocab: Vec<String>,
}

impl Characters {
    /// Reads `tokenizer.json` of type `characters`: `{"model": {"type": "characters", "vocab": ["a", ...]}}`.
    ///
    /// # Errors
    /// Not JSON, another type, an entry that is not one character, or one that stands there twice.
    pub fn from_json(json: &[u8], file: &str) -> Result<Characters> {
        let parsed: File = serde_json::from_slice(json).map_err(|e| Error::Model(format!("{file}: {e}")))?;
        if parsed.model.kind != "characters" {
            let kind = parsed.model.kind;
            return Err(Error::Model(format!("{file}: tokenizer of type `{kind}`; this version reads `characters`")));
        }
        let mut tokenizer = Characters { characters: Vec::new(), ids: HashMap::new() };
        for (i, entry) in parsed.model.vocab.iter().enumerate() {
            let mut scalars = entry.chars();
            let (Some(c), None) = (scalars.next(), scalars.next()) else {
                return Err(Error::Model(format!("{file}: vocabulary entry {i} is {entry:?}, not one character")));
            };
            if tokenizer.ids.insert(c, i as u32).is_some() {
                return Err(Error::Model(format!("{file}: vocabulary entry {i}, {c:?}, stands there twice")));
            }
            tokenizer.characters.push(c);
        }
        Ok(tokenizer)
    }

    /// Number of tokens.
    pub fn len(&self) -> usize {
        self.characters.len()
    }

    /// Whether there are no tokens.
    pub fn is_empty(&self) -> bool {
        self.characters.is_empty()
    }

    /// The ids of a text.
    ///
    /// # Errors
    /// A character that the vocabulary lacks, named with its line and column.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        let (mut line, mut column) = (1, 1);
        let mut ids = Vec::with_capacity(text.len());
        for c in text.chars() {
            let Some(id) = self.ids.get(&c) else {
                return Err(Error::Text(format!(
                    "character {c:?} (U+{:04X}) at line {line}, column {column} is not in the model's vocabulary of \
                     {} characters",
                    u32::from(c),
                    self.len()
                )));
            };
            ids.push(*id);
            (line, column) = if c == '\n' { (line + 1, 1) } else { (line, column + 1) };
        }
        Ok(ids)
    }

    /// The text of an id below [`Characters::len`].
    pub fn decode(&self, id: u32) -> Option<char> {
        self.characters.get(id as usize).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokenizer() -> Characters {
        let json = r#"{"model": {"type": "characters", "vocab": ["\n", "a", "诗"]}}"#;
        Characters::from_json(json.as_bytes(), "tokenizer.json").unwrap()
    }

    #[test]
    fn text_comes_back() {
        let ids = tokenizer().encode("诗a\n").unwrap();
        assert_eq!(ids, [2, 1, 0]);
        assert_eq!(ids.iter().map(|id| tokenizer().decode(*id).unwrap()).collect::<String>(), "诗a\n");
    }

    #[test]
    fn an_unknown_character_is_named_with_its_place() {
        let message = tokenizer().encode("a\naaé").unwrap_err().to_string();
        assert!(message.contains("'é' (U+00E9) at line 2, column 3"), "{message}");
    }

    #[test]
    fn a_doubled_entry_is_refused() {
        let json = r#"{"model": {"type": "characters", "vocab": ["a", "a"]}}"#;
        let message = Characters::from_json(json.as_bytes(), "t.json").unwrap_err().to_string();
        assert!(message.contains("t.json: vocabulary entry 1, 'a'"), "{message}");
    }
}
