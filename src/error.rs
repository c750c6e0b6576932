//! The errors of the library.

use std::path::PathBuf;

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
    /// A text that has too little in it for the rows of a batch; fewer rows need less.
    #[error(
        "{file}: {found} {} to {} are too few for {rows} rows",
        if *.lines { "lines" } else { "tokens" },
        if *.to_validate { "validate on" } else { "learn from" }
    )]
    TooFew {
        /// The text.
        file: String,
        /// Lines or tokens that it has.
        found: usize,
        /// Whether they are lines.
        lines: bool,
        /// Whether validation would read them.
        to_validate: bool,
        /// Rows of a batch.
        rows: usize,
    },
    /// Training that needs more memory than there is; smaller batches, windows or states need less.
    #[error("{0}")]
    TrainingMemory(String),
    /// Training that cannot go on: at which step, and what to do.
    #[error("{0}")]
    Training(String),
    /// An output or folder that another process writes to.
    #[error("{}: {} writes to it; wait until it has ended, or name another place", .path.display(), .owner.as_deref().unwrap_or("another process"))]
    Busy {
        /// What is written.
        path: PathBuf,
        /// The other process, where it is known.
        owner: Option<String>,
    },
    /// An output that is not what its run wrote there.
    #[error("{}: {fault}", .path.display())]
    Output {
        /// The file.
        path: PathBuf,
        /// What became of it.
        fault: OutputFault,
    },
    /// An output that was begun by a run with something else.
    #[error("{} was begun with {name} {before}, this run has {now}; with another output it can begin anew", .path.display())]
    OtherRun {
        /// The output.
        path: PathBuf,
        /// What differs.
        name: String,
        /// As it was begun.
        before: String,
        /// As it would go on.
        now: String,
    },
    /// A manifest or checkpoint that says what no run can have written.
    #[error(
        "{file}: `{field}` is {found}; expected {expected}. It was changed or damaged, and nothing can go on from it"
    )]
    Record {
        /// The file.
        file: String,
        /// Its entry.
        field: String,
        /// What it says.
        found: String,
        /// What it may say.
        expected: String,
    },
    /// Threads that the system refused.
    #[error("the system gives no {threads} threads ({reason}); fewer threads may work, or a higher limit")]
    Threads {
        /// How many were asked for.
        threads: usize,
        /// The system's reason.
        reason: String,
    },
    /// A file or stream.
    #[error("{context}: {source}")]
    Io {
        /// What was being read or written.
        context: String,
        /// The system's reason.
        source: std::io::Error,
    },
}

/// What became of an output that its run does not find as it wrote it.
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
            Error::TrainingMemory(text) => Error::TrainingMemory(at(text)),
            Error::Io { context, source } => Error::Io { context: at(context), source },
            Error::Record { file, field, found, expected } => Error::Record { file: at(file), field, found, expected },
            // They name their place.
            other => other,
        }
    }
}
