//! Messages on standard error. None of them can fail: a terminal that is gone or a full disk behind `2>` ends no run,
//! and what files say in them cannot steer a terminal.

use std::borrow::Cow;
use std::io::Write;

/// Characters of a line at most.
const LINE: usize = 2000;
/// Lines of a message at most.
const LINES: usize = 400;

/// Writes a message, followed by a line end.
pub fn message(text: &str) {
    write(&(readable(text) + "\n"));
}

/// Writes over the line of a terminal.
pub fn status(text: &str) {
    write(&format!("\r\x1b[K{}", readable(text)));
}

/// A text without characters that steer a terminal, each replaced by its number, and of bounded length.
pub fn readable(text: &str) -> String {
    let mut readable = String::with_capacity(text.len().min(LINE));
    for (number, line) in text.split('\n').enumerate() {
        if number == LINES {
            readable.push_str("\n...");
            break;
        }
        if number > 0 {
            readable.push('\n');
        }
        for (at, c) in line.chars().enumerate() {
            match c {
                _ if at == LINE => {
                    readable.push_str(" ...");
                    break;
                }
                c => push(&mut readable, c),
            }
        }
    }
    readable
}

/// A text of any length as standard output gets it: whole where it is a file or pipe; on a terminal, without characters
/// that steer it.
pub fn shown(text: &str, terminal: bool) -> Cow<'_, str> {
    let steers = |c: char| c.is_control() && c != '\n' && c != '\t';
    if !terminal || !text.contains(steers) {
        return text.into();
    }
    let mut shown = String::with_capacity(text.len() + 16);
    text.chars().for_each(|c| if c == '\n' { shown.push(c) } else { push(&mut shown, c) });
    shown.into()
}

fn push(text: &mut String, c: char) {
    match c {
        '\t' => text.push(c),
        c if c.is_control() => text.extend(c.escape_default()),
        c => text.push(c),
    }
}

fn write(text: &str) {
    // There is nowhere to say that nothing could be said.
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_steers_a_terminal_is_shown_and_lines_end() {
        assert_eq!(readable("a\x1b[2Jb\r\u{9b}\tc\nd\u{e9}"), "a\\u{1b}[2Jb\\r\\u{9b}\tc\nd\u{e9}");
        let long = readable(&"x".repeat(1 << 20));
        assert!(long.len() == LINE + 4 && long.ends_with("x ..."), "{}", long.len());
        assert_eq!(shown("a\x1b[2J\r\u{9b}\t\n", true), "a\\u{1b}[2J\\r\\u{9b}\t\n");
        assert_eq!(shown("a\x1b[2J\r\n", false), "a\x1b[2J\r\n");
        assert!(readable(&"x\n".repeat(1 << 16)).len() < 3 * LINES);
    }
}
