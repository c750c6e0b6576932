//! Training, in the caller's words.

use std::path::PathBuf;

use super::{Device, Model};
use crate::error::{Error, Result};
use crate::host::{self, Observer, Session, TrainingOptions};
use crate::train::Line;

/// A run of training: on a text, with [`TrainingOptions`], to a [`Model`].
///
/// Without a folder it works in a temporary one, and the model is only in memory: [`Model::save`] writes it. In a folder
/// of the caller's it leaves what `gatefold train` does, with a checkpoint from which that goes on.
pub struct Training<'a> {
    text: Text<'a>,
    options: TrainingOptions,
    folder: Option<(PathBuf, bool)>,
    observer: Caller<'a>,
}

enum Text<'a> {
    Own(&'a str),
    File(PathBuf),
    /// The text of a run that is in the folder.
    Run,
}

impl<'a> Training<'a> {
    /// Learns from this text.
    pub fn on_text(text: &'a str) -> Training<'a> {
        Training::new(Text::Own(text))
    }

    /// Learns from the text in a file; one in gzip's format is unpacked.
    pub fn on_file(path: impl Into<PathBuf>) -> Training<'a> {
        Training::new(Text::File(path.into()))
    }

    /// Goes on from the last checkpoint of the run in this folder. Of the options only `end` and `patience` count; those
    /// that are not set stay as they were.
    pub fn resume(folder: impl Into<PathBuf>) -> Training<'a> {
        Training::new(Text::Run).in_folder(folder)
    }

    fn new(text: Text<'a>) -> Training<'a> {
        let observer = Caller { on_line: Box::new(|_| {}), until: Box::new(|| false) };
        Training { text, options: TrainingOptions::default(), folder: None, observer }
    }

    /// With these options, in the place of those before.
    #[must_use]
    pub fn with(self, options: TrainingOptions) -> Training<'a> {
        Training { options, ..self }
    }

    /// Works in this folder, and leaves the run there. A model or run that is there is an error.
    #[must_use]
    pub fn in_folder(self, folder: impl Into<PathBuf>) -> Training<'a> {
        Training { folder: Some((folder.into(), false)), ..self }
    }

    /// The same, and what is there goes once the new run can begin.
    #[must_use]
    pub fn over_folder(self, folder: impl Into<PathBuf>) -> Training<'a> {
        Training { folder: Some((folder.into(), true)), ..self }
    }

    /// Calls this for each line of the log, as it is written.
    #[must_use]
    pub fn on_line(mut self, on_line: impl FnMut(&Line) + 'a) -> Training<'a> {
        self.observer.on_line = Box::new(on_line);
        self
    }

    /// Asks this a few times a second, and stops where it says `true`: with a checkpoint that [`Training::resume`] goes on
    /// from, and the best weights so far.
    #[must_use]
    pub fn until(mut self, stop: impl Fn() -> bool + 'a) -> Training<'a> {
        self.observer.until = Box::new(stop);
        self
    }

    /// Trains to the end, or until it is to stop. The model has the weights of the best validation.
    ///
    /// # Errors
    /// Options out of their ranges, a text that is too short or that the vocabulary lacks, training that diverges, more
    /// than the device can hold, what the file system says.
    pub fn run(mut self, device: &Device) -> Result<Model> {
        let io = |source| Error::Io { context: "a temporary folder to train in".into(), source };
        let temporary = tempfile::tempdir().map_err(io)?;
        let (data, name) = match &self.text {
            Text::File(path) => (path.clone(), path.display().to_string()),
            Text::Own(text) => {
                let path = temporary.path().join("text");
                host::replace_file(&path, |out| out.write_all(text.as_bytes()).map_err(io))?;
                (path, "a text".to_string())
            }
            Text::Run => Default::default(),
        };
        let (folder, overwrite) = match &self.folder {
            Some((folder, overwrite)) => (folder.clone(), *overwrite),
            None => (temporary.path().join("model"), false),
        };
        let (observer, options, open) = (&mut self.observer, &self.options, || Ok(device.0.clone()));
        let mut session = match self.text {
            Text::Run => Session::resume(&folder, options.end, options.patience, open, observer)?,
            _ => Session::new(&data, &folder, overwrite, options, open, observer)?,
        };
        if session.run(observer)? {
            session.finish()?;
        }
        let mut model = host::open_model(&folder)?;
        if self.folder.is_none() {
            model.weights = model.weights.in_memory();
            model.name = format!("trained on {name}");
        }
        Ok(Model::new(model, device))
    }
}

/// The caller's functions.
struct Caller<'a> {
    on_line: Box<dyn FnMut(&Line) + 'a>,
    until: Box<dyn Fn() -> bool + 'a>,
}

impl Observer for Caller<'_> {
    fn interrupted(&self) -> bool {
        (self.until)()
    }

    fn line(&mut self, line: &Line, _best: bool) {
        (self.on_line)(line);
    }
}
