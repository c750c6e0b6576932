//! One line a sequence: prompt and text.

use super::Tag;
use crate::generate::Sequence;

pub(super) fn write(tag: &Tag, sequence: &Sequence, line: &mut String) {
    push_line(line, &tag.prompt);
    push_line(line, &sequence.text);
    line.push('\n');
}

/// Adds a text without line ends.
pub(super) fn push_line(line: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '\n' => line.push_str("\\n"),
            '\r' => line.push_str("\\r"),
            c => line.push(c),
        }
    }
}
