//! Tokenizers: text to ids and back.
//!
//! A [`Tokenizer`] is one of four kinds: characters, bytes, a list of tokens, or a tokenizer.json of Hugging Face
//! (BPE, WordPiece, WordLevel, Unigram). [`Encoder`] turns a text of any length into ids piece by piece, [`Decoder`]
//! ids into text token by token, and [`StopTexts`] ends a text where one of several strings appears.
//! Everything here works on bytes in memory: no files, no clock, no threads.

mod byte_level;
mod characters;
mod charsmap;
mod components;
mod decoder;
mod encoder;
mod file;
mod hugging_face;
mod list;
mod model;
mod pattern;
mod position;
mod special;
mod steps;
mod stop;
mod tally;
mod utf8;

use std::fmt;
use std::sync::Arc;

use crate::error::{Error, Result, json_fault};
use characters::Characters;
use file::{File, Vocabulary};
use hugging_face::HuggingFace;
use list::List;
use special::Special;

pub use decoder::Decoder;
pub use encoder::Encoder;
pub use stop::StopTexts;
pub use tally::{Lacking, Tally};
pub(crate) use utf8::unmarked;
pub use utf8::{MARK, Utf8Pieces};

/// Text to ids and back. A clone shares the vocabulary.
#[derive(Clone)]
pub struct Tokenizer {
    kind: Arc<Kind>,
}

enum Kind {
    Characters(Box<Characters>),
    /// Ids 0 to 255 are the bytes, then come the special entries.
    Bytes(Special),
    List(List),
    HuggingFace(Box<HuggingFace>),
}

/// The treatment of text that the vocabulary lacks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnUnknown {
    /// An error that names the character, its line and its column.
    #[default]
    Error,
    /// Leave it out.
    Skip,
    /// Write this id in its place.
    Unk(u32),
}

