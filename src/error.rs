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
    /// Text that the vocabulary lacks.
    #[error("{place}{text} at line {line}, column {column} is not in the model's vocabulary of {vocabulary}")]
    Lacking {
        /// The file and a colon, where the text is of one.
        place: String,
        /// The character or piece.
        text: String,
        /// From 1.
        line: u64,
        /// In characters, from 1.
        column: u64,
        /// How many tokens the vocabulary has.
        vocabulary: String,
        /// The token that the vocabulary itself has for such text.
        unknown_token: Option<String>,
    },
    /// A text for which the tokenizer's regular expressions take more steps than any useful one does.
    #[error(
        "{place}the tokenizer's regular expressions take too many steps for the text from line {line} on; \
         expected expressions without repetitions inside repetitions"
    )]
    Steps {
        /// The file and a colon, where the text is of one.
        place: String,
        /// From 1.
        line: u64,
    },
    /// Training that cannot go on: at which step, and what to do.
    #[error("{0}")]
    Training(String),
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

/// What is wrong with a JSON file: that it is none, or where it says something else than it should.
pub(crate) fn json_fault(error: &serde_json::Error) -> String {
    if error.is_data() { error.to_string() } else { format!("not JSON: {error}") }
}

impl Error {
    /// The same error with the place in front of its text, where it has one.
    pub(crate) fn within(self, place: &str) -> Error {
        let at = |text: String| format!("{place}: {text}");
        match self {
            Error::Usage(text) => Error::Usage(at(text)),
            Error::Device(text) => Error::Device(at(text)),
            Error::Limit(text) => Error::Limit(at(text)),
            Error::Model(text) => Error::Model(at(text)),
            Error::Text(text) => Error::Text(at(text)),
            Error::Lacking { place, text, line, column, vocabulary, unknown_token } => {
                let place = at(place);
                Error::Lacking { place, text, line, column, vocabulary, unknown_token }
            }
            Error::Steps { place, line } => Error::Steps { place: at(place), line },
            Error::Training(text) => Error::Training(at(text)),
            Error::Io { context, source } => Error::Io { context: at(context), source },
        }
    }
}
