//! The errors of the library.

mod fault;

use std::path::PathBuf;

use crate::plan::{MemoryNeed, bytes_in_words};

pub use fault::{DeviceFault, Fault, OutputFault};

/// The error of this crate: what went wrong, where, and what to do. The text is for people; programs match the variant
/// and read its fields.
///
/// ```
/// use gatefold::Error;
///
/// let device = gatefold::Device::cpu(None)?;
/// let error = gatefold::Model::open("no/such/folder", &device).err().expect("there is none");
/// match &error {
///     Error::Model(fault) => assert_eq!(fault.file, "no/such/folder"),
///     other => panic!("{other}"),
/// }
/// # Ok::<(), Error>(())
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A command line of the program that says what cannot be. The library makes none.
    #[error("{0}")]
    Usage(String),
    /// An option out of its range. Ask again with what is expected.
    #[error("{name} {value}: expected {expected}")]
    Option {
        /// Its name in the library: the field's.
        name: String,
        /// The value that was given.
        value: String,
        /// The values that are possible.
        expected: String,
    },
    /// No device is what was asked for. Ask for one of these, or for the CPU.
    #[error("{}", no_device(.asked, .adapters))]
    NoDevice {
        /// `gpu`, an index, or a part of a name.
        asked: String,
        /// The adapters of this machine, in the order of their indices.
        adapters: Vec<String>,
    },
    /// A device that failed, or that cannot be used.
    #[error("{device}: {fault}")]
    Device {
        /// Its name.
        device: String,
        /// The trouble with it.
        fault: DeviceFault,
    },
    /// A service or generator that has ended, with the reason. Requests go to another one.
    #[error("{reason}")]
    Ended {
        /// Why it ended.
        reason: String,
    },
    /// More memory than this machine has. Fewer rows or smaller sizes need less.
    #[error(
        "{} {need}, but this machine has {} of memory available; {} less",
        match .rows { Some(1) => "1 row needs".into(), Some(rows) => format!("{rows} rows need"), None => "training needs".into() },
        bytes_in_words(*.available),
        if .rows.is_some() { "fewer rows need" } else { "fewer rows, shorter windows or a smaller model need" }
    )]
    Memory {
        /// The rows that need it; `None` is a training.
        rows: Option<usize>,
        /// The memory needed, by purpose.
        need: MemoryNeed,
        /// Bytes.
        available: u64,
    },
    /// A tensor beyond what a device binds at a time. Fewer rows or shorter windows need less.
    #[error(
        "tensor `{tensor}` needs a binding of {bytes} bytes, but this device binds at most {limit}; fewer rows or \
         shorter windows need less"
    )]
    Binding {
        /// The tensor, or the op whose rows are carried from part to part.
        tensor: String,
        /// The size of the tensor.
        bytes: u64,
        /// The device's limit.
        limit: u64,
    },
    /// Sizes that do not fit each other, or what something was made for: a mistake of the calling code.
    #[error("{0}")]
    Limit(String),
    /// A model that cannot be read or written: which file, tensor or field, what was found and expected. Another file,
    /// or one that was mended, may do.
    #[error("{0}")]
    Model(Box<Fault>),
    /// A model of another architecture than what is asked of it needs: an encoder-decoder makes a text from another one,
    /// a language model goes on with one. Another model may do.
    #[error("{model}: expected {expected}, found {}", if *.expected == "a language model" { "an encoder-decoder, which makes a text from another one" } else { "a language model" })]
    Architecture {
        /// The model.
        model: String,
        /// What was expected: `a language model` or `an encoder-decoder`.
        expected: &'static str,
    },
    /// A text that cannot be read, or is none to work on: which file and line.
    #[error("{0}")]
    Text(Box<Fault>),
    /// A text that is not the one that a run began with. With the old one the run can go on.
    #[error("{} has changed since this run began: it cannot go on with another text. Put the old text there, or begin a new run", .path.display())]
    OtherText {
        /// The file.
        path: PathBuf,
    },
    /// A text that has too little in it for the rows of a batch. Fewer rows or a longer text will do.
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
    /// A token id beyond the vocabulary.
    #[error("token id {id} in a vocabulary of {vocabulary}")]
    TokenId {
        /// The id.
        id: u32,
        /// How many ids there are.
        vocabulary: usize,
    },
    /// A source that an encoder-decoder was given no room for. Cut it, or plan for longer ones.
    #[error("a source of {tokens} tokens; there is room for {most}")]
    SourceTooLong {
        /// Its tokens, the end token included.
        tokens: usize,
        /// How many there may be.
        most: usize,
    },
    /// A model without a token or text that begins sequences, and no prompt. Give one.
    #[error("{model}: the model has neither bos_token_id nor start_text, so a sequence needs a prompt")]
    NoPrompt {
        /// The model.
        model: String,
    },
    /// A tokenizer without a token of the usual names to begin or end texts with. Name its own.
    #[error("the tokenizer has none of {}; its {role} token must be named", .usual.join(", "))]
    NoToken {
        /// `bos` or `eos`.
        role: &'static str,
        /// The names that were looked for.
        usual: Vec<String>,
    },
    /// Text that the vocabulary lacks. It can be left out, or become the unknown token, where one is.
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
    /// Training whose loss or gradient left all bounds. Smaller steps may hold it; nothing was saved of this step.
    #[error(
        "the {what} is {value:e} at step {step}: training has diverged. A smaller learning rate, a longer warmup or a lower bound of the gradient may help"
    )]
    Diverged {
        /// The quantity that left its bounds: `loss`, `gradient`.
        what: String,
        /// Its value.
        value: f64,
        /// The step.
        step: u32,
    },
    /// Something that is there already and would be written over. Name another place, or ask for it.
    #[error("{}: {} is there already{}", .path.display(), .there.display(), if *.is_run { "" } else { ", of something else" })]
    Exists {
        /// The folder that was named.
        path: PathBuf,
        /// A file that is there.
        there: PathBuf,
        /// Whether it is a run, which could go on.
        is_run: bool,
    },
    /// A file where something else must be. Move it away, or name another place.
    #[error("{}: there is a file; expected {expected}. Move it away, or name another place", .path.display())]
    InTheWay {
        /// The file.
        path: PathBuf,
        /// The kind of file or folder expected there.
        expected: &'static str,
    },
    /// No run to go on with. Begin one, or name its folder.
    #[error("{}: {}", .path.display(), if *.is_folder { "the folder holds no checkpoint" } else { "it is not there" })]
    NoRun {
        /// Where one was looked for.
        path: PathBuf,
        /// Whether there is a folder.
        is_folder: bool,
    },
    /// A system that names no folder for caches.
    #[error("this system names no cache folder")]
    NoCacheFolder,
    /// A chart that cannot be drawn.
    #[error("no picture could be drawn: {reason}")]
    Picture {
        /// Why.
        reason: String,
    },
    /// An output or folder that another process writes to.
    #[error("{}: {} writes to it; wait until it has ended, or name another place", .path.display(), .owner.as_deref().unwrap_or("another process"))]
    Busy {
        /// The output.
        path: PathBuf,
        /// The other process, where it is known.
        owner: Option<String>,
    },
    /// An output that is not what its run wrote there.
    #[error("{}: {fault}", .path.display())]
    Output {
        /// The file.
        path: PathBuf,
        /// The fault.
        fault: OutputFault,
    },
    /// An output that was begun by a run with something else.
    #[error("{} was begun with {name} {before}, this run has {now}; with another output it can begin anew", .path.display())]
    OtherRun {
        /// The output.
        path: PathBuf,
        /// The name of the setting that differs.
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
        /// The value in the file.
        found: String,
        /// The values that are possible.
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
        /// The file or action that failed.
        context: String,
        /// The system's reason.
        source: std::io::Error,
    },
}

