//! Bytes to text where a character may be cut in two.

use crate::error::{Error, Result};

/// Text from bytes that come in pieces, cut anywhere: a character's bytes wait until they are all there.
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
        text.push_str(valid);
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

    /// Pieces of the next line, which begins behind a line end of so many bytes.
    pub(super) fn next_line(&self, line_end: u64) -> Utf8Pieces {
        Utf8Pieces { rest: Vec::new(), offset: self.offset + line_end, lines: self.lines + 1 }
    }

    fn error(&self, what: &str) -> Error {
        Error::Text(format!("byte {} of the text (in line {}) {what}", self.offset, self.lines + 1))
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
