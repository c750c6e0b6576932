//! Normalizers and pre-tokenizers of a Hugging Face file: read as plain data, checked, then built.

use serde::Deserialize;
use tokenizers::normalizers::{self as n, BertNormalizer, Precompiled, Prepend, Strip, StripAccents};
use tokenizers::pattern::Invert;
use tokenizers::pre_tokenizers::{
    bert::BertPreTokenizer,
    byte_level::ByteLevel,
    delimiter::CharDelimiterSplit,
    digits::Digits,
    fixed_length::FixedLength,
    metaspace::{Metaspace, PrependScheme},
    punctuation::Punctuation,
    unicode_scripts::UnicodeScripts,
    whitespace::{Whitespace, WhitespaceSplit},
};
use tokenizers::{
    NormalizedString, NormalizerWrapper, PreTokenizedString, PreTokenizerWrapper, SplitDelimiterBehavior,
};

use super::charsmap;
use super::pattern::Expression;

/// How long normalizers and pre-tokenizers together may make a text, at worst, for each of its bytes. A file of a few
/// hundred bytes could otherwise double a text a hundred times.
const MOST_GROWTH: f64 = 1024.0;

/// A normalizer: the crate's, but for those that search.
#[derive(Debug)]
pub(super) enum Normalizer {
    Plain(NormalizerWrapper),
    Replace(Box<Expression>, String),
    Sequence(Vec<Normalizer>),
}

impl tokenizers::Normalizer for Normalizer {
    fn normalize(&self, text: &mut NormalizedString) -> tokenizers::Result<()> {
        match self {
            Normalizer::Plain(plain) => plain.normalize(text),
            Normalizer::Replace(expression, content) => text.replace(&**expression, content),
            Normalizer::Sequence(parts) => parts.iter().try_for_each(|part| part.normalize(text)),
        }
    }
}

/// A pre-tokenizer: the crate's, but for those that search.
#[derive(Debug)]
pub(super) enum PreTokenizer {
    Plain(PreTokenizerWrapper),
    Split { expression: Box<Expression>, behavior: SplitDelimiterBehavior, invert: bool },
    Sequence(Vec<PreTokenizer>),
}

impl tokenizers::PreTokenizer for PreTokenizer {
    fn pre_tokenize(&self, text: &mut PreTokenizedString) -> tokenizers::Result<()> {
        match self {
            PreTokenizer::Plain(plain) => plain.pre_tokenize(text),
            PreTokenizer::Split { expression, behavior, invert: true } => {
                text.split(|_, word| word.split(Invert(&**expression), *behavior))
            }
            PreTokenizer::Split { expression, behavior, invert: false } => {
                text.split(|_, word| word.split(&**expression, *behavior))
            }
            PreTokenizer::Sequence(parts) => parts.iter().try_for_each(|part| part.pre_tokenize(text)),
        }
    }
}

/// The position of a piece in its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PiecePosition {
    pub first: bool,
    pub last: bool,
}

#[derive(Deserialize)]
#[serde(tag = "type")]
pub(super) enum NormalizerFile {
    BertNormalizer {
        clean_text: bool,
        handle_chinese_chars: bool,
        strip_accents: Option<bool>,
        lowercase: bool,
    },
    Strip {
        strip_left: bool,
        strip_right: bool,
    },
    StripAccents,
    #[serde(rename = "NFC")]
    Nfc,
    #[serde(rename = "NFD")]
    Nfd,
    #[serde(rename = "NFKC")]
    Nfkc,
    #[serde(rename = "NFKD")]
    Nfkd,
    Sequence {
        normalizers: Vec<NormalizerFile>,
    },
    Lowercase,
    Nmt,
    Precompiled {
        precompiled_charsmap: String,
    },
    Replace {
        pattern: Pattern,
        content: String,
    },
    Prepend {
        prepend: String,
    },
    ByteLevel {},
}

/// The pattern that a replacement or split looks for.
#[derive(Deserialize)]
pub(super) enum Pattern {
    String(String),
    Regex(String),
}

#[derive(Deserialize)]
#[serde(tag = "type")]
pub(super) enum PreTokenizerFile {
    BertPreTokenizer,
    ByteLevel {
        add_prefix_space: bool,
        #[serde(default = "yes")]
        use_regex: bool,
    },
    CharDelimiterSplit {
        delimiter: char,
    },
    Digits {
        #[serde(default)]
        individual_digits: bool,
    },
    FixedLength {
        length: usize,
    },
    Metaspace(MetaspaceFile),
    Punctuation {
        behavior: Option<SplitDelimiterBehavior>,
    },
    Sequence {
        pretokenizers: Vec<PreTokenizerFile>,
    },
    Split {
        pattern: Pattern,
        behavior: SplitDelimiterBehavior,
        #[serde(default)]
        invert: bool,
    },
    UnicodeScripts,
    Whitespace,
    WhitespaceSplit,
}

