//! The folder of a training run: a model's folder, with `checkpoint/last.safetensors`, `log.jsonl`, `loss.svg`, and
//! `data/` while the run lasts. One process at a time writes to it.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::files::{CONFIG, context, is_partial, map, replace_file, save_model};
use crate::error::{Error, Result};
use crate::model::{Config, Model, Precision};
use crate::train::{Checkpoint, Line, chart};

const LAST: &str = "last.safetensors";
const LOG: &str = "log.jsonl";
/// The files of `data/`.
const IDS: [&str; 4] = ["train.ids", "train.ends", "valid.ids", "valid.ends"];

/// The folder of a run.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    log: File,
    log_bytes: u64,
    /// Held while this is there; the system lets go of it when the process ends, however it ends.
    _lock: File,
}

impl RunFolder {
    /// A folder for a new run. With `overwrite`, what another run left there goes.
    ///
    /// # Errors
    /// A model or run that is there already, another process that writes to it, what the file system says.
    pub fn create(path: &Path, overwrite: bool) -> Result<RunFolder> {
        let checkpoint = path.join("checkpoint").join(LAST);
        if !overwrite && let Some(there) = [path.join(CONFIG), checkpoint.clone()].iter().find(|file| file.exists()) {
            let name = path.display();
            return Err(Error::Usage(format!(
                "--output {name}: {} is there already. `gatefold train --resume {name}` goes on with that run, \
                 --overwrite begins anew",
                there.display()
            )));
        }
        let file = path.join(LOG);
        if path.exists() && !path.is_dir() {
            return Err(Error::Usage(format!("--output {}: there is a file; expected a folder", path.display())));
        }
        // A run that failed before its first step leaves an empty one.
        if !overwrite && file.metadata().is_ok_and(|found| found.is_file() && found.len() > 0) {
            return Err(Error::Usage(format!(
                "--output {}: {} is there already, of something else; --overwrite writes over it",
                path.display(),
                file.display()
            )));
        }
        let lock = lock(path)?;
        let log = OpenOptions::new().write(true).create(true).truncate(false).open(&file).map_err(context(&file))?;
        let folder = RunFolder { path: path.into(), log, log_bytes: 0, _lock: lock };
        folder.remove_data()?;
        folder.remove_partial();
        Ok(folder)
    }

    /// Removes what another run left, now that the new one has all that it needs.
    ///
    /// # Errors
    /// What the file system says.
    pub fn begin(&mut self) -> Result<()> {
        remove(&self.path.join("checkpoint").join(LAST))?;
        remove(&self.path.join("loss.svg"))?;
        let log = self.path.join(LOG);
        self.log = File::create(&log).map_err(context(&log))?;
        Ok(())
    }

    /// The folder of a run that goes on, and its last checkpoint. What the log says beyond it is dropped.
    ///
    /// # Errors
    /// No checkpoint, one that cannot be read, another process that writes to the folder, what the file system says.
    pub fn open(path: &Path) -> Result<(RunFolder, Checkpoint)> {
        let (name, file) = (path.display(), path.join("checkpoint").join(LAST));
        if !file.exists() {
            let what = if path.exists() { "holds no checkpoint" } else { "is not there" };
            return Err(Error::Usage(format!(
                "--resume {name}: {} {what}. A new run is begun with --data and --output",
                if path.exists() { "the folder" } else { "it" }
            )));
        }
        let lock = lock(path)?;
        let checkpoint = Checkpoint::read(&file.display().to_string(), &map(&file)?)?;
        let log_path = path.join(LOG);
        let io = context(&log_path);
        let mut log =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&log_path).map_err(&io)?;
        let length = log.metadata().map_err(&io)?.len();
        if length > checkpoint.manifest.log_bytes {
            log.set_len(checkpoint.manifest.log_bytes).map_err(&io)?;
        }
        let log_bytes = log.seek(SeekFrom::End(0)).map_err(&io)?;
        let folder = RunFolder { path: path.into(), log, log_bytes, _lock: lock };
        folder.remove_partial();
        Ok((folder, checkpoint))
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the ids of the corpus are.
    pub fn data(&self) -> PathBuf {
        self.path.join("data")
    }

    /// Removes the ids of the corpus: a finished run needs them no more, and they can be made again. What else stands
    /// in `data/`, the texts of whoever calls the folder so, stays.
    ///
    /// # Errors
    /// What the file system says.
    pub fn remove_data(&self) -> Result<()> {
        let data = self.data();
        for name in IDS {
            remove(&data.join(name))?;
        }
        remove_partial(&data);
        // Only an empty folder goes.
        let _ = fs::remove_dir(&data);
        Ok(())
    }

