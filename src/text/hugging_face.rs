//! A tokenizer.json of Hugging Face, through the `tokenizers` crate's normalizers, pre-tokenizers and models.

use tokenizers::normalizer::Range;
use tokenizers::{
    AddedToken, AddedVocabulary, Model, ModelWrapper, NormalizerWrapper, OffsetReferential, OffsetType,
    PreTokenizer as _,
};

use super::Entry;
use super::components::{Normalizer, NormalizerFile, PiecePosition, PreTokenizer, PreTokenizerFile};
use super::file::{AddedFile, File};
use super::model::{self, Built};
use super::pattern;
use super::steps::{self, Step};
use crate::error;

/// A Hugging Face tokenizer.
///
/// We walk its parts ourselves, because the crate's own `encode` builds six vectors that nobody needs, and says
/// nothing of what it left out.
pub(super) struct HuggingFace {
    /// The file as it was read.
    json: Box<[u8]>,
    kind: &'static str,
    model: ModelWrapper,
    added: AddedVocabulary,
    /// For the whole text or, where that makes a difference, for its first, middle and last piece.
    fronts: Vec<Front>,
    tokens: Vec<Option<Token>>,
    unknown: Option<(u32, String)>,
    has_unknown: bool,
    decoding: Vec<Step>,
    /// Added tokens that take blanks with them or hold a line end: no piece may end or begin next to one.
    sticky: Vec<String>,
}

/// The stages before the tokenizer's model.
struct Front {
    normalizer: Option<Normalizer>,
    pre_tokenizer: Option<PreTokenizer>,
}

struct Token {
    /// As the vocabulary has it.
    text: Box<str>,
    /// As the decoder gets it, where that is something else: an added token may go through the normalizer.
    decoded: Option<Box<str>>,
    special: bool,
}

/// Text that the model lacks.
pub(super) struct Unknown<'a> {
    pub text: &'a str,
    /// Where it begins, in bytes, or the word that holds it.
    pub at: usize,
}

impl HuggingFace {
    pub fn new(file: File, json: &[u8]) -> Result<HuggingFace, String> {
        let added_file = file.added_tokens.unwrap_or_default();
        let Built { kind, model, tokens, unknown, has_unknown } = model::build(file.model, &added_file)?;
        let fronts = fronts(file.normalizer.as_ref(), file.pre_tokenizer.as_ref())?;
        let mut added = AddedVocabulary::new();
        let new = |token: &AddedFile| {
            AddedToken::from(token.content.clone(), token.special)
                .single_word(token.single_word)
                .lstrip(token.lstrip)
                .rstrip(token.rstrip)
                .normalized(token.normalized.unwrap_or(!token.special))
        };
        let normalizer = fronts[0].normalizer.as_ref();
        let wrong = |e: tokenizers::Error| format!("added_tokens: {e}");
        added.add_tokens(added_file.iter().map(new), &model, normalizer).map_err(wrong)?;
        if pattern::gave_up() {
            return Err("normalizer: a regular expression takes too many steps for the added tokens".into());
        }
        let tokens = tokens.into_iter().zip(0..).map(|(text, id)| {
            text.map(|text| {
                let decoded = added.simple_id_to_token(id).filter(|decoded| **decoded != *text);
                let special = added.get_added_tokens_decoder().get(&id).is_some_and(|token| token.special);
                Token { text, decoded: decoded.map(String::into_boxed_str), special }
            })
        });
        let tokens: Vec<Option<Token>> = tokens.collect();
        for AddedFile { content, id, .. } in &added_file {
            let gets = added.token_to_id(content, &model);
            if gets != Some(*id) {
                return Err(format!("added_tokens: {content:?} is id {id}, but would be read as {gets:?}"));
            }
        }
        let sticky = added_file.iter().filter(|token| token.lstrip || token.rstrip || token.content.contains('\n'));
        let sticky = sticky.map(|token| token.content.clone()).collect();
        let decoding = steps::build(file.decoder)?;
        Ok(HuggingFace {
            json: json.into(),
            kind,
            model,
            added,
            fronts,
            tokens,
            unknown,
            has_unknown,
            decoding,
            sticky,
        })
    }

