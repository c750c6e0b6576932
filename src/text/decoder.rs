//! Ids to text, token by token.

use crate::error::{Error, Result};

use super::steps::{self, Memory};
use super::utf8::LossyPieces;
use super::{Entry, Kind, Tokenizer};

/// Turns ids into text as they come. Only whole characters come out; a token may be a part of one, then the next
/// tokens complete it. The cost of a token does not depend on how many came before.
#[derive(Clone, Debug)]
pub struct Decoder {
    tokenizer: Tokenizer,
    bytes: LossyPieces,
    /// One for each step of a Hugging Face decoder.
    memories: Vec<Memory>,
}

impl Decoder {
    /// A decoder for one text.
    pub fn new(tokenizer: &Tokenizer) -> Decoder {
        let steps = match &*tokenizer.kind {
            Kind::HuggingFace(model) => model.decoding().len(),
            _ => 0,
        };
        let (tokenizer, bytes) = (tokenizer.clone(), LossyPieces::default());
        Decoder { tokenizer, bytes, memories: vec![Memory::default(); steps] }
    }

    /// Adds what a token completes to `text`; special tokens add nothing.
    ///
    /// # Errors
    /// An id that is no token. The decoder is then as it was.
    pub fn push(&mut self, id: u32, text: &mut String) -> Result<()> {
        let tokenizer = &self.tokenizer;
        let missing = || Error::TokenId { id, vocabulary: tokenizer.len() };
        if let Kind::HuggingFace(model) = &*tokenizer.kind {
            if let Some(token) = model.decoded(id).ok_or_else(missing)? {
                steps::push(model.decoding(), &mut self.memories, token, text);
            }
            return Ok(());
        }
        match tokenizer.entry(id).ok_or_else(missing)? {
            Entry::Text(token) => text.push_str(token),
            Entry::Byte(byte) => self.bytes.push(&[byte], text),
            Entry::Special(_) => {}
        }
        Ok(())
    }

    /// Ends the text: adds what was held back, U+FFFD for a character that stayed unfinished. The decoder is then new.
    pub fn finish(&mut self, text: &mut String) {
        self.bytes.finish(text);
        if let Kind::HuggingFace(model) = &*self.tokenizer.kind {
            steps::finish(model.decoding(), &mut self.memories, text);
        }
    }
}
