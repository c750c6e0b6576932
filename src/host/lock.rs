//! One owner for what is written over time: a file that is locked and says whose it is.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::files::context;
use crate::error::{Error, Result};

/// The first bytes of a lock's file.
const MARK: &str = "gatefold: process ";
/// Bytes of it that are looked at.
const MOST: u64 = 400;
/// How long another process may still have it: one that was killed takes a moment to die.
const PATIENCE: Duration = Duration::from_secs(1);

/// Held while this process writes something; the system lets go of it however the process ends.
#[derive(Debug)]
pub struct Lock {
    file: File,
    path: PathBuf,
}

impl Lock {
    /// Takes an output, which its lock stands beside, wherever links lead to it.
    ///
    /// # Errors
    /// Another process that holds it; what the file system says.
    pub fn of_output(output: &Path) -> Result<Lock> {
        let folder = output.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let real =
            fs::canonicalize(output).ok().or_else(|| Some(fs::canonicalize(folder).ok()?.join(output.file_name()?)));
        let mut path = real.unwrap_or_else(|| output.into()).into_os_string();
        path.push(".run.lock");
        Lock::take(Path::new(&path), output)
    }

    /// Takes a folder that is there.
    ///
    /// # Errors
    /// Another process that holds it; what the file system says.
    pub fn of_folder(folder: &Path) -> Result<Lock> {
        Lock::take(&folder.join(".gatefold.lock"), folder)
    }

    /// Takes `what` for this process, by the file at `path`.
    ///
    /// # Errors
    /// Another process has it; a file of something else at `path`; what the file system says.
    fn take(path: &Path, what: &Path) -> Result<Lock> {
        let asked = Instant::now();
        loop {
            let options = OpenOptions::new().read(true).write(true).create(true).truncate(false).clone();
            let mut file = options.open(path).map_err(context(path))?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) if asked.elapsed() < PATIENCE => {
                    std::thread::sleep(PATIENCE / 20);
                    continue;
                }
                Err(TryLockError::WouldBlock) => {
                    return Err(Error::Busy {
                        path: what.into(),
                        owner: said(&mut file).filter(|text| !text.is_empty()),
                    });
                }
                // Some file systems have no locks.
                Err(TryLockError::Error(e)) => {
                    log::warn!("{}: {e}; nothing keeps other processes away", path.display())
                }
            }
            if !stands_at(&file, path).unwrap_or(true) {
                // The last owner removed it after it was opened here.
                continue;
            }
            if said(&mut file).is_none() {
                return Err(Error::InTheWay { path: path.into(), expected: "a lock of gatefold's, or none" });
            }
            let owner = format!("{MARK}{}{}\n", std::process::id(), on_host());
            // Whoever comes next only wants to know; that nothing could be written ends nothing.
            let _ = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| file.write_all(owner.as_bytes()));
            return Ok(Lock { file, path: path.into() });
        }
    }
}

impl Drop for Lock {
    /// Removes the file while nobody else can have it. Elsewhere than on Unix nobody could tell an old one from a new
    /// one, and it stays.
    fn drop(&mut self) {
        if cfg!(unix) && stands_at(&self.file, &self.path) == Some(true) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// The process that a lock's file names, `process 12 on a-machine`; empty where it names none, `None` where the file
/// is of something else.
fn said(file: &mut File) -> Option<String> {
    let mut text = Vec::new();
    // Where locked files cannot be read, their owner stays unknown.
    let read = file.rewind().and_then(|()| file.take(MOST).read_to_end(&mut text));
    if read.is_err() || text.is_empty() {
        return Some(String::new());
    }
    let text = String::from_utf8_lossy(&text);
    text.starts_with(MARK).then(|| text.trim_start_matches("gatefold: ").trim_end().to_string())
}

/// Where process numbers count: a container's are its own.
fn on_host() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    if name.is_empty() { String::new() } else { format!(" on {name}") }
}

/// Whether a file that is open is the one that has this name; `None` where the system does not say.
pub(super) fn stands_at(file: &File, path: &Path) -> Option<bool> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let name = |found: fs::Metadata| (found.dev(), found.ino());
        let open = file.metadata().ok().map(name)?;
        Some(fs::metadata(path).ok().map(name) == Some(open))
    }
    #[cfg(not(unix))]
    {
        let _ = (file, path);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::super::files::tests::Folder;
    use super::*;

    #[test]
    fn there_is_one_owner_and_the_next_one_hears_who() {
        let folder = Folder::new("lock");
        let output = folder.0.join("o.txt");
        let lock = Lock::of_output(&output).unwrap();
        let message = Lock::of_output(&output).unwrap_err().to_string();
        let me = format!("process {}", std::process::id());
        assert!(message.contains("o.txt: ") && (message.contains(&me) || cfg!(windows)), "{message}");
        drop(lock);
        assert!(cfg!(not(unix)) || fs::read_dir(&folder.0).unwrap().count() == 0, "the lock's file goes");
        // One that a process that was killed left is taken over.
        fs::write(folder.0.join("o.txt.run.lock"), "gatefold: process 1 on elsewhere\n").unwrap();
        drop(Lock::of_output(&output).unwrap());
        drop(Lock::of_folder(&folder.0).unwrap());
    }

    #[test]
    #[cfg(unix)]
    fn a_link_leads_to_the_same_lock_and_a_file_of_something_else_stays() {
        let folder = Folder::new("lock-link");
        let (output, link) = (folder.0.join("o.txt"), folder.0.join("link.txt"));
        fs::write(&output, "").unwrap();
        std::os::unix::fs::symlink(&output, &link).unwrap();
        let lock = Lock::of_output(&link).unwrap();
        assert!(matches!(Lock::of_output(&output), Err(Error::Busy { .. })));
        drop(lock);
        let other = folder.0.join("o.txt.run.lock");
        fs::write(&other, "[package]\n").unwrap();
        let error = Lock::of_output(&output).unwrap_err();
        assert!(matches!(&error, Error::InTheWay { path, .. } if *path == other), "{error}");
        assert_eq!(fs::read(&other).unwrap(), b"[package]\n");
    }

    #[test]
    fn many_takers_have_it_one_after_the_other() {
        let folder = Folder::new("lock-many");
        let (output, held) = (folder.0.join("o"), std::sync::atomic::AtomicU32::new(0));
        let taken = std::sync::atomic::AtomicU32::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..20 {
                        if let Ok(lock) = Lock::of_output(&output) {
                            use std::sync::atomic::Ordering::SeqCst;
                            assert_eq!(held.fetch_add(1, SeqCst), 0, "two owners at once");
                            taken.fetch_add(1, SeqCst);
                            held.fetch_sub(1, SeqCst);
                            drop(lock);
                        }
                    }
                });
            }
        });
        assert!(taken.into_inner() > 0);
    }
}