    pub fn json(&self) -> &[u8] {
        &self.json
    }

    pub fn kind(&self) -> &'static str {
        self.kind
    }

    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    pub fn id_of(&self, token: &str) -> Option<u32> {
        self.added.token_to_id(token, &self.model).filter(|id| (*id as usize) < self.len())
    }

    pub fn unknown_id(&self) -> Option<u32> {
        self.unknown.as_ref().filter(|_| self.has_unknown).map(|(id, _)| *id)
    }

    pub fn is_byte_level(&self) -> bool {
        self.decoding.iter().any(|step| matches!(step, Step::ByteLevel))
    }

    pub fn decoding(&self) -> &[Step] {
        &self.decoding
    }

    pub fn sticky(&self) -> &[String] {
        &self.sticky
    }

    fn token(&self, id: u32) -> Option<&Token> {
        self.tokens.get(id as usize)?.as_ref()
    }

    pub fn entry(&self, id: u32) -> Option<Entry<'_>> {
        let token = self.token(id)?;
        Some(if token.special { Entry::Special(&token.text) } else { Entry::Text(&token.text) })
    }

    /// A token as the decoder gets it; `None` for an id that is no token, an empty one for a special token.
    pub fn decoded(&self, id: u32) -> Option<Option<&str>> {
        let token = self.token(id)?;
        Some((!token.special).then(|| token.decoded.as_deref().unwrap_or(&token.text)))
    }

    /// Adds the ids of a piece of text. What the model lacks goes to `unknown`, which says what to write instead. A
    /// `first` of 0 becomes the bytes that the first token of the vocabulary stands for.
    pub fn encode(
        &self,
        text: &str,
        place: PiecePosition,
        ids: &mut Vec<u32>,
        first_bytes: &mut Option<usize>,
        mut unknown: impl FnMut(Unknown<'_>) -> error::Result<Option<u32>>,
    ) -> error::Result<()> {
        // After an added token a later piece is treated as the first one is: what stood before makes no difference.
        let added = if place.first || self.fronts.len() == 1 { None } else { self.first_added(text) };
        let (lead, rest) = text.split_at(added.unwrap_or(0));
        let first = place.first || added.is_some();
        if !lead.is_empty() {
            self.encode_part(lead, PiecePosition { first: false, last: true }, ids, first_bytes, &mut unknown)?;
        }
        let mut behind = |it: Unknown<'_>| unknown(Unknown { at: it.at + lead.len(), ..it });
        self.encode_part(rest, PiecePosition { first, ..place }, ids, first_bytes, &mut behind)
    }

    /// Where the first added token begins, with the blanks that it takes along.
    fn first_added(&self, text: &str) -> Option<usize> {
        let splits = self.added.extract_and_normalize(None::<&NormalizerWrapper>, text);
        let splits = splits.get_splits(OffsetReferential::Original, OffsetType::Byte);
        splits.into_iter().find(|(_, _, tokens)| tokens.is_some()).map(|(_, (start, _), _)| start)
    }

    fn encode_part(
        &self,
        text: &str,
        place: PiecePosition,
        ids: &mut Vec<u32>,
        first_bytes: &mut Option<usize>,
        unknown: &mut dyn FnMut(Unknown<'_>) -> error::Result<Option<u32>>,
    ) -> error::Result<()> {
        let front = match &self.fronts[..] {
            [front] => front,
            fronts => &fronts[usize::from(!place.first) + 2 * usize::from(!place.last)],
        };
        let too_many_steps = || error::Error::Steps { place: String::new(), line: 1 };
        let mut splits = self.added.extract_and_normalize(front.normalizer.as_ref(), text);
        if pattern::gave_up() {
            return Err(too_many_steps());
        }
        if let Some(pre_tokenizer) = &front.pre_tokenizer
            && pre_tokenizer.pre_tokenize(&mut splits).is_err()
        {
            if pattern::gave_up() {
                return Err(too_many_steps());
            }
            // Words that cannot be told apart are all unknown: no part of the crate does that with a whole text.
            ids.extend(unknown(Unknown { text, at: 0 })?);
            return Ok(());
        }
        let measures = *first_bytes == Some(0);
        // Where the first token stands: its split, and where in it.
        let mut first = None;
        for (at, (split, (start, end), found)) in
            splits.get_splits(OffsetReferential::Original, OffsetType::Byte).into_iter().enumerate()
        {
            if let Some(found) = found {
                ids.extend(found.iter().map(|token| token.id));
                if measures && first.is_none() {
                    *first_bytes = Some(end - start);
                    first = Some((at, None));
                }
                continue;
            }
            let Ok(found) = self.model.tokenize(split) else {
                // Unigram without an unknown token.
                ids.extend(unknown(locate(text, start..end, split))?);
                continue;
            };
            for token in found {
                let lacking = match &self.unknown {
                    // The text may spell the unknown token out, as that of many word-level corpora does.
                    Some((id, spelt)) if *id == token.id => {
                        let fragment = split.get(token.offsets.0..token.offsets.1).unwrap_or(split);
                        (fragment != spelt).then_some(fragment)
                    }
                    _ => None,
                };
                match lacking {
                    None => {
                        ids.push(token.id);
                        if measures && first.is_none() {
                            *first_bytes = Some(end - start);
                            first = Some((at, Some(token.offsets)));
                        }
                    }
                    Some(fragment) => ids.extend(unknown(locate(text, start..end, fragment))?),
                }
            }
        }
        if let Some((split, Some((from, to)))) = first {
            // Where the normalizer changed the word, only its own table says what the token was.
            let _ = splits.split(|at, word| {
                if at == split
                    && let Some(range) = word.convert_offsets(Range::Normalized(from..to))
                {
                    *first_bytes = Some(range.len());
                }
                Ok([word])
            });
        }
        Ok(())
    }
}

/// Finds a fragment of a word, as the model saw it, in the text; where a normalizer changed it, the whole word.
fn locate<'a>(text: &'a str, word: std::ops::Range<usize>, fragment: &str) -> Unknown<'a> {
    let whole = text.get(word.clone()).unwrap_or("");
    match whole.find(fragment) {
        Some(at) if !fragment.is_empty() => Unknown { text: &whole[at..at + fragment.len()], at: word.start + at },
        _ => Unknown { text: whole, at: word.start },
    }
}

/// One front, or four where a piece of a text is not treated as a text of its own would be.
fn fronts(normalizer: Option<&NormalizerFile>, pre_tokenizer: Option<&PreTokenizerFile>) -> Result<Vec<Front>, String> {
    let build = |place: PiecePosition| -> Result<Front, String> {
        let (mut growth, mut in_words) = (1.0, false);
        Ok(Front {
            normalizer: normalizer
                .map(|file| file.build(place, &mut growth))
                .transpose()
                .map_err(|what| format!("normalizer: {what}"))?,
            pre_tokenizer: pre_tokenizer
                .map(|file| file.build(place, &mut in_words, &mut growth))
                .transpose()
                .map_err(|what| format!("pre_tokenizer: {what}"))?,
        })
    };
    let depends = normalizer.is_some_and(NormalizerFile::depends_on_place)
        || pre_tokenizer.is_some_and(PreTokenizerFile::depends_on_place);
    let places = [(true, true), (false, true), (true, false), (false, false)];
    places
        .into_iter()
        .take(if depends { 4 } else { 1 })
        .map(|(first, last)| build(PiecePosition { first, last }))
        .collect()
}