/// Blanks as a visible character, one in front of the text.
#[derive(Deserialize)]
pub(super) struct MetaspaceFile {
    pub replacement: char,
    prepend_scheme: Option<PrependScheme>,
    add_prefix_space: Option<bool>,
    split: Option<bool>,
}

fn yes() -> bool {
    true
}

impl Pattern {
    /// The string or expression; of at most a size that the largest expressions in use are far below.
    pub fn check(&self) -> Result<(), String> {
        let (Pattern::String(text) | Pattern::Regex(text)) = self;
        match text.len() {
            0 => Err("a pattern is empty".into()),
            length if length > 8192 => Err(format!("a pattern of {length} bytes; at most 8192 are read")),
            _ => Ok(()),
        }
    }

    /// Bytes that a match has at least.
    pub fn shortest(&self) -> usize {
        match self {
            Pattern::String(text) => text.len(),
            Pattern::Regex(_) => 1,
        }
    }

    /// As an expression; a string as one that means itself.
    pub fn expression(&self) -> Result<Expression, String> {
        self.check()?;
        match self {
            Pattern::String(text) => Expression::new(&fancy_regex::escape(text)),
            Pattern::Regex(text) => Expression::new(text),
        }
    }
}

impl MetaspaceFile {
    pub fn scheme(&self) -> Result<PrependScheme, String> {
        match (self.add_prefix_space, self.prepend_scheme) {
            (Some(false), None | Some(PrependScheme::Never)) => Ok(PrependScheme::Never),
            (Some(false), Some(_)) => Err("Metaspace: add_prefix_space contradicts prepend_scheme".into()),
            (_, scheme) => Ok(scheme.unwrap_or(PrependScheme::Always)),
        }
    }
}

impl NormalizerFile {
    /// Whether it does something else at the beginning or end of a text.
    pub fn depends_on_place(&self) -> bool {
        match self {
            NormalizerFile::Prepend { .. } | NormalizerFile::Strip { .. } => true,
            NormalizerFile::Sequence { normalizers } => normalizers.iter().any(Self::depends_on_place),
            _ => false,
        }
    }

    /// Builds it for a piece of a text; multiplies `growth` by how much longer it may make a text.
    pub fn build(&self, place: PiecePosition, growth: &mut f64) -> Result<Normalizer, String> {
        let (factor, built): (f64, NormalizerWrapper) = match self {
            NormalizerFile::BertNormalizer { clean_text, handle_chinese_chars, strip_accents, lowercase } => {
                (3.0, BertNormalizer::new(*clean_text, *handle_chinese_chars, *strip_accents, *lowercase).into())
            }
            NormalizerFile::Strip { strip_left, strip_right } => {
                (1.0, Strip::new(*strip_left && place.first, *strip_right && place.last).into())
            }
            NormalizerFile::StripAccents => (1.0, StripAccents.into()),
            NormalizerFile::Nfc => (1.0, n::NFC.into()),
            NormalizerFile::Nfd => (1.0, n::NFD.into()),
            NormalizerFile::Nfkc => (1.0, n::NFKC.into()),
            NormalizerFile::Nfkd => (1.0, n::NFKD.into()),
            NormalizerFile::Lowercase => (1.0, n::Lowercase.into()),
            NormalizerFile::Nmt => (1.0, n::Nmt.into()),
            NormalizerFile::ByteLevel {} => (2.0, n::ByteLevel::new().into()),
            NormalizerFile::Prepend { prepend } => {
                let prepend = if place.first { prepend.clone() } else { String::new() };
                (1.0, Prepend::new(prepend).into())
            }
            NormalizerFile::Replace { pattern, content } => {
                grow(growth, content.len() as f64 / pattern.shortest() as f64)?;
                return Ok(Normalizer::Replace(pattern.expression()?.into(), content.clone()));
            }
            NormalizerFile::Precompiled { precompiled_charsmap } => {
                let map = charsmap::decode(precompiled_charsmap)?;
                let longest = charsmap::check(&map)?;
                (longest as f64, Precompiled::from(&map).map_err(|e| e.to_string())?.into())
            }
            NormalizerFile::Sequence { normalizers } => {
                let parts = normalizers.iter().map(|part| part.build(place, growth));
                return Ok(Normalizer::Sequence(parts.collect::<Result<_, String>>()?));
            }
        };
        grow(growth, factor)?;
        Ok(Normalizer::Plain(built))
    }
}

