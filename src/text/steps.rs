//! Decoders of a Hugging Face file, as steps that take one token after the other.
//!
//! The crate's decoders want all tokens at once. These give the same text, but whatever is certain at once.

use serde::Deserialize;
use tokenizers::pre_tokenizers::metaspace::PrependScheme;

use super::byte_level;
use super::components::{MetaspaceFile, Pattern, grow};
use super::pattern::Expression;
use super::utf8::LossyPieces;

#[derive(Deserialize)]
#[serde(tag = "type")]
pub(super) enum DecoderFile {
    #[serde(rename = "BPEDecoder")]
    Bpe {
        suffix: String,
    },
    ByteLevel {},
    WordPiece {
        prefix: String,
        cleanup: bool,
    },
    Metaspace(MetaspaceFile),
    Sequence {
        decoders: Vec<DecoderFile>,
    },
    Replace {
        pattern: Pattern,
        content: String,
    },
    Fuse {},
    Strip {
        content: char,
        start: usize,
        stop: usize,
    },
    ByteFallback {},
    #[serde(rename = "CTC")]
    Ctc {},
}

/// A step of decoding: tokens in, tokens out.
pub(super) enum Step {
    /// No decoder: tokens with blanks between.
    Join,
    /// Tokens are bytes written as characters. What comes out is one token.
    ByteLevel,
    /// `<0x0A>` is a byte.
    ByteFallback,
    /// A suffix ends a word: a blank follows, but not at the end.
    Suffix(String),
    /// Tokens begin words unless they have the prefix.
    WordPiece {
        prefix: String,
        cleanup: bool,
    },
    /// A character stands for a blank; in the first token it may stand for nothing.
    Metaspace {
        replacement: char,
        drop_first: bool,
    },
    Replace(Box<Expression>, String),
    /// All tokens become one; `Strip` then strips the whole text.
    Fuse,
    Strip {
        content: char,
        start: usize,
        stop: usize,
        whole: bool,
    },
}

/// State that a step carries from token to token.
#[derive(Clone, Debug, Default)]
pub(super) struct Memory {
    /// Whether a token came.
    begun: bool,
    bytes: LossyPieces,
    /// Bytes of `<0x..>` that are no whole character yet.
    fallback: Vec<u8>,
    /// Held back until it is known whether more comes.
    held: String,
    /// Characters stripped from the beginning.
    stripped: usize,
    /// Nothing more is stripped from the beginning.
    inside: bool,
}

/// The steps of a file.
pub(super) fn build(file: Option<DecoderFile>) -> Result<Vec<Step>, String> {
    let (mut steps, mut whole, mut growth) = (Vec::new(), false, 1.0);
    match file {
        None => steps.push(Step::Join),
        Some(file) => file.build(&mut steps, &mut whole, &mut growth).map_err(|what| format!("decoder: {what}"))?,
    }
    Ok(steps)
}

impl DecoderFile {
    /// Adds steps; `whole` says that the text is one token by now.
    fn build(self, steps: &mut Vec<Step>, whole: &mut bool, growth: &mut f64) -> Result<(), String> {
        let cannot = |what: &str| Err(format!("{what} of a whole text, after Fuse or ByteLevel, cannot be streamed"));
        match self {
            DecoderFile::Sequence { decoders } => {
                for decoder in decoders {
                    decoder.build(steps, whole, growth)?;
                }
            }
            DecoderFile::Ctc {} => return Err("CTC is for speech, not for language models".into()),
            DecoderFile::ByteLevel {} if *whole => return cannot("ByteLevel"),
            DecoderFile::ByteLevel {} => {
                steps.push(Step::ByteLevel);
                *whole = true;
            }
            DecoderFile::ByteFallback {} if *whole => return cannot("ByteFallback"),
            DecoderFile::ByteFallback {} => steps.push(Step::ByteFallback),
            DecoderFile::Bpe { suffix } if *whole || suffix.is_empty() => {
                return if suffix.is_empty() {
                    Err("BPEDecoder: the suffix is empty".into())
                } else {
                    cannot("BPEDecoder")
                };
            }
            DecoderFile::Bpe { suffix } => steps.push(Step::Suffix(suffix)),
            DecoderFile::WordPiece { .. } if *whole => return cannot("WordPiece"),
            DecoderFile::WordPiece { prefix, cleanup } => steps.push(Step::WordPiece { prefix, cleanup }),
            DecoderFile::Metaspace(_) if *whole => return cannot("Metaspace"),
            DecoderFile::Metaspace(metaspace) => {
                let drop_first = metaspace.scheme()? != PrependScheme::Never;
                steps.push(Step::Metaspace { replacement: metaspace.replacement, drop_first });
            }
            DecoderFile::Replace { .. } if *whole => return cannot("Replace"),
            DecoderFile::Replace { pattern, content } => {
                grow(growth, content.len() as f64 / pattern.shortest() as f64)?;
                steps.push(Step::Replace(pattern.expression()?.into(), content));
            }
            DecoderFile::Fuse {} => {
                steps.push(Step::Fuse);
                *whole = true;
            }
            DecoderFile::Strip { content, start, stop } => {
                steps.push(Step::Strip { content, start, stop, whole: *whole });
            }
        }
        Ok(())
    }
}

/// Sends a token through the steps; adds what comes out at the end to `text`.
pub(super) fn push(steps: &[Step], memories: &mut [Memory], token: &str, text: &mut String) {
    let (Some((step, steps)), Some((memory, memories))) = (steps.split_first(), memories.split_first_mut()) else {
        text.push_str(token);
        return;
    };
    step.push(memory, token, &mut |token| push(steps, memories, token, text));
}

