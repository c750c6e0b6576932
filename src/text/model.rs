//! The models of a Hugging Face file (BPE, WordPiece, WordLevel, Unigram), checked, then built.
//!
//! The `tokenizers` crate takes much on trust that a file could say otherwise; what would make it panic, overflow its
//! stack or drop characters in silence is refused or mended here.

use std::collections::{HashMap, HashSet};

use tokenizers::ModelWrapper;
use tokenizers::models::bpe::{BpeBuilder, Vocab};
use tokenizers::models::unigram::Unigram;
use tokenizers::models::wordlevel::WordLevelBuilder;
use tokenizers::models::wordpiece::WordPieceBuilder;

use super::file::{AddedFile, Merge, ModelFile, Vocabulary};

/// Bytes that a token may have. Unigram's trie is dropped by recursion, one call for each byte of its longest token.
pub(super) const LONGEST_TOKEN: usize = 4096;
/// Bytes of Unigram's tokens that are beginnings of each other, together: the work at each place of a text.
const MOST_BEGINNINGS: usize = 16 << 10;
/// Characters that WordPiece may try to cut at, which takes time that grows with their square.
const LONGEST_WORD: usize = 512;
/// The token for what a model without an unknown token lacks. Without it, BPE would drop such characters in silence.
const STAND_IN: &str = "\u{0}gatefold: not in the vocabulary";
/// Its id: beyond all others, and never written.
const STAND_IN_ID: u32 = u32::MAX;

/// A model ready to be used.
pub(super) struct Built {
    pub kind: &'static str,
    pub model: ModelWrapper,
    /// Token texts by id; ids without a token are `None`.
    pub tokens: Vec<Option<Box<str>>>,
    /// The id and text that the model writes for what it lacks.
    pub unknown: Option<(u32, String)>,
    /// Whether the vocabulary itself has that id.
    pub has_unknown: bool,
}

/// Builds the model. Added tokens that the vocabulary lacks go into it, so that they keep the ids that the file says:
/// the crate would number them anew.
pub(super) fn build(file: ModelFile, added: &[AddedFile]) -> Result<Built, String> {
    let kind = match (file.kind.as_deref(), &file.vocab) {
        (Some("BPE"), _) => "BPE (tokenizer.json)",
        (Some("WordPiece"), _) => "WordPiece (tokenizer.json)",
        (Some("WordLevel"), _) => "WordLevel (tokenizer.json)",
        (Some("Unigram"), _) => "Unigram (tokenizer.json)",
        (Some(other), _) => {
            return Err(format!(
                "model.type is {other:?}; known are characters, bytes, list, BPE, WordPiece, WordLevel, Unigram"
            ));
        }
        // Files of before 2021 leave the type out.
        (None, Some(Vocabulary::Scores(_))) => "Unigram (tokenizer.json)",
        (None, _) if file.merges.is_some() => "BPE (tokenizer.json)",
        (None, _) if file.max_input_chars_per_word.is_some() => "WordPiece (tokenizer.json)",
        (None, Some(Vocabulary::Ids(_))) => "WordLevel (tokenizer.json)",
        (None, _) => return Err("model.type is missing".into()),
    };
    match file.vocab {
        Some(Vocabulary::Scores(_)) if kind.starts_with("Unigram") => unigram(kind, file, added),
        Some(Vocabulary::Ids(_)) if !kind.starts_with("Unigram") => by_ids(kind, file, added),
        _ if kind.starts_with("Unigram") => Err("model.vocab: expected an array of [token, score]".into()),
        _ => Err("model.vocab: expected an object of tokens with their ids".into()),
    }
}