    /// Writes the model's own files, each whole or not at all.
    ///
    /// # Errors
    /// As [`save_model`].
    pub fn save_model(&self, model: &Model, precision: Precision) -> Result<()> {
        save_model(&self.path, model, precision)
    }

    /// Bytes of the log so far.
    pub fn log_bytes(&self) -> u64 {
        self.log_bytes
    }

    /// Adds a line to the log.
    ///
    /// # Errors
    /// What the file system says.
    pub fn log(&mut self, line: &Line) -> Result<()> {
        let json = line.to_json();
        self.log.write_all(json.as_bytes()).map_err(context(&self.path.join(LOG)))?;
        self.log_bytes += json.len() as u64;
        Ok(())
    }

    /// Writes a checkpoint in the place of the last one, once the log up to here is on the disk.
    ///
    /// # Errors
    /// A number that is not finite; what the file system says. The last checkpoint is then untouched.
    pub fn save_checkpoint(&self, checkpoint: &Checkpoint, config: &Config) -> Result<()> {
        let log = self.path.join(LOG);
        if self.log.metadata().map_err(context(&log))?.is_file() {
            self.log.sync_data().map_err(context(&log))?;
        }
        replace_file(&self.path.join("checkpoint").join(LAST), |out| checkpoint.write(config, out))
    }

    /// Draws the log anew.
    ///
    /// # Errors
    /// What the file system says.
    pub fn draw(&mut self, title: &str) -> Result<()> {
        let path = self.path.join(LOG);
        let mut log = Vec::new();
        File::open(&path).and_then(|file| file.take(self.log_bytes).read_to_end(&mut log)).map_err(context(&path))?;
        match chart(title, &Line::read_all(&log))? {
            Some(svg) => {
                let path = self.path.join("loss.svg");
                replace_file(&path, |out| out.write_all(svg.as_bytes()).map_err(context(&path)))
            }
            None => Ok(()),
        }
    }

    /// Removes what a process that was killed had begun to write.
    fn remove_partial(&self) {
        for folder in [&self.path, &self.path.join("checkpoint"), &self.data()] {
            remove_partial(folder);
        }
    }
}

/// Removes files that [`replace_file`] left behind in a folder.
fn remove_partial(folder: &Path) {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    for entry in entries.filter(|entry| is_partial(&entry.path())) {
        // It does no harm if it stays.
        let _ = fs::remove_file(entry.path());
    }
}

/// Takes the folder for this process.
fn lock(path: &Path) -> Result<File> {
    let folder = path.join("checkpoint");
    fs::create_dir_all(&folder).map_err(context(&folder))?;
    let file = folder.join("lock");
    let lock = File::create(&file).map_err(context(&file))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => {
            Err(Error::Training(format!("{}: another process trains in this folder", path.display())))
        }
        // Some file systems have no locks.
        Err(TryLockError::Error(e)) => {
            log::warn!("{}: {e}", file.display());
            Ok(lock)
        }
    }
}

fn remove(file: &Path) -> Result<()> {
    match fs::remove_file(file) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(context(file)(e)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::files::tests::Folder;
    use super::*;

    #[test]
    fn what_a_run_did_not_write_stays() {
        let folder = Folder::new("run-folder-data");
        let names = ["data/corpus.txt", "data/notes.partial", "movie.mp4.partial"];
        fs::create_dir(folder.0.join("data")).unwrap();
        for name in names.iter().chain(&["data/train.ids", "data/train.ids.12-0.partial"]) {
            fs::write(folder.0.join(name), "text").unwrap();
        }
        let run = RunFolder::create(&folder.0, true).unwrap();
        run.remove_data().unwrap();
        for name in names {
            assert!(folder.0.join(name).exists(), "{name}");
        }
        assert_eq!(fs::read_dir(run.data()).unwrap().count(), 2, "ids are left");
        for name in &names[..2] {
            fs::remove_file(folder.0.join(name)).unwrap();
        }
        fs::write(run.data().join("valid.ends"), "").unwrap();
        run.remove_data().unwrap();
        run.remove_data().unwrap();
        assert!(!run.data().exists());
    }

    #[test]
    fn a_log_of_something_else_is_not_written_over_unasked() {
        let folder = Folder::new("run-folder-log");
        let log = folder.0.join(LOG);
        fs::write(&log, "{}\n").unwrap();
        let message = RunFolder::create(&folder.0, false).unwrap_err().to_string();
        assert!(message.contains("log.jsonl is there already") && message.contains("--overwrite"), "{message}");
        assert_eq!(fs::read(&log).unwrap(), b"{}\n");
        let message = RunFolder::create(&log, false).unwrap_err().to_string();
        assert!(message.contains("there is a file; expected a folder"), "{message}");
        RunFolder::create(&folder.0, true).unwrap().begin().unwrap();
        assert_eq!(fs::read(&log).unwrap(), b"");
    }
}