/// Ends the text: each step gives what it held back to those after it.
pub(super) fn finish(steps: &[Step], memories: &mut [Memory], text: &mut String) {
    let (Some((step, steps)), Some((memory, memories))) = (steps.split_first(), memories.split_first_mut()) else {
        return;
    };
    step.finish(memory, &mut |token| push(steps, memories, token, text));
    finish(steps, memories, text);
}

impl Step {
    fn push(&self, memory: &mut Memory, token: &str, out: &mut dyn FnMut(&str)) {
        let first = !std::mem::replace(&mut memory.begun, true);
        match self {
            Step::Join if first => out(token),
            Step::Join => out(&format!(" {token}")),
            Step::Fuse => out(token),
            Step::ByteLevel => {
                let mut text = String::new();
                memory.bytes.push(&byte_level::bytes(token), &mut text);
                out(&text);
            }
            Step::ByteFallback => match byte_level::hexadecimal(token) {
                Some(byte) => fallback(&mut memory.fallback, byte, out),
                None => {
                    give_up(&mut memory.fallback, out);
                    out(token);
                }
            },
            Step::Suffix(suffix) => {
                let held = std::mem::take(&mut memory.held);
                if !held.is_empty() {
                    out(&held.replace(suffix.as_str(), " "));
                }
                match token.find(suffix.as_str()) {
                    Some(at) => {
                        out(&token[..at]);
                        memory.held.push_str(&token[at..]);
                    }
                    None => out(token),
                }
            }
            Step::WordPiece { prefix, cleanup } => {
                let text = match token.strip_prefix(prefix.as_str()) {
                    _ if first => token.to_string(),
                    Some(rest) => rest.to_string(),
                    None => format!(" {token}"),
                };
                out(&if *cleanup { clean_up(text) } else { text });
            }
            Step::Metaspace { replacement, drop_first } => {
                let blank = if first && *drop_first { "" } else { " " };
                out(&token.replace(*replacement, blank));
            }
            // A search that gives up leaves the token as it is.
            Step::Replace(expression, content) => match expression.replace(token, content) {
                Ok(text) => out(&text),
                Err(_) => out(token),
            },
            Step::Strip { content, start, stop, whole: false } => {
                let mut text = token;
                for _ in 0..(*start).min(token.len()) {
                    text = text.strip_prefix(*content).unwrap_or(text);
                }
                for _ in 0..(*stop).min(token.len()) {
                    text = text.strip_suffix(*content).unwrap_or(text);
                }
                out(text);
            }
            Step::Strip { content, start, stop, whole: true } => {
                strip_whole(memory, *content, *start, *stop, token, out)
            }
        }
    }

    fn finish(&self, memory: &mut Memory, out: &mut dyn FnMut(&str)) {
        match self {
            Step::ByteLevel => {
                let mut text = String::new();
                memory.bytes.finish(&mut text);
                out(&text);
            }
            Step::ByteFallback => give_up(&mut memory.fallback, out),
            Step::Suffix(suffix) if !memory.held.is_empty() => out(&memory.held.replace(suffix.as_str(), "")),
            _ => {}
        }
        *memory = Memory::default();
    }
}

/// Strips a text that comes in parts: up to `start` characters at its beginning, up to `stop` at its end. What may be
/// stripped from the end is held back.
fn strip_whole(memory: &mut Memory, content: char, start: usize, stop: usize, part: &str, out: &mut dyn FnMut(&str)) {
    let mut text = part;
    while !memory.inside && !text.is_empty() {
        match text.strip_prefix(content) {
            Some(rest) if memory.stripped < start => {
                memory.stripped += 1;
                text = rest;
            }
            _ => memory.inside = true,
        }
    }
    memory.held.push_str(text);
    let end = memory.held.trim_end_matches(content).len();
    let hold = (memory.held.len() - end).min(content.len_utf8().saturating_mul(stop));
    let cut = memory.held.len() - hold;
    out(&memory.held[..cut]);
    memory.held.drain(..cut);
}

/// Adds a byte; gives out a character as soon as it is whole, U+FFFD for each byte that cannot belong to one.
fn fallback(held: &mut Vec<u8>, byte: u8, out: &mut dyn FnMut(&str)) {
    held.push(byte);
    while !held.is_empty() {
        match std::str::from_utf8(held) {
            Ok(text) => {
                out(text);
                held.clear();
            }
            Err(error) if error.error_len().is_none() => return,
            Err(_) => {
                out("\u{fffd}");
                held.remove(0);
            }
        }
    }
}

fn give_up(held: &mut Vec<u8>, out: &mut dyn FnMut(&str)) {
    for _ in held.drain(..) {
        out("\u{fffd}");
    }
}

/// The clean-up that WordPiece's decoder applies to each token, in its order, so that English looks as usual.
fn clean_up(token: String) -> String {
    const PAIRS: [(&str, &str); 11] = [
        (" .", "."),
        (" ?", "?"),
        (" !", "!"),
        (" ,", ","),
        (" ' ", "'"),
        (" n't", "n't"),
        (" 'm", "'m"),
        (" do not", " don't"),
        (" 's", "'s"),
        (" 've", "'ve"),
        (" 're", "'re"),
    ];
    PAIRS.iter().fold(token, |token, (from, to)| if token.contains(from) { token.replace(from, to) } else { token })
}
