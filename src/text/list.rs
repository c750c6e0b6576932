//! Tokens of a plain list, the longest that fits first.

use std::collections::BTreeMap;

use super::Entry;
use super::model::LONGEST_TOKEN;
use super::special::Special;
use super::utf8::unmarked;
use crate::error::json_fault;

/// A list of tokens. Where several fit, the longest is taken, then the text goes on after it.
pub(super) struct List {
    texts: Vec<Box<str>>,
    /// Ids without the special ones, in the order of their texts' bytes: the tokens that begin alike lie together.
    sorted: Vec<u32>,
    /// Where the tokens with each first byte begin in `sorted`.
    first: Vec<u32>,
    special: Special,
}

/// The longest token at the beginning of a text.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Longest {
    /// This token, of this many bytes.
    Token(u32, usize),
    /// No token begins so.
    None,
    /// The text ends where a longer token could still go on.
    More,
}

impl List {
    pub fn new(vocab: Vec<String>, special: BTreeMap<String, u32>) -> Result<List, String> {
        if vocab.is_empty() {
            return Err("the vocabulary is empty".into());
        }
        let special = Special::new(special, vocab.len(), |id| vocab.get(id).map(String::as_str))?;
        let texts: Vec<Box<str>> = vocab.into_iter().map(String::into_boxed_str).collect();
        if let Some(id) = texts.iter().position(|text| text.is_empty()) {
            return Err(format!("vocabulary entry {id} is empty"));
        }
        // At each place of a text as much of a token may be compared as there is.
        if let Some(id) = texts.iter().position(|text| text.len() > LONGEST_TOKEN) {
            let length = texts[id].len();
            return Err(format!("vocabulary entry {id} has {length} bytes; at most {LONGEST_TOKEN} are read"));
        }
        let text = |id: &u32| &texts[*id as usize];
        let mut sorted: Vec<u32> = (0..texts.len() as u32).collect();
        sorted.sort_by(|a, b| text(a).cmp(text(b)));
        if let Some(pair) = sorted.windows(2).find(|pair| text(&pair[0]) == text(&pair[1])) {
            return Err(format!("vocabulary entry {}, {:?}, stands there twice", pair[1], text(&pair[1])));
        }
        sorted.retain(|id| special.name(*id).is_none());
        let below = |byte: usize| sorted.partition_point(|id| usize::from(text(id).as_bytes()[0]) < byte);
        let first = (0..=256).map(|byte| below(byte) as u32).collect();
        Ok(List { texts, sorted, first, special })
    }

    pub fn len(&self) -> usize {
        self.special.end(self.texts.len())
    }

    pub fn texts(&self) -> &[Box<str>] {
        &self.texts
    }

    pub fn special(&self) -> &Special {
        &self.special
    }

    pub fn id_of(&self, token: &str) -> Option<u32> {
        let at = self.sorted.binary_search_by(|id| (*self.texts[*id as usize]).cmp(token));
        self.special.id(token).or_else(|| at.ok().map(|at| self.sorted[at]))
    }

    pub fn entry(&self, id: u32) -> Option<Entry<'_>> {
        match self.special.name(id) {
            Some(name) => Some(Entry::Special(name)),
            None => self.texts.get(id as usize).map(|text| Entry::Text(text)),
        }
    }

    /// The longest token at the beginning of a text that is not empty; `last` says that nothing comes after it.
    pub fn longest(&self, text: &[u8], last: bool) -> Longest {
        let byte = usize::from(text[0]);
        let (mut low, mut high) = (self.first[byte] as usize, self.first[byte + 1] as usize);
        let mut found = Longest::None;
        let mut depth = 1;
        while low < high {
            // All of low..high begin with text[..depth]; the one that is no longer than that stands first.
            let at = |i: usize| self.texts[self.sorted[i] as usize].as_bytes();
            if at(low).len() == depth {
                found = Longest::Token(self.sorted[low], depth);
                low += 1;
                if low == high {
                    break;
                }
            }
            let Some(next) = text.get(depth) else {
                return if last { found } else { Longest::More };
            };
            let range = low..high;
            low += self.sorted[range.clone()].partition_point(|id| self.texts[*id as usize].as_bytes()[depth] < *next);
            high = range.start
                + self.sorted[range].partition_point(|id| self.texts[*id as usize].as_bytes()[depth] <= *next);
            depth += 1;
        }
        found
    }
}

/// The tokens of a file: a JSON array of strings or a text with one token a line.
pub(super) fn read(bytes: &[u8]) -> Result<Vec<String>, String> {
    let text = std::str::from_utf8(unmarked(bytes)?).map_err(|e| format!("byte {} is not UTF-8", e.valid_up_to()))?;
    let inside = text.trim_start().strip_prefix('[').map(str::trim_start);
    if inside.is_some_and(|rest| rest.starts_with(['"', ']'])) {
        return serde_json::from_str(text).map_err(|e| json_fault(&e));
    }
    let mut tokens = Vec::new();
    for (number, line) in (1..).zip(text.split_terminator('\n')) {
        let line = line.strip_suffix('\r').unwrap_or(line);
        if line.is_empty() {
            return Err(format!("line {number} is empty; a line end as a token is written \\n"));
        }
        tokens.push(unescape(line).map_err(|what| format!("line {number}: {what}"))?);
    }
    Ok(tokens)
}

fn unescape(line: &str) -> Result<String, String> {
    if line == "\\" || !line.contains('\\') {
        return Ok(line.into());
    }
    let wrong = |what: &str| format!("{what}; known are \\n \\t \\r \\\\ and \\u{{10FFFF}}");
    let mut token = String::with_capacity(line.len());
    let mut rest = line.chars();
    while let Some(c) = rest.next() {
        if c != '\\' {
            token.push(c);
            continue;
        }
        match rest.next() {
            Some('n') => token.push('\n'),
            Some('t') => token.push('\t'),
            Some('r') => token.push('\r'),
            Some('\\') => token.push('\\'),
            Some('u') => {
                let code = rest.as_str().strip_prefix('{').and_then(|code| code.split_once('}'));
                let (code, after) = code.ok_or_else(|| wrong("\\u without {...}"))?;
                let scalar = u32::from_str_radix(code, 16).ok().and_then(char::from_u32);
                token.push(scalar.ok_or_else(|| wrong(&format!("\\u{{{code}}} is no character")))?);
                rest = after.chars();
            }
            Some(other) => return Err(wrong(&format!("unknown escape \\{other}"))),
            None => return Err(wrong("a backslash at the end")),
        }
    }
    Ok(token)
}
