//! The folder of a training run: a model's folder, with `checkpoint/last.safetensors`, `log.jsonl`, `loss.svg`, and
//! `data/` while the run lasts. One process at a time writes to it.

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::files::{context, map, remove, remove_partial, replace_file};
use super::lock::Lock;
use super::model_folder::{CONFIG, GENERATION, TOKENIZER, WEIGHTS, recover, save_model};
use crate::error::{Error, Result};
use crate::model::{Config, Model, Precision};
use crate::train::{Checkpoint, Curves, Line};

const LAST: &str = "last.safetensors";
const LOG: &str = "log.jsonl";
const CHART: &str = "loss.svg";
/// The files of `data/`.
const IDS: [&str; 4] = ["train.ids", "train.ends", "valid.ids", "valid.ends"];

/// The folder of a run.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    /// Where the run has begun.
    log: Option<File>,
    log_bytes: u64,
    curves: Curves,
    /// Whether it was made for this run.
    made: bool,
    lock: Option<Lock>,
}

impl RunFolder {
    /// A folder for a new run. What is there stays until the run begins; with `overwrite` it goes then. A run that
    /// does not begin leaves the folder as it was.
    ///
    /// # Errors
    /// A model or run that is there already, another process that writes to it, what the file system says.
    pub fn create(path: &Path, overwrite: bool) -> Result<RunFolder> {
        if path.exists() && !path.is_dir() {
            return Err(Error::InTheWay { path: path.into(), expected: "a folder" });
        }
        let there = |files: &[&str]| files.iter().map(|file| path.join(file)).find(|file| file.exists());
        let last = Path::new("checkpoint").join(LAST);
        if let Some(there) = there(&[CONFIG, &last.to_string_lossy()]).filter(|_| !overwrite) {
            return Err(Error::Exists { path: path.into(), there, is_run: true });
        }
        // A run that failed before its first step leaves an empty log.
        let log = there(&[LOG]).filter(|log| log.metadata().is_ok_and(|found| found.is_file() && found.len() > 0));
        if let Some(there) = log.or_else(|| there(&[WEIGHTS, TOKENIZER, GENERATION, CHART])).filter(|_| !overwrite) {
            return Err(Error::Exists { path: path.into(), there, is_run: false });
        }
        let made = !path.exists();
        fs::create_dir_all(path).map_err(context(path))?;
        let mut folder =
            RunFolder { path: path.into(), log: None, log_bytes: 0, curves: Curves::default(), made, lock: None };
        folder.lock = Some(Lock::of_folder(path)?);
        recover(path)?;
        folder.remove_partial();
        Ok(folder)
    }

    /// The new run begins: removes what another one left, now that this one has all that it needs.
    ///
    /// # Errors
    /// An error of the file system.
    pub fn begin(&mut self) -> Result<()> {
        let checkpoints = self.path.join("checkpoint");
        fs::create_dir_all(&checkpoints).map_err(context(&checkpoints))?;
        remove(&checkpoints.join(LAST))?;
        remove(&self.path.join(CHART))?;
        self.remove_ids()?;
        let log = self.path.join(LOG);
        self.log = Some(File::create(&log).map_err(context(&log))?);
        Ok(())
    }

    /// The folder of a run that goes on, and its last checkpoint.
    ///
    /// # Errors
    /// No checkpoint, one that cannot be read, another process that writes to the folder, what the file system says.
    pub fn open(path: &Path) -> Result<(RunFolder, Checkpoint)> {
        let file = path.join("checkpoint").join(LAST);
        if !file.exists() {
            return Err(Error::NoRun { path: path.into(), is_folder: path.exists() });
        }
        let lock = Some(Lock::of_folder(path)?);
        recover(path)?;
        let checkpoint = Checkpoint::read(&file.display().to_string(), &map(&file)?)?;
        let curves = Curves::default();
        let folder = RunFolder { path: path.into(), log: None, log_bytes: 0, curves, made: false, lock };
        folder.remove_partial();
        Ok((folder, checkpoint))
    }

    /// The run goes on: what the log says beyond its checkpoint is dropped.
    ///
    /// # Errors
    /// An error of the file system.
    pub fn go_on(&mut self, checkpoint_bytes: u64) -> Result<()> {
        let path = self.path.join(LOG);
        let io = context(&path);
        let mut log =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).map_err(&io)?;
        let found = log.metadata().map_err(&io)?;
        if found.len() > checkpoint_bytes {
            log.set_len(checkpoint_bytes).map_err(&io)?;
        } else if found.is_file() && found.len() < checkpoint_bytes {
            let (file, found) = (path.display(), found.len());
            log::warn!(
                "{file} has {found} bytes, and the checkpoint was written after {checkpoint_bytes}: it lacks lines"
            );
        }
        if found.is_file() {
            let mut lines = BufReader::new(log.try_clone().map_err(&io)?.take(checkpoint_bytes));
            let mut line = Vec::new();
            while lines.read_until(b'\n', &mut line).map_err(&io)? > 0 {
                Line::read(&line).iter().for_each(|line| self.curves.add(line));
                line.clear();
            }
        }
        self.log_bytes = log.seek(SeekFrom::End(0)).map_err(&io)?;
        self.log = Some(log);
        Ok(())
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
    /// An error of the file system.
    pub fn remove_data(&self) -> Result<()> {
        self.remove_ids()?;
        self.remove_partial();
        // Only an empty folder goes.
        let _ = fs::remove_dir(self.data());
        Ok(())
    }