/// Texts by id, from tokens with ids and added tokens.
fn table<'a>(
    vocab: impl ExactSizeIterator<Item = (&'a str, u32)>,
    added: &'a [AddedFile],
) -> Result<Vec<Option<Box<str>>>, String> {
    let count = vocab.len() + added.len();
    // A few holes are usual; a table far longer than the file is not.
    let most = 2 * count + (1 << 16);
    let mut tokens: Vec<Option<Box<str>>> = Vec::with_capacity(count);
    let mut put = |text: &str, id: u32, place: &str| {
        let at = id as usize;
        if at >= most {
            return Err(format!("{place}: {text:?} is id {id}; with {count} tokens, expected ids below {most}"));
        }
        if at >= tokens.len() {
            tokens.resize(at + 1, None);
        }
        match &tokens[at] {
            Some(other) if **other != *text => Err(format!("{place}: {text:?} and {other:?} are both id {id}")),
            _ => {
                tokens[at] = Some(text.into());
                Ok(())
            }
        }
    };
    for (text, id) in vocab {
        if text.len() > LONGEST_TOKEN {
            return Err(format!("model.vocab: token {id} has {} bytes; at most {LONGEST_TOKEN} are read", text.len()));
        }
        put(text, id, "model.vocab")?;
    }
    for token in added {
        if token.content.is_empty() || token.content.len() > LONGEST_TOKEN {
            let length = token.content.len();
            return Err(format!("added_tokens: token {} has {length} bytes; expected 1 to {LONGEST_TOKEN}", token.id));
        }
        put(&token.content, token.id, "added_tokens")?;
    }
    if tokens.is_empty() { Err("the vocabulary is empty".into()) } else { Ok(tokens) }
}

fn by_ids(kind: &'static str, file: ModelFile, added: &[AddedFile]) -> Result<Built, String> {
    let Some(Vocabulary::Ids(entries)) = file.vocab else { unreachable!("chosen by its form") };
    let tokens = table(entries.iter().map(|(text, id)| (text.as_str(), *id)), added)?;
    let mut vocab: Vocab = entries.into_iter().collect();
    for token in added {
        match vocab.insert(token.content.clone(), token.id) {
            Some(other) if other != token.id => {
                let AddedFile { content, id, .. } = token;
                return Err(format!("added_tokens: {content:?} is id {id}, but {other} in another place"));
            }
            _ => {}
        }
    }
    // A token that stands there twice, with two ids, leaves a text in the table that is not its own.
    if let Some(id) =
        (0..).zip(&tokens).find_map(|(id, text)| (vocab.get(&**text.as_ref()?) != Some(&id)).then_some(id))
    {
        return Err(format!("model.vocab: {:?} stands there twice", tokens[id as usize]));
    }
    let own = match &file.unk_token {
        Some(text) => Some(text.clone()),
        None if kind.starts_with("WordPiece") => Some("[UNK]".into()),
        None if kind.starts_with("WordLevel") => Some("<unk>".into()),
        None => None,
    };
    let own = own.and_then(|text| vocab.get(&text).map(|id| (*id, text)));
    let has_unknown = own.is_some();
    let (id, text) = own.unwrap_or_else(|| (STAND_IN_ID, STAND_IN.to_string()));
    if !has_unknown && vocab.insert(STAND_IN.into(), STAND_IN_ID).is_some() {
        return Err("model.vocab: holds a token that gatefold keeps for itself".into());
    }
    let model: ModelWrapper = match kind.as_bytes()[..5] {
        [b'W', b'o', b'r', b'd', b'L'] => {
            WordLevelBuilder::new().vocab(vocab).unk_token(text.clone()).build().map_err(|e| e.to_string())?.into()
        }
        [b'W', ..] => {
            let longest = file.max_input_chars_per_word.unwrap_or(100);
            if longest > LONGEST_WORD {
                return Err(format!("model.max_input_chars_per_word is {longest}; expected at most {LONGEST_WORD}"));
            }
            let prefix = file.continuing_subword_prefix.unwrap_or_else(|| "##".into());
            let builder =
                WordPieceBuilder::new().vocab(vocab).unk_token(text.clone()).continuing_subword_prefix(prefix);
            builder.max_input_chars_per_word(longest).build().map_err(|e| e.to_string())?.into()
        }
        _ => {
            let merges = merges(file.merges, &vocab, file.continuing_subword_prefix.as_deref().unwrap_or(""))?;
            let mut builder = BpeBuilder::new()
                .vocab_and_merges(vocab, merges)
                .unk_token(text.clone())
                .fuse_unk(file.fuse_unk.unwrap_or(false))
                .byte_fallback(file.byte_fallback.unwrap_or(false))
                .ignore_merges(file.ignore_merges.unwrap_or(false));
            if let Some(prefix) = file.continuing_subword_prefix {
                builder = builder.continuing_subword_prefix(prefix);
            }
            if let Some(suffix) = file.end_of_word_suffix {
                builder = builder.end_of_word_suffix(suffix);
            }
            builder.build().map_err(|e| e.to_string())?.into()
        }
    };
    Ok(Built { kind, model, tokens, unknown: Some((id, text)), has_unknown })
}

