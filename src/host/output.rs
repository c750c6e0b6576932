//! Where lines go: a stream, or a file that grows with a manifest beside it.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, ErrorKind, IsTerminal, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::files::context;
use super::lock::{Lock, stands_at};
use super::manifest::{Manifest, Progress};
use super::messages::shown;
use crate::error::{Error, OutputFault, Result};

/// Time between two notes of how far an output has come: at most that much is made again after a crash.
const CHECKPOINT: Duration = Duration::from_secs(2);

/// Takes lines.
pub struct Output {
    name: String,
    sink: Sink,
    sum: crc32fast::Hasher,
    /// How far it has come.
    pub progress: Progress,
}

enum Sink {
    /// Whether it is a terminal.
    Stream(Box<dyn Write>, bool),
    File(Box<Kept>),
}

/// A file with a manifest.
struct Kept {
    file: BufWriter<File>,
    path: PathBuf,
    manifest: Manifest,
    noted: Instant,
    _lock: Lock,
}

/// Whether a path is an ordinary file, or none yet: others (devices, pipes) take lines and keep nothing.
pub fn is_kept(path: &Path) -> bool {
    path.metadata().map_or(true, |found| found.is_file())
}

impl Output {
    /// Standard output.
    pub fn standard() -> Output {
        Output::stream("standard output".into(), io::stdout())
    }

    /// A device or pipe.
    ///
    /// # Errors
    /// An error of the system.
    pub fn device(path: &Path) -> Result<Output> {
        let file = OpenOptions::new().write(true).open(path).map_err(context(path))?;
        Ok(Output::stream(path.display().to_string(), file))
    }

    fn stream(name: String, stream: impl Write + IsTerminal + 'static) -> Output {
        let terminal = stream.is_terminal();
        let sink = Sink::Stream(Box::new(BufWriter::with_capacity(1 << 16, stream)), terminal);
        Output { name, sink, sum: crc32fast::Hasher::new(), progress: Progress::default() }
    }

    /// The file of a run, which goes on where its manifest says: what was written until then is compared with its
    /// checksum, and what stands after it is cut off.
    ///
    /// # Errors
    /// A file that is not what the run wrote; what the file system says.
    pub fn open(path: &Path, manifest: Manifest, lock: Lock) -> Result<Output> {
        let progress = manifest.progress;
        Output::verify(path, &progress)?;
        // The manifest comes first: a file without one could not be resumed.
        manifest.write(path)?;
        let failed = context(path);
        let mut file = OpenOptions::new().write(true).create(true).truncate(false).open(path).map_err(&failed)?;
        file.set_len(progress.bytes).and_then(|()| file.seek(SeekFrom::End(0))).map_err(&failed)?;
        let file = BufWriter::with_capacity(1 << 18, file);
        let kept = Kept { file, path: path.into(), manifest, noted: Instant::now(), _lock: lock };
        Ok(Output {
            name: path.display().to_string(),
            sink: Sink::File(Box::new(kept)),
            sum: crc32fast::Hasher::new_with_initial_len(progress.crc32, progress.bytes),
            progress,
        })
    }

    /// Whether a file begins with what a run wrote, and is no more than that where the run is finished.
    ///
    /// # Errors
    /// One that is missing, cut or changed; what the file system says.
    pub fn verify(path: &Path, progress: &Progress) -> Result<()> {
        let fault = |fault| Err(Error::Output { path: path.into(), fault });
        let expected = progress.bytes;
        let file = match File::open(path) {
            Ok(file) => file,
            Err(e) if e.kind() == ErrorKind::NotFound && expected == 0 && !progress.finished => return Ok(()),
            Err(e) if e.kind() == ErrorKind::NotFound => return fault(OutputFault::Missing { expected }),
            Err(e) => return Err(context(path)(e)),
        };
        let found = file.metadata().map_err(context(path))?.len();
        if found < expected || progress.finished && found != expected {
            return fault(OutputFault::Length { found, expected });
        }
        let (mut sum, mut piece, mut rest) = (crc32fast::Hasher::new(), vec![0; 1 << 18], file.take(expected));
        loop {
            match rest.read(&mut piece) {
                Ok(0) => break,
                Ok(read) => sum.update(&piece[..read]),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(context(path)(e)),
            }
        }
        if sum.finalize() == progress.crc32 { Ok(()) } else { fault(OutputFault::Changed { bytes: expected }) }
    }