    fn remove_ids(&self) -> Result<()> {
        IDS.iter().try_for_each(|name| remove(&self.data().join(name)))
    }

    /// Writes the model's own files, each whole or not at all.
    ///
    /// # Errors
    /// As `save_model`.
    pub fn save_model(&self, model: &Model, precision: Precision) -> Result<()> {
        save_model(&self.path, model, precision)
    }

    /// Bytes of the log so far.
    pub fn log_bytes(&self) -> u64 {
        self.log_bytes
    }

    /// Adds a line to the log of a run that has begun.
    ///
    /// # Errors
    /// An error of the file system.
    pub fn log(&mut self, line: &Line) -> Result<()> {
        let json = line.to_json();
        let mut log = self.log.as_ref().expect("the run has begun");
        log.write_all(json.as_bytes()).map_err(context(&self.path.join(LOG)))?;
        self.log_bytes += json.len() as u64;
        self.curves.add(line);
        Ok(())
    }

    /// Writes a checkpoint in the place of the last one, once the log up to here is on the disk.
    ///
    /// # Errors
    /// A number that is not finite; what the file system says. The last checkpoint is then untouched.
    pub fn save_checkpoint(&self, checkpoint: &Checkpoint, config: &Config) -> Result<()> {
        let path = self.path.join(LOG);
        let log = self.log.as_ref().expect("the run has begun");
        if log.metadata().map_err(context(&path))?.is_file() {
            log.sync_data().map_err(context(&path))?;
        }
        replace_file(&self.path.join("checkpoint").join(LAST), |out| checkpoint.write(config, out))
    }

    /// The losses so far.
    pub fn curves(&self) -> &Curves {
        &self.curves
    }

    /// Writes a picture of the log.
    ///
    /// # Errors
    /// An error of the file system.
    pub fn save_chart(&self, svg: &str) -> Result<()> {
        let path = self.path.join(CHART);
        replace_file(&path, |out| out.write_all(svg.as_bytes()).map_err(context(&path)))
    }

    /// Removes what a process that was killed had begun to write here.
    fn remove_partial(&self) {
        remove_partial(&self.path, &[CHART]);
        remove_partial(&self.path.join("checkpoint"), &[LAST]);
        remove_partial(&self.data(), &IDS);
    }
}

impl Drop for RunFolder {
    /// A run that did not begin leaves nothing behind.
    fn drop(&mut self) {
        if self.log.is_none() {
            let _ = fs::remove_dir(self.data());
        }
        drop(self.lock.take());
        if self.log.is_none() && self.made {
            let _ = fs::remove_dir(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::files::tests::Folder;
    use super::super::model_folder::replace_model;
    use super::*;

    #[test]
    fn what_a_run_did_not_write_stays() {
        let folder = Folder::new("run-folder-data");
        let names = ["data/corpus.txt", "data/notes.partial", "movie.mp4.partial"];
        fs::create_dir(folder.0.join("data")).unwrap();
        let ours = "data/train.ids.0123456789abcdef.partial";
        let others = ["data/train.ids.0123.partial", "my.ids.0123456789abcdef.partial"];
        for name in names.iter().chain(&["data/train.ids", ours]).chain(&others) {
            fs::write(folder.0.join(name), "text").unwrap();
        }
        let mut run = RunFolder::create(&folder.0, true).unwrap();
        assert!(!folder.0.join(ours).exists(), "what a killed run left goes");
        assert!(folder.0.join("data/train.ids").exists(), "the ids of the old run stay until the new one begins");
        run.begin().unwrap();
        run.remove_data().unwrap();
        for name in others {
            fs::remove_file(folder.0.join(name)).unwrap();
        }
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
        let error = RunFolder::create(&folder.0, false).unwrap_err();
        assert!(matches!(&error, Error::Exists { there, is_run: false, .. } if *there == log), "{error}");
        assert_eq!(fs::read(&log).unwrap(), b"{}\n");
        let message = RunFolder::create(&log, false).unwrap_err().to_string();
        assert!(message.contains("there is a file; expected a folder"), "{message}");
        drop(RunFolder::create(&folder.0, true).unwrap());
        assert_eq!(fs::read(&log).unwrap(), b"{}\n", "a run that does not begin changes nothing");
        RunFolder::create(&folder.0, true).unwrap().begin().unwrap();
        assert_eq!(fs::read(&log).unwrap(), b"");
    }

    #[test]
    fn a_folder_has_one_owner_and_one_that_did_not_begin_goes() {
        let folder = Folder::new("run-folder-lock");
        let path = folder.0.join("model");
        let run = RunFolder::create(&path, false).unwrap();
        assert!(matches!(RunFolder::create(&path, false), Err(Error::Busy { .. })));
        let model = crate::model::Model::shakespeare().unwrap();
        assert!(matches!(replace_model(&path, &model, Precision::F16), Err(Error::Busy { .. })));
        drop(run);
        assert!(!path.exists());
        replace_model(&path, &model, Precision::F16).unwrap();
        assert_eq!(fs::read_dir(&path).unwrap().count(), 3);
        for lacking in [CONFIG, WEIGHTS] {
            let message = RunFolder::create(&path, false).unwrap_err().to_string();
            assert!(message.contains(lacking) && message.contains("is there already"), "{message}");
            fs::remove_file(path.join(lacking)).unwrap();
        }
    }
}
