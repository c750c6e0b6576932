//! Text to ids, piece by piece.

use crate::error::{Error, Result};

use super::components::PiecePosition;
use super::hugging_face::{HuggingFace, Unknown};
use super::list::{List, Longest};
use super::position::Position;
use super::tally::Tally;
use super::utf8::{MARK, Utf8Pieces};
use super::{Kind, OnUnknown, Tokenizer};

/// Bytes after which a piece for a Hugging Face tokenizer ends at the next line end.
const PIECE: usize = 64 << 10;
/// Bytes after which it ends anywhere.
const LONGEST_PIECE: usize = 1 << 20;

/// Turns a text of any length into ids, as it comes. Lines and columns in errors go on from piece to piece.
///
/// Characters, bytes and lists give the same ids however the text is cut. Hugging Face tokenizers get the text in
/// pieces: the first line end after 64 KiB that stands between two characters that are no white space ends a piece;
/// where 1 MiB has none, the piece ends after its last white space, or anywhere. Where pieces end depends on the
/// text alone. The ids are those of the text as a whole if the tokenizer never joins or moves text across a line end,
/// which holds for the usual pre-tokenizers (ByteLevel, Split with GPT's expressions, Whitespace, BERT's) and, as
/// nothing is put in front of or stripped from later pieces, for Metaspace and Prepend when no token holds a line end.
pub struct Encoder {
    tokenizer: Tokenizer,
    unknown: OnUnknown,
    /// Text that waits for what comes after it.
    held: String,
    /// Where `held` begins.
    position: Position,
    /// Bytes of `held` that were searched for a cut.
    searched: usize,
    first: bool,
    piece: usize,
    longest: usize,
    utf8: Utf8Pieces,
    /// The first bytes of a text, while they may still be a byte-order mark.
    start: Vec<u8>,
    /// Whether a carriage return before a line end is no text.
    drops_returns: bool,
    /// Whether the bytes so far end with one.
    carriage_return: bool,
    tally: Tally,
}

impl Encoder {
    /// An encoder for one text.
    ///
    /// # Errors
    /// An [`OnUnknown::Unk`] that is no id.
    pub fn new(tokenizer: &Tokenizer, unknown: OnUnknown) -> Result<Encoder> {
        Encoder::with_pieces(tokenizer, unknown, PIECE, LONGEST_PIECE)
    }

    /// An encoder that takes the text as one piece.
    pub(super) fn whole(tokenizer: &Tokenizer, unknown: OnUnknown) -> Result<Encoder> {
        Encoder::with_pieces(tokenizer, unknown, usize::MAX, usize::MAX)
    }

    /// One that takes pieces of `piece` bytes, and of `longest` at the most where no piece ends before.
    pub fn with_pieces(tokenizer: &Tokenizer, unknown: OnUnknown, piece: usize, longest: usize) -> Result<Encoder> {
        if let OnUnknown::Unk(id) = unknown
            && tokenizer.entry(id).is_none()
        {
            return Err(Error::TokenId { id, vocabulary: tokenizer.len() });
        }
        Ok(Encoder {
            tokenizer: tokenizer.clone(),
            unknown,
            held: String::new(),
            position: Position::START,
            searched: 0,
            first: true,
            piece,
            longest,
            utf8: Utf8Pieces::default(),
            start: Vec::new(),
            drops_returns: match &*tokenizer.kind {
                Kind::Bytes(_) => false,
                Kind::HuggingFace(_) => true,
                Kind::Characters(_) | Kind::List(_) => tokenizer.id_of("\r").is_none(),
            },
            carriage_return: false,
            tally: Tally::default(),
        })
    }

    /// Takes the counts of the text read since the last call.
    pub fn take_tally(&mut self) -> Tally {
        std::mem::take(&mut self.tally)
    }

    /// Adds ids of the text that is certain by now.
    ///
    /// # Errors
    /// Text that the vocabulary lacks. The encoder is then of no more use.
    pub fn push(&mut self, text: &str, ids: &mut Vec<u32>) -> Result<()> {
        let tokenizer = self.tokenizer.clone();
        if !matches!(&*tokenizer.kind, Kind::Bytes(_)) {
            self.tally.bytes += text.len() as u64;
        }
        match &*tokenizer.kind {
            Kind::Bytes(_) => self.bytes(text.as_bytes(), ids),
            Kind::Characters(characters) => {
                ids.reserve(text.len());
                for (at, c) in text.char_indices() {
                    match characters.id(c) {
                        Some(id) => {
                            ids.push(id);
                            self.note_first(c.len_utf8());
                        }
                        None => ids.extend(self.lacking(text, at, &text[at..at + c.len_utf8()])?),
                    }
                }
                self.position = self.position.after(text);
            }
            Kind::List(list) if self.held.is_empty() => self.list(list, text, false, ids)?,
            Kind::List(list) => {
                let mut held = std::mem::take(&mut self.held);
                held.push_str(text);
                self.list(list, &held, false, ids)?;
            }
            Kind::HuggingFace(model) => {
                self.held.push_str(text);
                while let Some(cut) = self.cut(model) {
                    let rest = self.held.split_off(cut);
                    let piece = std::mem::replace(&mut self.held, rest);
                    self.hugging_face(model, &piece, false, ids)?;
                }
            }
        }
        Ok(())
    }