/// A result with the library's error.
pub type Result<T> = std::result::Result<T, Error>;

/// The fault in a JSON file: that it is none, or where it says something else than it should.
pub(crate) fn json_fault(error: &serde_json::Error) -> String {
    if error.is_data() { error.to_string() } else { format!("not JSON: {error}") }
}

impl Error {
    /// A fault of a model's file; `file` is its name.
    pub fn model(file: &str, fault: impl Into<Fault>) -> Error {
        Error::Model(Box::new(in_file(file, fault.into())))
    }

    /// A fault of a text; `file` is its name.
    pub fn text(file: &str, fault: impl Into<Fault>) -> Error {
        Error::Text(Box::new(in_file(file, fault.into())))
    }

    /// The same error with the place in front of its text, where it has one.
    pub(crate) fn within(self, place: &str) -> Error {
        let at = |text: String| format!("{place}: {text}");
        match self {
            Error::Usage(text) => Error::Usage(at(text)),
            Error::Limit(text) => Error::Limit(at(text)),
            Error::Device { device, fault } => Error::Device { device: at(device), fault },
            Error::Model(fault) => Error::Model(Box::new(fault.within(place))),
            Error::Text(fault) => Error::Text(Box::new(fault.within(place))),
            Error::Lacking { place, text, line, column, vocabulary, unknown_token } => {
                let place = at(place);
                Error::Lacking { place, text, line, column, vocabulary, unknown_token }
            }
            Error::Steps { place, line } => Error::Steps { place: at(place), line },
            Error::Io { context, source } => Error::Io { context: at(context), source },
            Error::Record { file, field, found, expected } => Error::Record { file: at(file), field, found, expected },
            // They name their place.
            other => other,
        }
    }
}

fn in_file(file: &str, fault: Fault) -> Fault {
    if file.is_empty() { fault } else { fault.within(file) }
}

fn no_device(asked: &str, adapters: &[String]) -> String {
    let what = match asked {
        "gpu" => "no GPU was found (a software adapter is used only when it is named)".into(),
        index if index.parse::<usize>().is_ok() => format!("there is no adapter with index {index}"),
        name => format!("no adapter is named `{name}`"),
    };
    if adapters.is_empty() {
        return format!("{what}\nno Vulkan, Metal or DX12 adapter is on this machine");
    }
    let lines: String = adapters.iter().enumerate().map(|(i, name)| format!("\n  {i}  {name}")).collect();
    format!("{what}\nadapters here:{lines}")
}
