//! Comma separated values (RFC 4180): prompt and text as they are, in quotes where they need them, and the text's negative
//! log-probability.

use std::fmt::Write;

use super::Tag;
use crate::generate::Sequence;

pub(super) fn write(tag: &Tag, sequence: &Sequence, line: &mut String) {
    for text in [&*tag.prompt, &sequence.text] {
        push_field(line, text);
        line.push(',');
    }
    // Not -0 for a sequence of no tokens.
    let nll = 0.0 - sequence.log_probability();
    writeln!(line, "{nll}").expect("a string takes all");
}

fn push_field(line: &mut String, text: &str) {
    let edge = |c: Option<char>| c.is_some_and(char::is_whitespace);
    if text.contains([',', '"', '\n', '\r']) || edge(text.chars().next()) || edge(text.chars().last()) {
        line.push('"');
        line.push_str(&text.replace('"', "\"\""));
        line.push('"');
    } else {
        line.push_str(text);
    }
}

/// Prompt and text of a record, as they stand there.
pub(super) fn content(record: &str) -> Option<String> {
    record.rsplit_once(',').map(|(texts, _)| texts.to_string())
}

/// Whether a quoted field that is open before a line is not after it, or the other way round.
pub(super) fn turns(line: &str) -> bool {
    !line.bytes().filter(|byte| *byte == b'"').count().is_multiple_of(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_quoted_where_a_reader_needs_it() {
        let field = |text: &str| {
            let mut line = String::new();
            push_field(&mut line, text);
            line
        };
        for (text, written) in [
            ("", ""),
            ("C/C=C\\n1", "C/C=C\\n1"),
            ("a,b", "\"a,b\""),
            ("say \"a\"", "\"say \"\"a\"\"\""),
            ("a\nb", "\"a\nb\""),
            ("a\rb", "\"a\rb\""),
            (" a", "\" a\""),
        ] {
            assert_eq!(field(text), written);
        }
        assert!(turns("a,\"b\n") && turns("b\"\"\",1\n") && !turns("a,\"b\",1\n"));
    }
}
