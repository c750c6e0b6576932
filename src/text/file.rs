//! tokenizer.json as it stands on disk.
//!
//! The large parts (vocabulary, merges) are read straight into vectors, and every field has the one type it may have:
//! the `tokenizers` crate's own reader buffers everything several times and panics on some files.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{self, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};

use super::components::{NormalizerFile, PreTokenizerFile};
use super::steps::DecoderFile;

/// tokenizer.json. `truncation`, `padding` and `post_processor` are not read: texts are encoded as they are, and
/// beginnings and ends are the business of whoever makes sequences of them.
#[derive(Deserialize)]
pub(super) struct File {
    pub model: ModelFile,
    #[serde(default)]
    pub added_tokens: Option<Vec<AddedFile>>,
    #[serde(default)]
    pub normalizer: Option<NormalizerFile>,
    #[serde(default)]
    pub pre_tokenizer: Option<PreTokenizerFile>,
    #[serde(default)]
    pub decoder: Option<DecoderFile>,
}

/// `model`, of our own kinds and of Hugging Face's.
#[derive(Deserialize)]
pub(super) struct ModelFile {
    #[serde(rename = "type")]
    pub kind: Option<String>,
    pub vocab: Option<Vocabulary>,
    #[serde(default)]
    pub special: BTreeMap<String, u32>,
    pub merges: Option<Vec<Merge>>,
    pub unk_token: Option<String>,
    pub unk_id: Option<usize>,
    pub byte_fallback: Option<bool>,
    pub fuse_unk: Option<bool>,
    pub ignore_merges: Option<bool>,
    pub continuing_subword_prefix: Option<String>,
    pub end_of_word_suffix: Option<String>,
    pub max_input_chars_per_word: Option<usize>,
}

/// An entry of `added_tokens`.
#[derive(Deserialize)]
pub(super) struct AddedFile {
    pub id: u32,
    pub content: String,
    #[serde(default)]
    pub single_word: bool,
    #[serde(default)]
    pub lstrip: bool,
    #[serde(default)]
    pub rstrip: bool,
    pub normalized: Option<bool>,
    #[serde(default)]
    pub special: bool,
}

/// A vocabulary in one of its three forms.
pub(super) enum Vocabulary {
    /// `["a", "b"]`: the ids are the order.
    Strings(Vec<String>),
    /// `{"a": 0, "b": 1}`.
    Ids(Vec<(String, u32)>),
    /// `[["a", -1.5], ["b", -2.0]]`, Unigram's.
    Scores(Vec<(String, f64)>),
}

/// Two tokens that become one: `["a", "b"]`, or `"a b"` in older files.
pub(super) enum Merge {
    Pair(String, String),
    /// The comment `#version: 0.2`, which older files carry over from merges.txt.
    Version,
}

struct VocabularyVisitor;

impl<'de> Deserialize<'de> for Vocabulary {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(VocabularyVisitor)
    }
}

impl<'de> Visitor<'de> for VocabularyVisitor {
    type Value = Vocabulary;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a vocabulary: [\"a\", ...], {\"a\": 0, ...} or [[\"a\", -1.5], ...]")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Vocabulary, A::Error> {
        let mut ids = Vec::new();
        while let Some(entry) = map.next_entry()? {
            ids.push(entry);
        }
        Ok(Vocabulary::Ids(ids))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vocabulary, A::Error> {
        let mut strings = match seq.next_element()? {
            None => return Ok(Vocabulary::Strings(Vec::new())),
            Some(Element::Text(text)) => vec![text],
            Some(Element::Scored(text, score)) => {
                let mut scores = vec![(text, score)];
                while let Some(entry) = seq.next_element()? {
                    scores.push(entry);
                }
                return Ok(Vocabulary::Scores(scores));
            }
        };
        while let Some(text) = seq.next_element()? {
            strings.push(text);
        }
        Ok(Vocabulary::Strings(strings))
    }
}

/// The first element of an array tells the form of the others.
enum Element {
    Text(String),
    Scored(String, f64),
}

struct ElementVisitor;

impl<'de> Deserialize<'de> for Element {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ElementVisitor)
    }
}

impl<'de> Visitor<'de> for ElementVisitor {
    type Value = Element;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string, or a string with its score")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Element, E> {
        Ok(Element::Text(text.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Element, A::Error> {
        let short = || de::Error::custom("expected a string with its score");
        let (text, score) = (seq.next_element()?.ok_or_else(short)?, seq.next_element()?.ok_or_else(short)?);
        Ok(Element::Scored(text, score))
    }
}

struct MergeVisitor;

impl<'de> Deserialize<'de> for Merge {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(MergeVisitor)
    }
}

impl<'de> Visitor<'de> for MergeVisitor {
    type Value = Merge;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a merge: [\"a\", \"b\"] or \"a b\"")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Merge, E> {
        if text.starts_with("#version") {
            return Ok(Merge::Version);
        }
        match text.split_once(' ') {
            Some((a, b)) if !b.contains(' ') => Ok(Merge::Pair(a.into(), b.into())),
            _ => Err(E::custom(format!("merge {text:?}: expected two tokens with one blank between"))),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Merge, A::Error> {
        let short = || de::Error::custom("a merge needs two tokens");
        let (a, b) = (seq.next_element()?.ok_or_else(short)?, seq.next_element()?.ok_or_else(short)?);
        Ok(Merge::Pair(a, b))
    }
}

/// The file of one of our own kinds.
pub(super) fn write(kind: &str, vocab: Option<Vec<String>>, special: &BTreeMap<String, u32>) -> Vec<u8> {
    #[derive(Serialize)]
    struct Written<'a> {
        model: Model<'a>,
    }
    #[derive(Serialize)]
    struct Model<'a> {
        #[serde(rename = "type")]
        kind: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        vocab: Option<Vec<String>>,
        #[serde(skip_serializing_if = "BTreeMap::is_empty")]
        special: &'a BTreeMap<String, u32>,
    }
    let written = Written { model: Model { kind, vocab, special } };
    serde_json::to_vec(&written).expect("strings and numbers are JSON")
}
