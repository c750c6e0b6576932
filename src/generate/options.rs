//! How tokens are chosen: what people ask for, and the row record that it becomes.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::ops::filters::{BANNED, MIN_P, TOKEN_FLAGS, TOP_K, TOP_P};
use crate::ops::rows::Row;

/// How the tokens of a sequence are chosen. Penalties and bans come first, then the temperature, then top-k, top-p of
/// what that leaves, and min-p. Log-probabilities that are reported are the model's own.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Options {
    /// Divides the logits; 0 takes the most likely token that is not banned.
    pub temperature: f32,
    /// Keeps this many of the likeliest tokens; 0 keeps all.
    pub top_k: usize,
    /// Keeps the likeliest tokens that together have this probability, the last one included; 1 keeps all.
    pub top_p: f32,
    /// Keeps tokens that have this share of the likeliest token's probability; 0 keeps all.
    pub min_p: f32,
    /// Divides the positive logits of tokens that occurred, and multiplies negative ones; 1 changes nothing.
    pub repetition_penalty: f32,
    /// Subtracted from the logits of tokens that occurred.
    pub presence_penalty: f32,
    /// Subtracted from a logit for each time that its token occurred.
    pub frequency_penalty: f32,
    /// Ids that are never drawn. A prompt may hold them.
    pub banned: Arc<[u32]>,
}

impl Default for Options {
    /// The model's own distribution.
    fn default() -> Options {
        Options {
            temperature: 1.0,
            top_k: 0,
            top_p: 1.0,
            min_p: 0.0,
            repetition_penalty: 1.0,
            presence_penalty: 0.0,
            frequency_penalty: 0.0,
            banned: Arc::default(),
        }
    }
}

/// The lowest temperature but 0: below, all but one token have no probability in f32 anyhow.
const COLDEST: f32 = 1e-3;
/// No penalty is larger.
const MOST_PENALTY: f32 = 1000.0;

impl Options {
    /// A temperature and nothing else.
    pub fn at(temperature: f32) -> Options {
        Options { temperature, ..Options::default() }
    }

    /// Whether these options make sense for a vocabulary.
    ///
    /// # Errors
    /// A number out of its range; a banned id outside the vocabulary; bans of all of it.
    pub fn check(&self, vocab: usize) -> Result<()> {
        let Options { temperature, top_p, min_p, repetition_penalty, .. } = *self;
        let wrong = |name: &str, x: f32, expected: &str| {
            Err(Error::Option { name: name.into(), value: x.to_string(), expected: expected.into() })
        };
        if !(temperature == 0.0 || (COLDEST..=1000.0).contains(&temperature)) {
            return wrong("temperature", temperature, "0 (greedy), or 0.001 to 1000");
        }
        if !(top_p > 0.0 && top_p <= 1.0) {
            return wrong("top_p", top_p, "more than 0, and 1 (all tokens) at most");
        }
        if !(0.0..=1.0).contains(&min_p) {
            return wrong("min_p", min_p, "0 (all tokens) to 1");
        }
        if !(1.0 / MOST_PENALTY..=MOST_PENALTY).contains(&repetition_penalty) {
            return wrong("repetition_penalty", repetition_penalty, "0.001 to 1000, with 1 for none");
        }
        let penalties = [("presence_penalty", self.presence_penalty), ("frequency_penalty", self.frequency_penalty)];
        for (name, x) in penalties {
            if !(-MOST_PENALTY..=MOST_PENALTY).contains(&x) {
                return wrong(name, x, "-1000 to 1000, with 0 for none");
            }
        }
        self.check_banned(vocab)
    }

    fn check_banned(&self, vocab: usize) -> Result<()> {
        let mut banned = self.banned.to_vec();
        banned.sort_unstable();
        banned.dedup();
        let wrong = |value, expected| Err(Error::Option { name: "banned".into(), value, expected });
        match banned.last() {
            Some(id) if *id as usize >= vocab => {
                wrong(id.to_string(), format!("an id of the vocabulary, 0 to {}", vocab - 1))
            }
            Some(_) if banned.len() == vocab => {
                wrong(format!("all {vocab} tokens"), "one that is left to be drawn".into())
            }
            _ => Ok(()),
        }
    }

    /// Whether they need more than a temperature.
    pub fn need_filters(&self) -> bool {
        self.filters(usize::MAX) != 0
    }