    /// Adds ids of a file's bytes, cut anywhere. To the bytes kind they may be anything, to the others they are UTF-8,
    /// and CR LF is a line end like LF, unless the vocabulary is of our own kinds and has a carriage return.
    /// A byte-order mark at the beginning is no text.
    ///
    /// # Errors
    /// As [`Encoder::push`]; bytes that are not UTF-8, with their place.
    pub fn push_bytes(&mut self, bytes: &[u8], ids: &mut Vec<u32>) -> Result<()> {
        if let Kind::Bytes(_) = &*self.tokenizer.kind {
            if !self.first || self.position.line > 1 {
                self.bytes(bytes, ids);
                return Ok(());
            }
            self.start.extend_from_slice(&bytes[..bytes.len().min(MARK.len())]);
            let rest = &bytes[bytes.len().min(MARK.len())..];
            if self.start.len() >= MARK.len() || !MARK.starts_with(&self.start) {
                self.begin(ids);
            }
            self.bytes(rest, ids);
            return Ok(());
        }
        let mut text = String::with_capacity(bytes.len() + 4);
        text.extend(std::mem::take(&mut self.carriage_return).then_some('\r'));
        self.utf8.push(bytes, &mut text)?;
        if self.drops_returns {
            self.carriage_return = text.ends_with('\r');
            text.truncate(text.len() - usize::from(self.carriage_return));
            if text.contains("\r\n") {
                text = text.replace("\r\n", "\n");
            }
        }
        self.push(&text, ids)
    }

    /// Takes what a text of bytes begins with, but for a byte-order mark.
    fn begin(&mut self, ids: &mut Vec<u32>) {
        self.first = false;
        let start = std::mem::take(&mut self.start);
        self.bytes(start.strip_prefix(MARK).unwrap_or(&start), ids);
    }

    fn bytes(&mut self, bytes: &[u8], ids: &mut Vec<u32>) {
        self.tally.bytes += bytes.len() as u64;
        ids.extend(bytes.iter().map(|byte| u32::from(*byte)));
        if !bytes.is_empty() {
            self.note_first(1);
        }
    }

    /// The first token stands for so many bytes.
    fn note_first(&mut self, bytes: usize) {
        if self.tally.first == 0 {
            self.tally.first = bytes as u64;
        }
    }

    /// Adds the ids of what was held back: the text ends. The encoder is then new.
    ///
    /// # Errors
    /// As [`Encoder::push_bytes`].
    pub fn finish(&mut self, ids: &mut Vec<u32>) -> Result<()> {
        self.utf8.finish()?;
        if std::mem::take(&mut self.carriage_return) {
            self.push("\r", ids)?;
        }
        let (tokenizer, held) = (self.tokenizer.clone(), std::mem::take(&mut self.held));
        match &*tokenizer.kind {
            Kind::List(list) => self.list(list, &held, true, ids)?,
            Kind::HuggingFace(model) => self.hugging_face(model, &held, true, ids)?,
            Kind::Bytes(_) => self.begin(ids),
            Kind::Characters(_) => {}
        }
        (self.position, self.searched, self.first, self.utf8) = (Position::START, 0, true, Utf8Pieces::default());
        Ok(())
    }

    /// As [`Encoder::finish`], where the text was a line of a file and the next line is a text of its own: lines and
    /// bytes in errors are counted on. `line_end` is the number of bytes that ended the line.
    ///
    /// # Errors
    /// As [`Encoder::push_bytes`].
    pub fn finish_line(&mut self, line_end: u64, ids: &mut Vec<u32>) -> Result<()> {
        let (line, utf8) = (self.position.line, self.utf8.next_line(line_end));
        self.finish(ids)?;
        (self.position.line, self.utf8) = (line + 1, utf8);
        Ok(())
    }

