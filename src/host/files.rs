//! Files: memory-mapped when read, written under other names and then renamed.

use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::model::Bytes;

/// The name that stands for standard input where a file is read.
pub const STANDARD_INPUT: &str = "-";

/// The bytes of a file, mapped: they are read from the disk when they are looked at.
///
/// # Errors
/// A file that cannot be opened, or that is none.
pub fn map(path: &Path) -> Result<Bytes> {
    if path.as_os_str() == STANDARD_INPUT {
        let mut bytes = Vec::new();
        let failed = |source| Error::Io { context: "standard input".into(), source };
        io::stdin().lock().read_to_end(&mut bytes).map_err(failed)?;
        return Ok(Bytes::new(bytes));
    }
    let (file, size) = open(path)?;
    if size == 0 {
        return Ok(Bytes::new([]));
    }
    // SAFETY: the bytes are only read. Were another program to change the file meanwhile, numbers would change, and
    // to shorten it would end this process; `save_model` renames new files into place, which leaves this one alone.
    let map = unsafe { memmap2::Mmap::map(&file) }.map_err(context(path))?;
    Ok(Bytes::new(map))
}

/// An ordinary file and its size.
pub(super) fn open(path: &Path) -> Result<(File, u64)> {
    // Asked before it is opened: opening a pipe would wait for a writer.
    if !fs::metadata(path).map_err(context(path))?.is_file() {
        return Err(Error::model(&path.display().to_string(), "not a file"));
    }
    let file = File::open(path).map_err(context(path))?;
    let size = file.metadata().map_err(context(path))?.len();
    Ok((file, size))
}

/// Removes a file that may be there.
pub(super) fn remove(file: &Path) -> Result<()> {
    match fs::remove_file(file) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(context(file)(e)),
        _ => Ok(()),
    }
}

/// Writes a file beside the one that it replaces, and renames it once it is on the disk.
///
/// # Errors
/// An error of `write`, or of the file system; then the old file is as it was.
pub fn replace_file(path: &Path, write: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<()> {
    Staged::write(path, write)?.keep()
}

/// A file that is whole and on the disk, under a random name beside the one that it is for. It goes if it is not kept.
#[derive(Debug)]
pub struct Staged {
    partial: PathBuf,
    path: PathBuf,
    kept: bool,
}

impl Staged {
    /// Writes a file for `path`, which is as it was until the file is kept.
    ///
    /// # Errors
    /// An error of `write`, or of the file system.
    pub fn write(path: &Path, write: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<Staged> {
        let (staged, file) = Staged::create(path)?;
        let mut out = BufWriter::new(file);
        write(&mut out)?;
        let file = out.into_inner().map_err(|e| context(&staged.partial)(e.into_error()))?;
        file.sync_all().map_err(context(&staged.partial))?;
        Ok(staged)
    }

    /// A new file under a name that nobody has.
    fn create(path: &Path) -> Result<(Staged, File)> {
        loop {
            let mut partial = path.as_os_str().to_owned();
            partial.push(format!(".{:016x}.partial", random()));
            let partial = PathBuf::from(partial);
            match File::create_new(&partial) {
                Ok(file) => return Ok((Staged { partial, path: path.into(), kept: false }, file)),
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                Err(e) => return Err(context(&partial)(e)),
            }
        }
    }

    /// Where it is until it is kept.
    pub fn partial(&self) -> &Path {
        &self.partial
    }

    /// Gives it its name, in the place of an older file.
    ///
    /// # Errors
    /// An error of the file system; then the old file is as it was.
    pub fn keep(self) -> Result<()> {
        let folder = self.path.parent().map(Path::to_path_buf);
        self.rename()?;
        sync(&folder.unwrap_or_default());
        Ok(())
    }

    /// Leaves it under its random name, for whoever finishes a save; gives that name and the one that it is for.
    pub(super) fn leave(mut self) -> [String; 2] {
        self.kept = true;
        [&self.partial, &self.path].map(|path| path.file_name().unwrap_or_default().to_string_lossy().into_owned())
    }

    fn rename(mut self) -> Result<()> {
        fs::rename(&self.partial, &self.path).map_err(context(&self.path))?;
        self.kept = true;
        Ok(())
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if !self.kept {
            // That nothing could be removed changes nothing.
            let _ = fs::remove_file(&self.partial);
        }
    }
}

/// New names in a folder must outlast a loss of power too; where folders cannot be opened, the system sees to that.
pub(super) fn sync(folder: &Path) {
    let here = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    if let Ok(folder) = File::open(here) {
        let _ = folder.sync_all();
    }
}

/// A number that no other process has: from the hasher's own randomness.
pub fn random() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    std::hash::RandomState::new().build_hasher().finish()
}

/// Removes what processes that were killed had begun to write for the files of these names in a folder. Only their
/// owner may call it: whoever holds the lock that all who write them hold.
pub(super) fn remove_partial(folder: &Path, names: &[&str]) {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    for entry in entries.filter(|entry| is_partial(&entry.path(), names)) {
        // It does no harm if it stays.
        let _ = fs::remove_file(entry.path());
    }
}

/// Whether a file has the name that [`Staged`] writes under for a file of one of these names.
pub(super) fn is_partial(path: &Path, names: &[&str]) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_suffix(".partial"));
    let is_number = |text: &str| text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let parts = name.and_then(|name| name.rsplit_once('.'));
    parts.is_some_and(|(name, number)| names.contains(&name) && is_number(number))
}

pub(super) fn context(path: &Path) -> impl Fn(io::Error) -> Error + use<> {
    let context = path.display().to_string();
    move |source| Error::Io { context: context.clone(), source }
}

/// The CPU's name, where the system says it (Linux); else its architecture.
pub fn cpu_name() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = text.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    name.map_or_else(|| std::env::consts::ARCH.into(), |(_, name)| name.trim().to_string())
}

/// Memory that programs can still have, in bytes, where the system says it (Linux).
pub fn available_memory() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let kib = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    Some(kib.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? << 10)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A folder of this process that vanishes with the test.
    pub struct Folder(pub PathBuf);

    impl Folder {
        pub fn new(name: &str) -> Folder {
            let path = std::env::temp_dir().join(format!("gatefold-{}-{name}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            Folder(path)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }
}
