//! The errors of the library.

/// What went wrong, where, and what to do: the text is for the person at the terminal.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A wrong command line: exit status 2.
    #[error("{0}")]
    Usage(String),
    /// No such device, or one that failed.
    #[error("{0}")]
    Device(String),
    /// More than a device or memory can hold.
    #[error("{0}")]
    Limit(String),
    /// A model that cannot be read: which file, which tensor, what was found and expected.
    #[error("{0}")]
    Model(String),
    /// A text that the tokenizer cannot read.
    #[error("{0}")]
    Text(String),
    /// A file or stream.
    #[error("{context}: {source}")]
    Io {
        /// What was being read or written.
        context: String,
        /// The system's reason.
        source: std::io::Error,
    },
}

/// A result with the library's error.
pub type Result<T> = std::result::Result<T, Error>;