    /// Adds lines. `false` when nobody reads them any more.
    ///
    /// # Errors
    /// An error of the system.
    pub fn write(&mut self, text: &str) -> Result<bool> {
        let written = match &mut self.sink {
            Sink::Stream(stream, terminal) => stream.write_all(shown(text, *terminal).as_bytes()),
            Sink::File(kept) => kept.file.write_all(text.as_bytes()),
        };
        self.progress.bytes += text.len() as u64;
        self.sum.update(text.as_bytes());
        self.outcome(written)
    }

    fn outcome(&self, written: io::Result<()>) -> Result<bool> {
        match (written, &self.sink) {
            (Ok(()), _) => Ok(true),
            (Err(e), Sink::Stream(..)) if e.kind() == ErrorKind::BrokenPipe => Ok(false),
            (Err(source), Sink::Stream(..)) => Err(Error::Io { context: self.name.clone(), source }),
            (Err(source), Sink::File { .. }) => {
                let context = format!("{}: writing stopped, and the run can go on from there", self.name);
                Err(Error::Io { context, source })
            }
        }
    }

    /// The file that keeps the lines, if one does.
    pub fn file(&self) -> Option<&str> {
        matches!(self.sink, Sink::File { .. }).then_some(self.name.as_str())
    }

    /// Before a wait: what is there is shown to a reader of a stream, and noted for a file when it is time.
    ///
    /// # Errors
    /// As [`Output::note`].
    pub fn pause(&mut self) -> Result<bool> {
        match &mut self.sink {
            Sink::Stream(stream, _) => {
                let flushed = stream.flush();
                self.outcome(flushed)
            }
            Sink::File(kept) if kept.noted.elapsed() < CHECKPOINT => Ok(true),
            Sink::File { .. } => self.note(),
        }
    }

    /// Notes how far it has come: first the lines reach the disk, then the manifest.
    ///
    /// # Errors
    /// An output that was deleted, replaced or cut since it was opened; what the system says.
    pub fn note(&mut self) -> Result<bool> {
        let written = match &mut self.sink {
            Sink::Stream(stream, _) => stream.flush(),
            Sink::File(kept) => kept.file.flush().and_then(|()| kept.file.get_ref().sync_data()),
        };
        let open = self.outcome(written)?;
        self.progress.crc32 = self.sum.clone().finalize();
        if let Sink::File(kept) = &mut self.sink {
            kept.manifest.progress = self.progress;
            kept.check_place()?;
            kept.manifest.write(&kept.path)?;
            kept.noted = Instant::now();
        }
        Ok(open)
    }
}