/// The meaning of an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Entry<'a> {
    Text(&'a str),
    Byte(u8),
    /// Marks something (a beginning, an end) and is no text; its name.
    Special(&'a str),
}

impl Tokenizer {
    /// Reads tokenizer.json: one of our own kinds, or a Hugging Face file, by `model.type`. `file` is for messages.
    ///
    /// # Errors
    /// Not such a file, or one whose parts contradict each other: the file, the field or entry, what was found.
    pub fn from_json(json: &[u8], file: &str) -> Result<Tokenizer> {
        let wrong = |what: String| Error::model(file, what);
        let json = unmarked(json).map_err(wrong)?;
        let mut parsed: File = serde_json::from_slice(json).map_err(|e| wrong(json_fault(&e)))?;
        let strings = |vocabulary: Option<Vocabulary>| match vocabulary {
            Some(Vocabulary::Strings(strings)) => Ok(strings),
            _ => Err(wrong("model.vocab: expected an array of strings".into())),
        };
        let special = std::mem::take(&mut parsed.model.special);
        let kind = match parsed.model.kind.as_deref() {
            Some("characters") => {
                Kind::Characters(Box::new(Characters::new(strings(parsed.model.vocab)?, special).map_err(wrong)?))
            }
            Some("bytes") => Kind::Bytes(Special::new(special, 256, |_| None).map_err(wrong)?),
            Some("list") => Kind::List(List::new(strings(parsed.model.vocab)?, special).map_err(wrong)?),
            _ => Kind::HuggingFace(Box::new(HuggingFace::new(parsed, json).map_err(wrong)?)),
        };
        Ok(Tokenizer::of(kind))
    }

    /// Reads a plain list of tokens, whose ids are their order: a JSON array of strings, or a text with one token a
    /// line. The file is JSON when it begins with `["` or `[]`, blanks apart.
    ///
    /// In the text form `\n`, `\t`, `\r`, `\\` and `\u{...}` stand for what they stand for in Rust, and a line that
    /// is one backslash is a backslash; blanks belong to the token.
    ///
    /// # Errors
    /// No UTF-8, no token, an empty or doubled token, an unknown escape: with the line or entry.
    pub fn from_vocabulary(bytes: &[u8], file: &str) -> Result<Tokenizer> {
        let wrong = |what: String| Error::model(file, what);
        let tokens = list::read(bytes).map_err(wrong)?;
        Ok(Tokenizer::of(Kind::List(List::new(tokens, Default::default()).map_err(wrong)?)))
    }

    /// The 256 bytes.
    pub fn bytes() -> Tokenizer {
        Tokenizer::of(Kind::Bytes(Special::default()))
    }

    /// Characters in the order of their ids.
    ///
    /// # Errors
    /// None at all, or one that stands there twice.
    pub fn characters(characters: impl IntoIterator<Item = char>) -> Result<Tokenizer> {
        let vocab = characters.into_iter().map(String::from).collect();
        let characters = Characters::new(vocab, Default::default()).map_err(|what| Error::model("", what))?;
        Ok(Tokenizer::of(Kind::Characters(Box::new(characters))))
    }

    fn of(kind: Kind) -> Tokenizer {
        Tokenizer { kind: Arc::new(kind) }
    }

    /// The file that [`Tokenizer::from_json`] reads back as the same tokenizer; of a Hugging Face file, its very bytes.
    pub fn to_json(&self) -> Vec<u8> {
        let own = |kind, vocab, special: &Special| file::write(kind, vocab, special.by_name());
        match &*self.kind {
            Kind::Characters(characters) => own("characters", Some(characters.texts()), characters.special()),
            Kind::Bytes(special) => own("bytes", None, special),
            Kind::List(list) => own("list", Some(list.texts().iter().map(|t| t.to_string()).collect()), list.special()),
            Kind::HuggingFace(model) => model.json().to_vec(),
        }
    }

    /// The tokens of characters and lists as they are, in the order of their ids; of other kinds none.
    pub fn texts(&self) -> Vec<String> {
        match &*self.kind {
            Kind::Characters(characters) => characters.texts(),
            Kind::List(list) => list.texts().iter().map(|text| text.to_string()).collect(),
            Kind::Bytes(_) | Kind::HuggingFace(_) => Vec::new(),
        }
    }

    /// One more than the largest id.
    pub fn len(&self) -> usize {
        match &*self.kind {
            Kind::Characters(characters) => characters.len(),
            Kind::Bytes(special) => special.end(256),
            Kind::List(list) => list.len(),
            Kind::HuggingFace(model) => model.len(),
        }
    }

    /// Never: a tokenizer has at least one token.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The kind in words, such as `characters` or `BPE (tokenizer.json)`.
    pub fn kind(&self) -> &'static str {
        match &*self.kind {
            Kind::Characters(_) => "characters",
            Kind::Bytes(_) => "bytes",
            Kind::List(_) => "list of tokens",
            Kind::HuggingFace(model) => model.kind(),
        }
    }

    fn entry(&self, id: u32) -> Option<Entry<'_>> {
        match &*self.kind {
            Kind::Characters(characters) => characters.entry(id),
            Kind::Bytes(special) => match u8::try_from(id) {
                Ok(byte) => Some(Entry::Byte(byte)),
                Err(_) => special.name(id).map(Entry::Special),
            },
            Kind::List(list) => list.entry(id),
            Kind::HuggingFace(model) => model.entry(id),
        }
    }

    /// A token for display: line ends, control characters and bytes that are no text are escaped.
    pub fn token_text(&self, id: u32) -> Option<String> {
        let escaped = |text: &str| text.chars().flat_map(char::escape_debug).collect();
        Some(match self.entry(id)? {
            Entry::Byte(byte) => byte.escape_ascii().to_string(),
            Entry::Special(name) => escaped(name),
            Entry::Text(text) => match &*self.kind {
                Kind::HuggingFace(model) if model.is_byte_level() => byte_level::display(text),
                _ => escaped(text),
            },
        })
    }

    /// The id of a token as the vocabulary writes it, special ones included; of a byte, as `<0x0A>` or in ASCII.
    pub fn id_of(&self, token: &str) -> Option<u32> {
        match &*self.kind {
            Kind::Characters(characters) => characters.id_of(token),
            Kind::Bytes(special) => special.id(token).or_else(|| match token.as_bytes() {
                [byte] => Some(u32::from(*byte)),
                _ => byte_level::hexadecimal(token).map(u32::from),
            }),
            Kind::List(list) => list.id_of(token),
            Kind::HuggingFace(model) => model.id_of(token),
        }
    }

    /// Whether an id is a special entry: it marks something and decodes to nothing.
    pub fn is_special(&self, id: u32) -> bool {
        matches!(self.entry(id), Some(Entry::Special(_)))
    }

    /// The id that the vocabulary itself has for what it lacks: the model's `unk_token` or `unk_id` in a Hugging Face
    /// file, the special entry `<unk>` in our own kinds.
    pub fn unknown_id(&self) -> Option<u32> {
        match &*self.kind {
            Kind::Characters(characters) => characters.special().id("<unk>"),
            Kind::Bytes(_) => None,
            Kind::List(list) => list.special().id("<unk>"),
            Kind::HuggingFace(model) => model.unknown_id(),
        }
    }

    /// The ids of a whole text, all below [`Tokenizer::len`]. For long texts there is [`Encoder`].
    ///
    /// # Errors
    /// Text that the vocabulary lacks, where `unknown` says so; an [`OnUnknown::Unk`] that is no id.
    pub fn encode(&self, text: &str, unknown: OnUnknown) -> Result<Vec<u32>> {
        self.encode_and_note(text, unknown, &mut Lacking::default())
    }

    /// As [`Tokenizer::encode`]; adds what the vocabulary lacks to `lacking`.
    ///
    /// # Errors
    /// As [`Tokenizer::encode`].
    pub fn encode_and_note(&self, text: &str, unknown: OnUnknown, lacking: &mut Lacking) -> Result<Vec<u32>> {
        let mut ids = Vec::new();
        let mut encoder = Encoder::whole(self, unknown)?;
        encoder.push(text, &mut ids)?;
        encoder.finish(&mut ids)?;
        lacking.extend(&encoder.take_tally().lacking);
        Ok(ids)
    }

    /// The text of ids.
    ///
    /// # Errors
    /// An id that is no token.
    pub fn decode(&self, ids: &[u32]) -> Result<String> {
        let mut text = String::new();
        let mut decoder = Decoder::new(self);
        for id in ids {
            decoder.push(*id, &mut text)?;
        }
        decoder.finish(&mut text);
        Ok(text)
    }
}

impl fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tokenizer({}, {} ids)", self.kind(), self.len())
    }
}
