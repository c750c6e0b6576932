//! Where in a file, an output or a device something is wrong, and what it is.

use std::fmt;

/// A fault in a file, and where it is. It reads as `FILE, line 3: tensor `NAME` FOUND; expected EXPECTED`, as far
/// as the parts are known.
///
/// A text alone makes one: `Fault::from("not a zip archive")`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fault {
    /// The file; empty where the bytes have no name.
    pub file: String,
    /// The line, from 1.
    pub line: Option<u64>,
    /// The tensor.
    pub tensor: Option<Box<str>>,
    /// The field or entry.
    pub field: Option<Box<str>>,
    /// The fault itself. For a tensor or field it is the end of a sentence: `is missing`, `has shape [2, 3]`.
    pub found: Box<str>,
    /// The right value, where it can be said in short.
    pub expected: Option<Box<str>>,
    /// The option that may help, by its name in the library: `map`, `layers`, `tokenizer`.
    pub option: Option<&'static str>,
}

impl Fault {
    /// A tensor that is not as it should be.
    pub fn tensor(name: impl Into<String>, found: impl Into<String>) -> Fault {
        Fault { tensor: Some(name.into().into()), found: found.into().into(), ..Fault::default() }
    }

    /// A field that is not as it should be.
    pub fn field(name: impl Into<String>, found: impl Into<String>) -> Fault {
        Fault { field: Some(name.into().into()), found: found.into().into(), ..Fault::default() }
    }

    /// The same fault with what would be right.
    pub fn expected(self, expected: impl Into<String>) -> Fault {
        Fault { expected: Some(expected.into().into()), ..self }
    }

    /// The same fault with its line.
    pub fn on_line(self, line: u64) -> Fault {
        Fault { line: Some(line), ..self }
    }

    /// The same fault with the option that may help.
    pub fn helped_by(self, option: &'static str) -> Fault {
        Fault { option: Some(option), ..self }
    }

    /// The same fault within a place: in front of its file, or in the file's stead.
    pub fn within(self, place: &str) -> Fault {
        let file = if self.file.is_empty() { place.into() } else { format!("{place}: {}", self.file) };
        Fault { file, ..self }
    }
}

impl<T: Into<String>> From<T> for Fault {
    fn from(found: T) -> Fault {
        Fault { found: found.into().into(), ..Fault::default() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.file.is_empty(), self.line) {
            (false, Some(line)) => write!(f, "{}, line {line}: ", self.file)?,
            (false, None) => write!(f, "{}: ", self.file)?,
            (true, Some(line)) => write!(f, "line {line}: ")?,
            (true, None) => {}
        }
        if let Some(tensor) = &self.tensor {
            write!(f, "tensor `{tensor}` ")?;
        }
        if let Some(field) = &self.field {
            write!(f, "field `{field}` ")?;
        }
        f.write_str(&self.found)?;
        self.expected.iter().try_for_each(|expected| write!(f, "; expected {expected}"))
    }
}

/// The ways in which an output is not as its run left it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OutputFault {
    /// It is not there.
    #[error(
        "the file is gone, though {expected} bytes of it were written. Put it back, or remove its .run.json and begin anew"
    )]
    Missing {
        /// Bytes that were written.
        expected: u64,
    },
    /// Its length is another.
    #[error(
        "it has {found} bytes, and {expected} were written: it was cut or changed. Put it back as it was, or remove it and its .run.json and begin anew"
    )]
    Length {
        /// Bytes that are there.
        found: u64,
        /// Bytes that were written.
        expected: u64,
    },
    /// Its bytes are others.
    #[error(
        "its first {bytes} bytes are not those that were written (by their checksum): it was changed. Put it back as it was, or remove it and its .run.json and begin anew"
    )]
    Changed {
        /// Bytes that were looked at.
        bytes: u64,
    },
    /// Another file stands in its place since the run began.
    #[error(
        "it was replaced or deleted while it was written, and what was written is lost. Remove it and its .run.json and begin anew"
    )]
    Replaced,
}

/// The kinds of trouble with a device.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeviceFault {
    /// The driver does not open it. Another device may do.
    #[error("it could not be opened: {reason}")]
    Refused {
        /// The driver's reason.
        reason: String,
    },
    /// It failed its self-test. A newer driver may pass it, another device may do.
    #[error("it cannot be used: {reason}; try a newer driver, or another device")]
    Untrusted {
        /// The result that was wrong.
        reason: String,
    },
    /// Its driver took it away. What was computed is gone; it can be opened anew.
    #[error(
        "the device was lost ({reason}): its driver ended, or ended work that took too long; try again, or another device"
    )]
    Lost {
        /// The driver's reason.
        reason: String,
    },
    /// It has no memory left. Fewer rows or shorter windows need less.
    #[error("out of device memory; fewer rows or shorter windows need less, or another device may have more")]
    OutOfMemory,
    /// It computed something that cannot be right: nothing that it says is to be trusted.
    #[error("{what}")]
    Wrong {
        /// The value computed, and why it is wrong.
        what: String,
    },
    /// A kernel or a call that its driver refuses.
    #[error("{reason}")]
    Failed {
        /// The driver's reason, or what the device lacks.
        reason: String,
    },
}