impl PreTokenizerFile {
    /// Whether it does something else at the beginning of a text.
    pub fn depends_on_place(&self) -> bool {
        match self {
            PreTokenizerFile::ByteLevel { add_prefix_space, .. } => *add_prefix_space,
            PreTokenizerFile::Metaspace(_) => true,
            PreTokenizerFile::Sequence { pretokenizers } => pretokenizers.iter().any(Self::depends_on_place),
            _ => false,
        }
    }

    /// Whether a line end is always a border between its words.
    fn splits_lines(&self) -> bool {
        match self {
            PreTokenizerFile::CharDelimiterSplit { delimiter } => *delimiter == '\n',
            PreTokenizerFile::ByteLevel { use_regex, .. } => *use_regex,
            PreTokenizerFile::BertPreTokenizer
            | PreTokenizerFile::Split { .. }
            | PreTokenizerFile::Whitespace
            | PreTokenizerFile::WhitespaceSplit => true,
            _ => false,
        }
    }

    /// Builds it for a piece of a text; multiplies `growth` by how much longer it may make a text. `in_words` says
    /// that the text is already cut at line ends: then what stands in front of each word also does in later pieces.
    pub fn build(&self, place: PiecePosition, in_words: &mut bool, growth: &mut f64) -> Result<PreTokenizer, String> {
        let begins = place.first || *in_words;
        let (factor, built): (f64, PreTokenizerWrapper) = match self {
            PreTokenizerFile::BertPreTokenizer => (1.0, BertPreTokenizer.into()),
            PreTokenizerFile::ByteLevel { add_prefix_space, use_regex } => {
                (3.0, ByteLevel::new(*add_prefix_space && begins, true, *use_regex).into())
            }
            PreTokenizerFile::CharDelimiterSplit { delimiter } => (1.0, CharDelimiterSplit::new(*delimiter).into()),
            PreTokenizerFile::Digits { individual_digits } => (1.0, Digits::new(*individual_digits).into()),
            PreTokenizerFile::FixedLength { length: 0 } => return Err("FixedLength: length is 0".into()),
            PreTokenizerFile::FixedLength { length } => (1.0, FixedLength::new(*length).into()),
            PreTokenizerFile::Metaspace(metaspace) => {
                let scheme = match metaspace.scheme()? {
                    PrependScheme::Always if begins => PrependScheme::Always,
                    PrependScheme::First if place.first => PrependScheme::First,
                    _ => PrependScheme::Never,
                };
                let replacement = metaspace.replacement;
                let factor = 1.0 + replacement.len_utf8() as f64;
                (factor, Metaspace::new(replacement, scheme, metaspace.split.unwrap_or(true)).into())
            }
            PreTokenizerFile::Punctuation { behavior } => {
                (1.0, Punctuation::new(behavior.unwrap_or(SplitDelimiterBehavior::Isolated)).into())
            }
            PreTokenizerFile::Split { pattern, behavior, invert } => {
                let (expression, behavior, invert) = (pattern.expression()?.into(), *behavior, *invert);
                *in_words |= self.splits_lines();
                return Ok(PreTokenizer::Split { expression, behavior, invert });
            }
            PreTokenizerFile::UnicodeScripts => (1.0, UnicodeScripts::new().into()),
            PreTokenizerFile::Whitespace => (1.0, Whitespace.into()),
            PreTokenizerFile::WhitespaceSplit => (1.0, WhitespaceSplit.into()),
            PreTokenizerFile::Sequence { pretokenizers } => {
                let parts = pretokenizers.iter().map(|part| part.build(place, in_words, growth));
                return Ok(PreTokenizer::Sequence(parts.collect::<Result<_, String>>()?));
            }
        };
        *in_words |= self.splits_lines();
        grow(growth, factor)?;
        Ok(PreTokenizer::Plain(built))
    }
}

/// Multiplies a bound on how much longer a text gets.
pub(super) fn grow(growth: &mut f64, factor: f64) -> Result<(), String> {
    *growth *= factor.max(1.0);
    if *growth <= MOST_GROWTH {
        return Ok(());
    }
    Err(format!("its parts could make a text {growth:.0} times as long; at most {MOST_GROWTH:.0} times is read"))
}
