//! Where lines go: standard output, or a file that grows with a manifest beside it.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, BufWriter, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::formats::Format;
use super::manifest::{Manifest, Progress};
use crate::error::{Error, Result};

/// Time between two notes of how far an output has come: at most that much is made again after a crash.
const CHECKPOINT: Duration = Duration::from_secs(2);

/// Takes lines.
pub(super) struct Output {
    name: String,
    sink: Sink,
    /// How far it has come.
    pub progress: Progress,
}

enum Sink {
    Stream(Box<dyn Write>),
    File { file: BufWriter<File>, path: PathBuf, manifest: Box<Manifest>, noted: Instant },
}

/// What `--resume` finds.
pub(super) struct Found {
    /// The manifest of a run that was begun.
    pub manifest: Option<Manifest>,
}

/// Looks at what is there before anything is made.
///
/// # Errors
/// A folder, or a file in a folder that is not there; a file that is there, without `--resume`; one without a manifest,
/// with it.
pub(super) fn look(path: Option<&Path>, resume: bool) -> Result<Found> {
    let Some(path) = path else { return Ok(Found { manifest: None }) };
    let name = path.display();
    let wrong = |what: String| Err(Error::Usage(format!("--output {name}: {what}")));
    if path.is_dir() {
        return wrong("there is a folder; expected a file".into());
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    if let Some(folder) = folder.filter(|folder| !folder.is_dir()) {
        return wrong(format!("there is no folder {}; make it first", folder.display()));
    }
    if !is_file(path) {
        return Ok(Found { manifest: None });
    }
    let exists = path.exists();
    if exists && !resume {
        let run = Manifest::path(path).exists();
        let advice = if run { "--resume goes on with a run that was not finished" } else { "it is of no run" };
        return wrong(format!("the file is there; {advice}. Name another file, or remove this one"));
    }
    let manifest = if resume { Manifest::read(path)? } else { None };
    if exists && manifest.is_none() {
        return Err(Error::Usage(format!(
            "--resume: {name} is of no run: there is no {} beside it. Name another file, or remove this one",
            Manifest::path(path).display()
        )));
    }
    Ok(Found { manifest })
}

/// Whether a path is an ordinary file, or none yet: others (devices, pipes) take lines and keep nothing.
fn is_file(path: &Path) -> bool {
    path.metadata().map_or(true, |found| found.is_file())
}

impl Output {
    /// Opens the output of a run; a file that was begun is cut to what its manifest vouches for.
    pub fn open(path: Option<&Path>, manifest: Manifest) -> Result<Output> {
        let Some(path) = path else {
            let stdout = BufWriter::with_capacity(1 << 16, io::stdout());
            let (name, sink) = ("standard output".into(), Sink::Stream(Box::new(stdout)));
            return Ok(Output { name, sink, progress: Progress::default() });
        };
        let name = path.display().to_string();
        let failed = |source| Error::Io { context: name.clone(), source };
        if !is_file(path) {
            let file = OpenOptions::new().write(true).open(path).map_err(failed)?;
            let sink = Sink::Stream(Box::new(BufWriter::with_capacity(1 << 16, file)));
            return Ok(Output { name, sink, progress: Progress::default() });
        }
        let progress = manifest.progress;
        // The manifest comes first: a file without one could not be resumed.
        manifest.write(path)?;
        let mut file = OpenOptions::new().write(true).create(true).truncate(false).open(path).map_err(failed)?;
        let len = file.metadata().map_err(failed)?.len();
        if len < progress.bytes {
            return Err(Error::Usage(format!(
                "--resume: {name} has {len} bytes, but its manifest says {}; the file was changed",
                progress.bytes
            )));
        }
        file.set_len(progress.bytes).and_then(|()| file.seek(SeekFrom::End(0))).map_err(failed)?;
        let sink = Sink::File {
            file: BufWriter::with_capacity(1 << 18, file),
            path: path.into(),
            manifest: Box::new(manifest),
            noted: Instant::now(),
        };
        Ok(Output { name, sink, progress })
    }

    /// Adds lines. `false` when nobody reads them any more.
    pub fn write(&mut self, text: &str) -> Result<bool> {
        self.progress.bytes += text.len() as u64;
        let written = match &mut self.sink {
            Sink::Stream(stream) => stream.write_all(text.as_bytes()),
            Sink::File { file, .. } => file.write_all(text.as_bytes()),
        };
        self.outcome(written)
    }

    fn outcome(&self, written: io::Result<()>) -> Result<bool> {
        match (written, &self.sink) {
            (Ok(()), _) => Ok(true),
            (Err(e), Sink::Stream(_)) if e.kind() == ErrorKind::BrokenPipe => Ok(false),
            (Err(source), Sink::Stream(_)) => Err(Error::Io { context: self.name.clone(), source }),
            (Err(source), Sink::File { .. }) => {
                let context = format!("{}: writing stopped, and --resume goes on from there", self.name);
                Err(Error::Io { context, source })
            }
        }
    }

    /// The file that keeps the lines, if one does.
    pub fn file(&self) -> Option<&str> {
        matches!(self.sink, Sink::File { .. }).then_some(self.name.as_str())
    }

    /// Before a wait: what is there is shown to a reader of a stream, and noted for a file when it is time.
    pub fn pause(&mut self) -> Result<bool> {
        match &mut self.sink {
            Sink::Stream(stream) => {
                let flushed = stream.flush();
                self.outcome(flushed)
            }
            Sink::File { noted, .. } if noted.elapsed() < CHECKPOINT => Ok(true),
            Sink::File { .. } => self.note(),
        }
    }

    /// Notes how far it has come: first the lines reach the disk, then the manifest.
    pub fn note(&mut self) -> Result<bool> {
        let written = match &mut self.sink {
            Sink::Stream(stream) => stream.flush(),
            Sink::File { file, .. } => file.flush().and_then(|()| file.get_ref().sync_data()),
        };
        let open = self.outcome(written)?;
        if let Sink::File { path, manifest, noted, .. } = &mut self.sink {
            manifest.progress = self.progress;
            manifest.write(path)?;
            *noted = Instant::now();
        }
        Ok(open)
    }
}

/// Calls `with` for each record of the first bytes of a file: a line, or several where a record ends behind more.
pub(super) fn for_records(path: &Path, bytes: u64, format: Format, mut with: impl FnMut(&str)) -> Result<()> {
    let failed = |source| Error::Io { context: path.display().to_string(), source };
    let mut lines = BufReader::new(File::open(path).map_err(failed)?.take(bytes));
    let (mut record, mut is_open, mut from) = (String::new(), false, 0);
    while lines.read_line(&mut record).map_err(failed)? > 0 {
        is_open ^= format.turns(&record[from..]);
        if !is_open {
            with(&record);
            record.clear();
        }
        from = record.len();
    }
    Ok(())
}