    /// Encodes what is certain and holds the rest.
    fn list(&mut self, list: &List, text: &str, last: bool, ids: &mut Vec<u32>) -> Result<()> {
        let mut at = 0;
        while let Some(c) = text[at..].chars().next() {
            match list.longest(&text.as_bytes()[at..], last) {
                Longest::Token(id, length) => {
                    ids.push(id);
                    self.note_first(length);
                    at += length;
                }
                Longest::None => {
                    let end = at + c.len_utf8();
                    ids.extend(self.lacking(text, at, &text[at..end])?);
                    at = end;
                }
                Longest::More => break,
            }
        }
        self.position = self.position.after(&text[..at]);
        self.held = text[at..].to_string();
        Ok(())
    }

    fn hugging_face(&mut self, model: &HuggingFace, text: &str, last: bool, ids: &mut Vec<u32>) -> Result<()> {
        let place = PiecePosition { first: std::mem::take(&mut self.first), last };
        let mut first = (self.tally.first == 0).then_some(0);
        model
            .encode(text, place, ids, &mut first, |unknown: Unknown<'_>| self.lacking(text, unknown.at, unknown.text))
            .map_err(|e| match e {
                Error::Steps { place, .. } => Error::Steps { place, line: self.position.line },
                other => other,
            })?;
        self.note_first(first.unwrap_or(0));
        self.position = self.position.after(text);
        self.searched = 0;
        Ok(())
    }

    /// Where the held text ends its first piece, if that is certain. The search goes on where it stopped.
    fn cut(&mut self, model: &HuggingFace) -> Option<usize> {
        let text = &self.held;
        if text.len() <= self.piece {
            return None;
        }
        let sticky = model.sticky().iter().map(String::len).max().unwrap_or(0);
        // After a cut there must be enough text to see what begins there.
        let enough = text.len().saturating_sub(sticky.max(4));
        let end = enough.min(self.longest);
        let from = self.searched.max(self.piece).min(end);
        let line_ends = (from..).zip(&text.as_bytes()[from..end]).filter(|(_, byte)| **byte == b'\n');
        if let Some(cut) = line_ends.map(|(at, _)| at + 1).find(|at| between_words(text, *at, model.sticky())) {
            return Some(cut);
        }
        self.searched = end;
        if enough < self.longest {
            return None;
        }
        let end = (0..=self.longest).rev().find(|at| text.is_char_boundary(*at))?;
        let blank = text[..end].char_indices().rev().find(|(_, c)| c.is_whitespace());
        Some(blank.map_or(end, |(at, c)| at + c.len_utf8()))
    }

    /// The id that replaces text that the vocabulary lacks, which stands at a byte of the text being encoded.
    fn lacking(&mut self, text: &str, at: usize, lacking: &str) -> Result<Option<u32>> {
        if self.unknown != OnUnknown::Error {
            self.tally.lacking.add(lacking);
        }
        match self.unknown {
            OnUnknown::Skip => return Ok(None),
            OnUnknown::Unk(id) => {
                self.note_first(lacking.len());
                return Ok(Some(id));
            }
            OnUnknown::Error => {}
        }
        let Position { line, column } = self.position.after(text.get(..at).unwrap_or(""));
        let mut scalars = lacking.chars();
        let text = match (scalars.next(), scalars.next()) {
            (Some(c), None) => format!("character {c:?} (U+{:04X})", u32::from(c)),
            _ => format!("{:?}", lacking.chars().take(40).collect::<String>()),
        };
        let unit = match &*self.tokenizer.kind {
            Kind::Characters(_) => "characters",
            _ => "tokens",
        };
        let unknown_token = self.tokenizer.unknown_id().and_then(|id| self.tokenizer.token_text(id));
        let vocabulary = format!("{} {unit}", self.tokenizer.len());
        Err(Error::Lacking { place: String::new(), text, line, column, vocabulary, unknown_token })
    }
}

/// Whether a line end before `at` stands alone between characters that are no white space, and no sticky token
/// begins, ends or goes on there.
fn between_words(text: &str, at: usize, sticky: &[String]) -> bool {
    let is_word = |c: Option<char>| c.is_some_and(|c| !c.is_whitespace());
    let (before, behind) = (&text[..at - 1], &text[at..]);
    is_word(before.chars().next_back())
        && is_word(behind.chars().next())
        && !sticky.iter().any(|token| {
            let touches = before.ends_with(token.as_str()) || behind.starts_with(token.as_str());
            touches || (token.contains('\n') && goes_over(text, at, token))
        })
}

/// Whether a token that holds a line end stands across a place.
fn goes_over(text: &str, at: usize, token: &str) -> bool {
    (at.saturating_sub(token.len() - 1)..at).any(|from| text.as_bytes()[from..].starts_with(token.as_bytes()))
}
