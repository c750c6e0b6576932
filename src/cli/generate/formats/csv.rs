//! Comma separated values: the text in quotes where it needs them (RFC 4180), and its negative log-probability.

use std::fmt::Write;

use super::Tag;
use super::text::push_line;
use crate::generate::Sequence;

pub(super) fn write(tag: &Tag, sequence: &Sequence, line: &mut String) {
    let mut text = String::new();
    push_line(&mut text, &tag.prompt);
    push_line(&mut text, &sequence.text);
    let edge = |c: Option<char>| c.is_some_and(char::is_whitespace);
    if text.contains([',', '"']) || edge(text.chars().next()) || edge(text.chars().last()) {
        line.push('"');
        line.push_str(&text.replace('"', "\"\""));
        line.push('"');
    } else {
        line.push_str(&text);
    }
    // Not -0 for a sequence of no tokens.
    let nll = 0.0 - sequence.log_probability();
    writeln!(line, ",{nll}").expect("a string takes all");
}

/// The text of a line, as it stands there.
pub(super) fn content(line: &str) -> Option<String> {
    line.rsplit_once(',').map(|(text, _)| text.to_string())
}
