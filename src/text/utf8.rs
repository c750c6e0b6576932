//! Bytes to text where a character may be cut in two.

use crate::error::{Error, Result};

/// The byte-order mark, as UTF-8: some programs begin files with it. It is no part of the text.
pub const MARK: &[u8] = "\u{feff}".as_bytes();

/// Bytes by which text in UTF-16 is known where it has no byte-order mark.
const LOOKED_AT: usize = 16;

/// The bytes of a whole file without a byte-order mark.
///
/// # Errors
/// UTF-16, with the way out.
pub(crate) fn unmarked(bytes: &[u8]) -> std::result::Result<&[u8], String> {
    match other_encoding(bytes) {
        Some(name) => Err(is_encoded(name)),
        None => Ok(bytes.strip_prefix(MARK).unwrap_or(bytes)),
    }
}

/// The name of an encoding other than UTF-8, recognised by its byte-order mark or by a zero in every second byte.
fn other_encoding(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        [0xff, 0xfe, 0, 0, ..] | [0, 0, 0xfe, 0xff, ..] => return Some("UTF-32"),
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => return Some("UTF-16"),
        _ => {}
    }
    let start = &bytes[..bytes.len().min(LOOKED_AT)];
    let alternate = |zero: usize| start.iter().enumerate().all(|(at, byte)| (*byte == 0) == (at % 2 == zero));
    match start.len() >= LOOKED_AT / 2 {
        true if alternate(1) => Some("UTF-16LE"),
        true if alternate(0) => Some("UTF-16BE"),
        _ => None,
    }
}

fn is_encoded(name: &str) -> String {
    format!("the text is in {name}; expected UTF-8. `iconv -f {name} -t UTF-8 FILE` writes it so")
}

/// Text from bytes that come in pieces, cut anywhere: a character's bytes wait until they are all there. A byte-order mark
/// at the beginning is passed over.
#[derive(Clone, Debug, Default)]
pub struct Utf8Pieces {
    /// The beginning of a character, at most three bytes.
    rest: Vec<u8>,
    /// Bytes before `rest`.
    offset: u64,
    /// Line ends before `rest`.
    lines: u64,
}

impl Utf8Pieces {
    /// Adds the characters that these bytes complete to `text`.
    ///
    /// # Errors
    /// Bytes that are not UTF-8, with their place; `text` then has all that came before.
    pub fn push(&mut self, mut bytes: &[u8], text: &mut String) -> Result<()> {
        if self.offset == 0 && self.rest.is_empty() {
            other_encoding(bytes).map_or(Ok(()), |name| Err(Error::text("", is_encoded(name))))?;
        }
        while !self.rest.is_empty() && !bytes.is_empty() {
            self.rest.push(bytes[0]);
            bytes = &bytes[1..];
            let rest = std::mem::take(&mut self.rest);
            self.take(&rest, text)?;
        }
        self.take(bytes, text)
    }

    /// Moves what is complete to `text`, keeps an unfinished character.
    fn take(&mut self, bytes: &[u8], text: &mut String) -> Result<()> {
        let (valid, wrong) = match std::str::from_utf8(bytes) {
            Ok(all) => (all, false),
            Err(error) => {
                let (valid, rest) = bytes.split_at(error.valid_up_to());
                self.rest.extend_from_slice(if error.error_len().is_none() { rest } else { &[] });
                (std::str::from_utf8(valid).unwrap_or_default(), error.error_len().is_some())
            }
        };
        let mark = if self.offset == 0 { "\u{feff}" } else { "" };
        text.push_str(valid.strip_prefix(mark).unwrap_or(valid));
        self.offset += valid.len() as u64;
        self.lines += valid.bytes().filter(|byte| *byte == b'\n').count() as u64;
        if wrong { Err(self.error("is not UTF-8")) } else { Ok(()) }
    }

    /// Says that no more bytes come.
    ///
    /// # Errors
    /// The last character is unfinished.
    pub fn finish(&mut self) -> Result<()> {
        if self.rest.is_empty() { Ok(()) } else { Err(self.error("is the beginning of a character that does not end")) }
    }

    /// Pieces of the next line, which begins after a line end of so many bytes.
    pub(super) fn next_line(&self, line_end: u64) -> Utf8Pieces {
        Utf8Pieces { rest: Vec::new(), offset: self.offset + line_end, lines: self.lines + 1 }
    }

    fn error(&self, what: &str) -> Error {
        Error::text("", format!("byte {} of the text (in line {}) {what}", self.offset, self.lines + 1))
    }
}

/// Text from bytes that come in pieces; what is not UTF-8 becomes U+FFFD, one for each run that could have begun a
/// character, as in [`String::from_utf8_lossy`].
#[derive(Clone, Debug, Default)]
pub(super) struct LossyPieces {
    rest: Vec<u8>,
}

impl LossyPieces {
    pub fn push(&mut self, bytes: &[u8], text: &mut String) {
        self.rest.extend_from_slice(bytes);
        let bytes = std::mem::take(&mut self.rest);
        let mut from = &bytes[..];
        while let Err(error) = std::str::from_utf8(from) {
            let (valid, wrong) = from.split_at(error.valid_up_to());
            text.push_str(std::str::from_utf8(valid).unwrap_or_default());
            let Some(length) = error.error_len() else {
                self.rest.extend_from_slice(wrong);
                return;
            };
            text.push(char::REPLACEMENT_CHARACTER);
            from = &wrong[length..];
        }
        text.push_str(std::str::from_utf8(from).unwrap_or_default());
    }

    pub fn finish(&mut self, text: &mut String) {
        text.push_str(&String::from_utf8_lossy(&self.rest));
        self.rest.clear();
    }
}
