//! Where in a text something stands.

/// The place of the next character.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Position {
    /// From 1.
    pub line: u64,
    /// In characters, from 1.
    pub column: u64,
}

impl Position {
    pub const START: Position = Position { line: 1, column: 1 };

    /// The place after a text that begins here.
    pub fn after(self, text: &str) -> Position {
        let lines = text.bytes().filter(|byte| *byte == b'\n').count() as u64;
        match text.rfind('\n') {
            Some(at) => Position { line: self.line + lines, column: 1 + text[at + 1..].chars().count() as u64 },
            None => Position { line: self.line, column: self.column + text.chars().count() as u64 },
        }
    }
}
