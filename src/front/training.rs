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
    on_line: Box<dyn FnMut(&Line) + 'a>,
}

enum Text<'a> {
    Own(&'a str),
    File(PathBuf),
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

    fn new(text: Text<'a>) -> Training<'a> {
        Training { text, options: TrainingOptions::default(), folder: None, on_line: Box::new(|_| {}) }
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
    pub fn on_line(self, on_line: impl FnMut(&Line) + 'a) -> Training<'a> {
        Training { on_line: Box::new(on_line), ..self }
    }

    /// Trains to the end. The model has the weights of the best validation.
    ///
    /// # Errors
    /// Options out of their ranges, a text that is too short or that the vocabulary lacks, training that diverges, more
    /// than the device can hold, what the file system says.
    pub fn run(mut self, device: &Device) -> Result<Model> {
        let io = |source| Error::Io { context: "a temporary folder to train in".into(), source };
        let temporary = tempfile::tempdir().map_err(io)?;
        let (data, name) = match self.text {
            Text::File(path) => (path.clone(), path.display().to_string()),
            Text::Own(text) => {
                let path = temporary.path().join("text");
                host::replace_file(&path, |out| out.write_all(text.as_bytes()).map_err(io))?;
                (path, "a text".to_string())
            }
        };
        let (folder, overwrite) = match &self.folder {
            Some((folder, overwrite)) => (folder.clone(), *overwrite),
            None => (temporary.path().join("model"), false),
        };
        let mut lines = Lines(&mut self.on_line);
        let open = || Ok(device.0.clone());
        let mut session = Session::new(&data, &folder, overwrite, &self.options, open, &mut lines)?;
        session.run(&mut lines)?;
        session.finish()?;
        let mut model = host::open_model(&folder)?;
        if self.folder.is_none() {
            model.weights = model.weights.in_memory();
            model.name = format!("trained on {name}");
        }
        Ok(Model::new(model, device))
    }
}

/// Hands on the lines of the log.
struct Lines<'a>(&'a mut dyn FnMut(&Line));

impl Observer for Lines<'_> {
    fn line(&mut self, line: &Line, _best: bool) {
        (self.0)(line);
    }
}