    /// Bits of [`crate::ops::filters`].
    fn filters(&self, vocab: usize) -> u32 {
        let penalised = self.repetition_penalty != 1.0 || self.presence_penalty != 0.0 || self.frequency_penalty != 0.0;
        let token_flags = if penalised || !self.banned.is_empty() { TOKEN_FLAGS } else { 0 };
        if self.temperature == 0.0 {
            // The likeliest token is kept by every filter.
            return token_flags;
        }
        token_flags
            | if self.top_k > 0 && self.top_k < vocab { TOP_K } else { 0 }
            | if self.top_p < 1.0 { TOP_P } else { 0 }
            | if self.min_p > 0.0 { MIN_P } else { 0 }
    }

    /// The row's record of these options.
    pub fn row(&self, vocab: usize) -> Row {
        Row {
            inverse_temperature: if self.temperature == 0.0 { 0.0 } else { 1.0 / self.temperature },
            filters: self.filters(vocab),
            top_k: self.top_k.min(vocab) as u32,
            // 1 becomes the largest fraction there is, and is not looked at.
            top_p: (f64::from(self.top_p) * 4_294_967_296.0) as u32,
            ln_min_p: f64::from(self.min_p).max(1e-30).ln() as f32,
            repetition: self.repetition_penalty,
            inverse_repetition: 1.0 / self.repetition_penalty,
            presence: self.presence_penalty,
            frequency: self.frequency_penalty,
            ..Row::IDLE
        }
    }

    /// Whether a row with these options reads its token flags.
    pub(super) fn reads_token_flags(&self) -> bool {
        self.filters(usize::MAX) & TOKEN_FLAGS != 0
    }

    /// Tokens and their token flags, when `read` was read of a sequence.
    pub(super) fn token_flags(&self, read: &[u32]) -> Vec<[u32; 2]> {
        let mut tokens: Vec<u32> = read.to_vec();
        tokens.sort_unstable();
        let mut token_flags: Vec<[u32; 2]> = Vec::new();
        for token in tokens {
            match token_flags.last_mut() {
                Some(last) if last[0] == token => last[1] += 1,
                _ => token_flags.push([token, 1]),
            }
        }
        let counted = token_flags.len();
        let mut banned = self.banned.to_vec();
        banned.sort_unstable();
        banned.dedup();
        for id in banned {
            match token_flags[..counted].binary_search_by_key(&id, |mark| mark[0]) {
                Ok(i) => token_flags[i][1] |= BANNED,
                Err(_) => token_flags.push([id, BANNED]),
            }
        }
        token_flags
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(options: Options) -> String {
        options.check(10).expect_err("accepted").to_string()
    }

    #[test]
    fn ranges_and_bans_are_checked() {
        let plain = Options::default;
        assert!(plain().check(10).is_ok() && !plain().need_filters());
        for temperature in [-1.0, 1e-9, f32::NAN, f32::INFINITY] {
            assert!(error(Options::at(temperature)).contains("expected 0 (greedy)"));
        }
        assert!(error(Options { top_p: 0.0, ..plain() }).contains("top_p 0: expected more than 0"));
        assert!(error(Options { top_p: 1.5, ..plain() }).contains("top_p 1.5"));
        assert!(error(Options { min_p: -0.1, ..plain() }).contains("min_p -0.1"));
        assert!(error(Options { repetition_penalty: 0.0, ..plain() }).contains("repetition_penalty 0"));
        assert!(error(Options { presence_penalty: f32::NAN, ..plain() }).contains("presence_penalty NaN"));
        assert!(error(Options { frequency_penalty: 1e9, ..plain() }).contains("frequency_penalty"));
        assert!(
            error(Options { banned: [3, 10].into(), ..plain() })
                .contains("banned 10: expected an id of the vocabulary, 0 to 9")
        );
        assert!(
            error(Options { banned: (0..10).rev().collect(), ..plain() })
                .contains("all 10 tokens: expected one that is left")
        );
        assert!(Options { banned: [3; 10].into(), ..plain() }.check(10).is_ok());
    }

    #[test]
    fn marks_count_and_ban() {
        let options = Options { banned: [7, 3, 7].into(), ..Options::default() };
        let mut token_flags = options.token_flags(&[3, 5, 3, 0]);
        token_flags.sort_unstable();
        assert_eq!(token_flags, [[0, 1], [3, 2 | BANNED], [5, 1], [7, BANNED]]);
    }

    #[test]
    fn options_without_effect_need_nothing() {
        let greedy = Options { top_k: 3, top_p: 0.5, min_p: 0.1, ..Options::at(0.0) };
        assert!(!greedy.need_filters());
        assert!(Options { banned: [1].into(), ..greedy }.need_filters());
        assert_eq!(Options { top_k: 10, ..Options::default() }.row(10).filters, 0);
        assert_eq!(Options { top_k: 9, ..Options::default() }.row(10).filters, TOP_K);
    }
}