/// The merges, each of two tokens whose join is one too: the crate copies them into a buffer of the longest token.
fn merges(merges: Option<Vec<Merge>>, vocab: &Vocab, prefix: &str) -> Result<Vec<(String, String)>, String> {
    let merges = merges.ok_or("model.merges is missing")?;
    let mut checked = Vec::with_capacity(merges.len());
    let mut joined = String::new();
    for (i, merge) in merges.into_iter().enumerate() {
        let Merge::Pair(a, b) = merge else { continue };
        let Some(rest) = b.strip_prefix(prefix) else {
            return Err(format!("model.merges: merge {i}: {b:?} does not begin with {prefix:?}"));
        };
        joined.clear();
        joined.push_str(&a);
        joined.push_str(rest);
        if let Some(missing) = [&a, &b, &joined].into_iter().find(|token| !vocab.contains_key(*token)) {
            return Err(format!("model.merges: merge {i}: the vocabulary has no {missing:?}"));
        }
        checked.push((a, b));
    }
    Ok(checked)
}

/// Refuses vocabularies in which tokens begin with tokens that begin with tokens, and so on: Unigram looks all of them
/// up at each place of a text.
fn check_beginnings(scores: &[(String, f64)]) -> Result<(), String> {
    let mut texts: Vec<&str> = scores.iter().map(|(text, _)| text.as_str()).collect();
    texts.sort_unstable();
    // The tokens that the present one begins with, and the bytes of all of them.
    let (mut open, mut bytes): (Vec<&str>, usize) = (Vec::new(), 0);
    for text in texts {
        while open.last().is_some_and(|begins| !text.starts_with(begins)) {
            bytes -= open.pop().map_or(0, str::len);
        }
        open.push(text);
        bytes += text.len();
        if bytes > MOST_BEGINNINGS {
            let shown: String = text.chars().take(20).collect();
            return Err(format!(
                "model.vocab: {} tokens begin as {shown:?} does, each the beginning of the next, with {bytes} bytes in \
                 all; at most {MOST_BEGINNINGS} are read",
                open.len()
            ));
        }
    }
    Ok(())
}

fn unigram(kind: &'static str, file: ModelFile, added: &[AddedFile]) -> Result<Built, String> {
    let Some(Vocabulary::Scores(scores)) = file.vocab else { unreachable!("chosen by its form") };
    let tokens =
        table((0..).zip(&scores).map(|(id, (text, _))| (text.as_str(), id)).collect::<Vec<_>>().into_iter(), added)?;
    check_beginnings(&scores)?;
    let unknown = match file.unk_id {
        Some(id) => match scores.get(id) {
            Some((text, _)) => Some((id as u32, text.clone())),
            None => return Err(format!("model.unk_id is {id}; the vocabulary has {} tokens", scores.len())),
        },
        None => None,
    };
    // After the vocabulary the crate numbers added tokens in their order, without a hole.
    let known: HashMap<&str, u32> = (0..).zip(&scores).map(|(id, (text, _))| (text.as_str(), id)).collect();
    let mut seen = HashSet::new();
    let mut next = scores.len() as u32;
    for AddedFile { id, content, .. } in added {
        let gets = match known.get(content.as_str()) {
            Some(known) => *known,
            None if seen.insert(content) => {
                next += 1;
                next - 1
            }
            None => *id,
        };
        if gets != *id {
            return Err(format!(
                "added_tokens: {content:?} is id {id}; expected {gets}, the next after the vocabulary"
            ));
        }
    }
    let model = Unigram::from(scores, file.unk_id, file.byte_fallback.unwrap_or(false)).map_err(|e| e.to_string())?;
    Ok(Built { kind, model: model.into(), tokens, has_unknown: unknown.is_some(), unknown })
}
