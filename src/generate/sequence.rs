//! A sequence as it arrives: tokens become text, until an end token, a stop text or the last token.

use crate::error::Result;
use crate::ops::rows::Finish;
use crate::text::{Decoder, StopTexts, Tokenizer};

/// Why a sequence ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FinishReason {
    /// It drew an end token (eos).
    Eos,
    /// A stop text came.
    Stop,
    /// It has as many tokens as it may have.
    Length,
}

impl FinishReason {
    /// The reason in one word: `eos`, `stop` or `length`.
    pub fn word(self) -> &'static str {
        match self {
            FinishReason::Eos => "eos",
            FinishReason::Stop => "stop",
            FinishReason::Length => "length",
        }
    }
}

/// A sequence that is being generated, without its prompt.
#[derive(Debug)]
pub struct Sequence {
    decoder: Decoder,
    /// Ids from here on pad the vocabulary: they are no tokens and have no text.
    padding: usize,
    stops: StopTexts,
    eos: Vec<u32>,
    /// The text, as far as it is certain: neither an end token nor a stop text is part of it.
    pub text: String,
    /// All tokens, those of an end token or a stop text included.
    pub tokens: Vec<u32>,
    /// The log-probability of each, in nats, under the model without filters at temperature 1.
    pub log_probs: Vec<f32>,
    /// Why it ended, once it has.
    pub finish: Option<FinishReason>,
}

impl Sequence {
    /// A sequence without tokens that ends at one of the ids `eos` or of the texts `stops`.
    pub fn new(tokenizer: &Tokenizer, stops: StopTexts, eos: Vec<u32>) -> Sequence {
        Sequence {
            decoder: Decoder::new(tokenizer),
            padding: tokenizer.len(),
            stops,
            eos,
            text: String::new(),
            tokens: Vec::new(),
            log_probs: Vec::new(),
            finish: None,
        }
    }

    /// Takes a token in; `finish` says whether the device let the row end with it. After its end a sequence takes
    /// nothing more.
    ///
    /// # Errors
    /// An id that the tokenizer skipped.
    pub fn push(&mut self, token: u32, log_prob: f32, finish: Option<Finish>) -> Result<()> {
        if self.finish.is_some() {
            return Ok(());
        }
        self.tokens.push(token);
        self.log_probs.push(log_prob);
        let mut piece = String::new();
        if self.eos.contains(&token) {
            self.finish = Some(FinishReason::Eos);
        } else {
            if (token as usize) < self.padding {
                self.decoder.push(token, &mut piece)?;
            }
            self.finish = finish.map(|_| FinishReason::Length);
        }
        if self.finish.is_some() {
            self.decoder.finish(&mut piece);
        }
        if self.stops.push(&piece, &mut self.text).is_some() {
            self.finish = Some(FinishReason::Stop);
        } else if self.finish.is_some() {
            self.stops.finish(&mut self.text);
        }
        Ok(())
    }

    /// The sum of the tokens' log-probabilities.
    pub fn log_probability(&self) -> f64 {
        self.log_probs.iter().map(|p| f64::from(*p)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sequence(stops: &[&str], eos: &[u32]) -> Sequence {
        let tokenizer = Tokenizer::characters("abc.".chars()).unwrap();
        Sequence::new(&tokenizer, StopTexts::new(stops).unwrap(), eos.to_vec())
    }

    fn fed(mut sequence: Sequence, tokens: &[u32]) -> Sequence {
        for (i, token) in tokens.iter().enumerate() {
            let last = (i + 1 == tokens.len()).then_some(Finish::Length);
            sequence.push(*token, -0.5, last).unwrap();
        }
        sequence
    }

    #[test]
    fn it_ends_at_its_length() {
        let ended = fed(sequence(&["cc"], &[]), &[0, 1, 2]);
        assert_eq!((ended.text.as_str(), ended.finish), ("abc", Some(FinishReason::Length)));
        assert_eq!(ended.log_probability(), -1.5);
    }

    #[test]
    fn a_stop_text_is_not_shown_and_ends_it() {
        let ended = fed(sequence(&["bc", "zz"], &[]), &[0, 1, 2, 0]);
        assert_eq!((ended.text.as_str(), ended.finish), ("a", Some(FinishReason::Stop)));
        assert_eq!(ended.tokens, [0, 1, 2]);
    }

    #[test]
    fn an_end_token_is_not_shown_and_frees_what_was_held_back() {
        let ended = fed(sequence(&["bb"], &[3]), &[0, 1, 3, 0]);
        assert_eq!((ended.text.as_str(), ended.finish), ("ab", Some(FinishReason::Eos)));
        assert_eq!(ended.tokens, [0, 1, 3]);
    }
}