impl Kept {
    /// Whether the file still has its name and its length.
    fn check_place(&self) -> Result<()> {
        let fault = |fault| Err(Error::Output { path: self.path.clone(), fault });
        let file = self.file.get_ref();
        if stands_at(file, &self.path) == Some(false) || !self.path.exists() {
            return fault(OutputFault::Replaced);
        }
        let (found, expected) = (file.metadata().map_err(context(&self.path))?.len(), self.manifest.progress.bytes);
        if found == expected { Ok(()) } else { fault(OutputFault::Length { found, expected }) }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use serde_json::Map;

    use super::super::files::tests::Folder;
    use super::*;

    fn open(path: &Path, progress: Progress) -> Result<Output> {
        let manifest = Manifest { program: "p".into(), run: Map::new(), with: Map::new(), progress };
        Output::open(path, manifest, Lock::of_output(path)?)
    }

    fn noted(path: &Path) -> Progress {
        Manifest::read(path).unwrap().expect("it was noted").progress
    }

    #[test]
    fn what_was_written_is_gone_on_with_and_what_was_not_noted_is_cut_off() {
        let folder = Folder::new("output");
        let path = folder.0.join("o.txt");
        let mut output = open(&path, Progress::default()).unwrap();
        assert!(matches!(open(&path, Progress::default()), Err(Error::Busy { .. })), "it has an owner");
        output.write("one\ntwo\n").unwrap();
        output.progress.sequences = 2;
        output.note().unwrap();
        output.write("half").unwrap();
        drop(output);
        let mut output = open(&path, noted(&path)).unwrap();
        output.write("three\n").unwrap();
        (output.progress.sequences, output.progress.finished) = (3, true);
        output.note().unwrap();
        drop(output);
        assert_eq!(fs::read(&path).unwrap(), b"one\ntwo\nthree\n");
        assert_eq!(noted(&path).crc32, crc32fast::hash(b"one\ntwo\nthree\n"));
        Output::verify(&path, &noted(&path)).unwrap();
        let mut names: Vec<_> = fs::read_dir(&folder.0).unwrap().map(|e| e.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["o.txt", "o.txt.run.json"], "no lock and nothing partial is left");
    }

    #[test]
    fn what_is_not_what_the_run_wrote_is_said() {
        let folder = Folder::new("output-verify");
        let path = folder.0.join("o.txt");
        let fault = |progress: &Progress| match Output::verify(&path, progress) {
            Err(Error::Output { fault, .. }) => Some(fault),
            Ok(()) => None,
            Err(other) => panic!("{other}"),
        };
        let crc32 = crc32fast::hash(b"one\ntwo\n");
        let running = Progress { sequences: 2, bytes: 8, crc32, ..Default::default() };
        let finished = Progress { finished: true, ..running };
        for progress in [running, finished] {
            assert_eq!(fault(&progress), Some(OutputFault::Missing { expected: 8 }));
        }
        assert_eq!(fault(&Progress::default()), None, "a run that was killed before its first line");
        for (text, of_running, of_finished) in [
            ("one\ntwo\n", None, None),
            ("one\ntwo\nthr", None, Some(OutputFault::Length { found: 11, expected: 8 })),
            (
                "one\ntwo",
                Some(OutputFault::Length { found: 7, expected: 8 }),
                Some(OutputFault::Length { found: 7, expected: 8 }),
            ),
            ("one\ntwi\n", Some(OutputFault::Changed { bytes: 8 }), Some(OutputFault::Changed { bytes: 8 })),
        ] {
            fs::write(&path, text).unwrap();
            assert_eq!((fault(&running), fault(&finished)), (of_running, of_finished), "{text:?}");
        }
    }

    #[test]
    #[cfg(unix)]
    fn an_output_that_is_deleted_replaced_or_cut_meanwhile_is_noticed() {
        let folder = Folder::new("output-replaced");
        let path = folder.0.join("o.txt");
        let changes: [(&dyn Fn(), OutputFault); 3] = [
            (&|| fs::remove_file(&path).unwrap(), OutputFault::Replaced),
            (
                &|| super::super::replace_file(&path, |out| out.write_all(b"one\n").map_err(context(&path))).unwrap(),
                OutputFault::Replaced,
            ),
            (&|| fs::write(&path, "").unwrap(), OutputFault::Length { found: 6, expected: 6 }),
        ];
        for (i, (change, expected)) in changes.iter().enumerate() {
            let _ = (fs::remove_file(&path), fs::remove_file(Manifest::path(&path)));
            let mut output = open(&path, Progress::default()).unwrap();
            output.write("one\n").unwrap();
            output.note().unwrap();
            let before = noted(&path);
            change();
            output.write(if i == 2 { "" } else { "x\n" }).unwrap();
            match output.note().map(|_| ()) {
                Err(Error::Output { fault: OutputFault::Length { .. }, .. }) => assert_eq!(i, 2),
                Err(Error::Output { fault, .. }) => assert_eq!(fault, *expected),
                other => panic!("{i}: {other:?}"),
            }
            assert_eq!(noted(&path), before, "the manifest vouches for nothing more");
        }
    }
}
