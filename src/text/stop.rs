//! Texts that end a generated text.

use std::sync::Arc;

use crate::error::{Error, Result};

/// Looks for several stop texts in a text that comes in pieces. Only what may still become a stop text is held back.
///
/// The first stop text to be complete ends the text; of several complete at the same character, the longest.
/// Each text needs its own: clone one to which nothing was pushed yet.
#[derive(Clone, Debug)]
pub struct StopTexts {
    stops: Arc<[Stop]>,
    /// Bytes of each stop text that the text so far ends with.
    matched: Vec<usize>,
    /// The end of the text, as long as the longest of `matched`.
    held: String,
    hit: Option<usize>,
}

#[derive(Debug)]
struct Stop {
    text: Box<[u8]>,
    /// For each number of matched bytes, the next smaller number that also matches.
    shorter: Box<[usize]>,
}

impl StopTexts {
    /// A matcher for these texts; with none, nothing is held back.
    ///
    /// # Errors
    /// An empty stop text.
    pub fn new<S: AsRef<str>>(stops: &[S]) -> Result<StopTexts> {
        if stops.iter().any(|stop| stop.as_ref().is_empty()) {
            return Err(Error::Option {
                name: "stop".into(),
                value: "\"\"".into(),
                expected: "a text that is not empty".into(),
            });
        }
        let stops: Arc<[Stop]> = stops.iter().map(|stop| Stop::new(stop.as_ref().as_bytes())).collect();
        Ok(StopTexts { matched: vec![0; stops.len()], stops, held: String::new(), hit: None })
    }

    /// The texts that it looks for.
    pub fn texts(&self) -> Vec<String> {
        self.stops.iter().map(|stop| String::from_utf8_lossy(&stop.text).into_owned()).collect()
    }

    /// Adds what is safe to show to `out`, and says which stop text ended the text. The stop text itself is not
    /// shown; after a hit nothing more is.
    pub fn push(&mut self, text: &str, out: &mut String) -> Option<usize> {
        if self.hit.is_some() || self.stops.is_empty() {
            out.push_str(if self.hit.is_some() { "" } else { text });
            return self.hit;
        }
        let before = self.held.len();
        self.held.push_str(text);
        for (i, byte) in text.bytes().enumerate() {
            let mut hit: Option<usize> = None;
            for (k, (stop, matched)) in self.stops.iter().zip(&mut self.matched).enumerate() {
                *matched = stop.advance(*matched, byte);
                let complete = *matched == stop.text.len();
                if complete && hit.is_none_or(|other| self.stops[other].text.len() < stop.text.len()) {
                    hit = Some(k);
                }
            }
            if let Some(k) = hit {
                self.held.truncate(before + i + 1 - self.stops[k].text.len());
                out.push_str(&self.held);
                self.held.clear();
                self.hit = hit;
                return hit;
            }
        }
        // A match begins where its stop text does, so the cut is between characters.
        let keep = self.matched.iter().copied().max().unwrap_or(0);
        let cut = self.held.len() - keep;
        out.push_str(&self.held[..cut]);
        self.held.drain(..cut);
        None
    }

    /// The text ends without a stop text: adds what was held back.
    pub fn finish(&mut self, out: &mut String) {
        out.push_str(&self.held);
        self.held.clear();
        self.matched.fill(0);
    }
}

impl Stop {
    fn new(text: &[u8]) -> Stop {
        let mut stop = Stop { text: text.into(), shorter: vec![0; text.len() + 1].into() };
        for (end, byte) in text.iter().enumerate().skip(1) {
            stop.shorter[end + 1] = stop.advance(stop.shorter[end], *byte);
        }
        stop
    }

    /// How much of the stop text the text ends with after one more byte. Constant time on average.
    fn advance(&self, mut matched: usize, byte: u8) -> usize {
        loop {
            if self.text.get(matched) == Some(&byte) {
                return matched + 1;
            }
            if matched == 0 {
                return 0;
            }
            matched = self.shorter[matched];
        }
    }
}
