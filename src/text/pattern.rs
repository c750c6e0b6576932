//! Regular expressions of a Hugging Face file, held to a number of steps.
//!
//! Expressions with look-around and back references are searched by backtracking, whose time may grow beyond all
//! measure with the text. The crate's own wrapper lets each search take a million steps, and takes a search that gave up
//! for the end of all matches, so words would be lost in silence. Here a search begins with few steps, and gets more
//! only as often as the text is long.

use std::cell::Cell;
use std::sync::OnceLock;

use fancy_regex::{Regex, RegexBuilder, RuntimeError};
use tokenizers::pattern::Pattern;

/// Steps that a search may take, and for how many bytes of the text there may be a search that takes them. A search
/// over a stretch without a match takes a step a byte, so a text that is slow only for that stays within.
const RUNGS: [(usize, usize); 3] = [(256, 1), (1 << 14, 256), (1 << 22, 1 << 14)];
/// Searches that any text may have of the steps of each rung.
const FREE: usize = 4;

thread_local! {
    /// Whether a search gave up: the crate drops what a normalizer says.
    static GAVE_UP: Cell<bool> = const { Cell::new(false) };
}

/// Whether a search of this thread gave up since this was asked last.
pub(super) fn gave_up() -> bool {
    GAVE_UP.take()
}

/// An expression.
#[derive(Debug)]
pub(super) struct Expression {
    text: String,
    /// The same for each rung; the later ones are compiled when they are wanted.
    rungs: [OnceLock<Regex>; RUNGS.len()],
}

impl Expression {
    pub fn new(text: &str) -> Result<Expression, String> {
        let rungs: [OnceLock<Regex>; RUNGS.len()] = Default::default();
        let first = build(text, RUNGS[0].0).map_err(|e| e.to_string())?;
        let _ = rungs[0].set(first);
        Ok(Expression { text: text.into(), rungs })
    }

    /// The first match from a place on. `left` counts searches down that each rung may have.
    fn find(&self, text: &str, from: usize, left: &mut [usize; RUNGS.len()]) -> Result<Option<(usize, usize)>, String> {
        for (rung, left) in left.iter_mut().enumerate() {
            if *left == 0 {
                break;
            }
            *left -= 1;
            let regex = self.rungs[rung].get_or_init(|| build(&self.text, RUNGS[rung].0).expect("it was built before"));
            match regex.find_from_pos(text, from) {
                Ok(found) => return Ok(found.map(|found| (found.start(), found.end()))),
                Err(fancy_regex::Error::RuntimeError(RuntimeError::BacktrackLimitExceeded)) => {}
                Err(_) => break,
            }
        }
        GAVE_UP.set(true);
        Err("a regular expression takes too many steps".into())
    }

    /// The text with something else in the place of each match.
    ///
    /// # Errors
    /// Too many steps.
    pub fn replace(&self, text: &str, content: &str) -> Result<String, String> {
        let found = self.matches(text).inspect_err(|_| _ = gave_up())?;
        let (mut replaced, mut end) = (String::with_capacity(text.len()), 0);
        for (from, to) in found {
            replaced.push_str(&text[end..from]);
            replaced.push_str(content);
            end = to;
        }
        Ok(replaced + &text[end..])
    }

    /// Where it matches, none of the matches within another, and from an empty one on at the next character.
    fn matches(&self, text: &str) -> Result<Vec<(usize, usize)>, String> {
        let mut left = RUNGS.map(|(_, bytes)| FREE + text.len() / bytes + 1);
        let (mut found, mut from, mut last) = (Vec::new(), 0, None);
        while from <= text.len() {
            let Some((start, end)) = self.find(text, from, &mut left)? else { break };
            let next = |at: usize| text[at..].chars().next().map_or(at + 1, |c| at + c.len_utf8());
            if start == end {
                from = next(end);
                // Right after another match an empty one is none.
                if last == Some(end) {
                    continue;
                }
            } else {
                from = end;
            }
            last = Some(end);
            found.push((start, end));
        }
        Ok(found)
    }
}

fn build(text: &str, steps: usize) -> Result<Regex, fancy_regex::Error> {
    RegexBuilder::new(text).backtrack_limit(steps).build()
}

impl Pattern for &Expression {
    fn find_matches(&self, inside: &str) -> tokenizers::Result<Vec<((usize, usize), bool)>> {
        if inside.is_empty() {
            return Ok(vec![((0, 0), false)]);
        }
        let (mut parts, mut end) = (Vec::with_capacity(inside.len()), 0);
        for (from, to) in self.matches(inside)? {
            if end != from {
                parts.push(((end, from), false));
            }
            parts.push(((from, to), true));
            end = to;
        }
        if end != inside.len() {
            parts.push(((end, inside.len()), false));
        }
        Ok(parts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, text: &str) -> Result<Vec<(usize, usize)>, String> {
        let found = Expression::new(pattern).unwrap().matches(text);
        assert_eq!(gave_up(), found.is_err());
        found
    }

    #[test]
    fn matches_are_those_of_the_library() {
        let text = "the cat's  hat,\n\n  明月 2024!   x ".repeat(20);
        for pattern in
            [r"\s+(?!\S)|\s+|\S+", r"", r"a*", r"(?=c)", r"\b", r"(.)\1", r"[a-z]+", r"(?<=t)\s*", r"$|^", r"\p{L}+|x?"]
        {
            let of_library: Vec<(usize, usize)> = Regex::new(pattern)
                .unwrap()
                .find_iter(&text)
                .map(|m| m.unwrap())
                .map(|m| (m.start(), m.end()))
                .collect();
            assert_eq!(matches(pattern, &text).unwrap(), of_library, "{pattern}");
        }
    }

    #[test]
    fn a_search_that_finds_nothing_for_long_is_not_given_up() {
        let text = format!("{}ab", "x".repeat(1 << 20));
        assert_eq!(matches(r"a(?=b)", &text).unwrap(), [(1 << 20, (1 << 20) + 1)]);
        let sparse = format!("{}ab", "x".repeat(300)).repeat(1000);
        assert_eq!(matches(r"a(?=b)", &sparse).unwrap().len(), 1000);
    }

    #[test]
    fn steps_that_multiply_are_given_up() {
        let text = "a".repeat(18 << 10);
        for pattern in [r"(?!(?:(?:a?){12}a{12}(?=Q)))\w", r"(a|aa)+\1(?!a)b", r"(a*)(a*)(a*)\1\2\3(?=b)"] {
            assert!(matches(pattern, &text).is_err(), "{pattern}");
        }
    }
}
