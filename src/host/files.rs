//! Model folders: memory-mapped when read, written under other names and then renamed.

use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use crate::error::{Error, Fault, Result};
use crate::model::{BUILTIN, BUILTIN_PREFIX, Bytes, Files, Model, Precision};

/// What stands for standard input where a file is read.
pub const STANDARD_INPUT: &str = "-";
/// The sizes.
pub(super) const CONFIG: &str = "config.json";
/// The weights.
pub(super) const WEIGHTS: &str = "model.safetensors";
/// The tokenizer.
pub(super) const TOKENIZER: &str = "tokenizer.json";
/// Sampling, optional.
pub(super) const GENERATION: &str = "generation_config.json";
/// Bytes of a JSON file at most.
const MAX_JSON: u64 = 256 << 20;

/// Opens a model: a folder, or a name such as `builtin:shakespeare`. Weights stay in the file until they are loaded
/// into an executor; nobody may change the file meanwhile, but it may be replaced or deleted.
///
/// # Errors
/// No such folder or builtin model, a file in its place, a file that is missing; what [`Model::from_files`] says.
pub fn open_model(path: impl AsRef<Path>) -> Result<Model> {
    let path = path.as_ref();
    let name = path.display().to_string();
    if name.starts_with(BUILTIN_PREFIX) {
        return Model::builtin(&name);
    }
    let expected = format!("a model folder with {CONFIG}, {WEIGHTS} and {TOKENIZER}, or {}", BUILTIN.join(", "));
    let found = fs::metadata(path).map_err(|e| match e.kind() {
        io::ErrorKind::NotFound => Error::model(&name, Fault::from("there is no such folder").expected(&expected)),
        _ => Error::Io { context: name.clone(), source: e },
    })?;
    if !found.is_dir() {
        return Err(Error::model(&name, Fault::from("there is a file").expected(expected)));
    }
    let missing: Vec<&str> =
        [CONFIG, WEIGHTS, TOKENIZER].into_iter().filter(|file| !path.join(file).exists()).collect();
    if !missing.is_empty() {
        return Err(Error::model(&name, Fault::from(format!("it lacks {}", missing.join(", "))).expected(expected)));
    }
    let generation = path.join(GENERATION);
    let files = Files {
        config: read(&path.join(CONFIG))?,
        weights: map(&path.join(WEIGHTS))?,
        tokenizer: read(&path.join(TOKENIZER))?,
        generation_config: if generation.exists() { Some(read(&generation)?) } else { None },
    };
    Model::from_files(name.trim_end_matches(std::path::is_separator), &files)
}

/// The bytes of a file that is small.
fn read(path: &Path) -> Result<Bytes> {
    let (file, size) = open(path)?;
    if size > MAX_JSON {
        return Err(Error::model(&path.display().to_string(), format!("{size} bytes; expected at most {MAX_JSON}")));
    }
    let mut bytes = Vec::new();
    file.take(MAX_JSON).read_to_end(&mut bytes).map_err(context(path))?;
    Ok(Bytes::new(bytes))
}

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
fn open(path: &Path) -> Result<(File, u64)> {
    // Asked before it is opened: opening a pipe would wait for a writer.
    if !fs::metadata(path).map_err(context(path))?.is_file() {
        return Err(Error::model(&path.display().to_string(), "not a file"));
    }
    let file = File::open(path).map_err(context(path))?;
    let size = file.metadata().map_err(context(path))?.len();
    Ok((file, size))
}

/// Writes a model's folder, which is made if it is not there. All files are on the disk before the first one takes its
/// name, config.json last: what fails before leaves the old model whole, and a program that has the old files open
/// keeps them.
///
/// # Errors
/// Weights that are not finite or do not fit the precision or the config; whatever the file system says.
pub fn save_model(folder: impl AsRef<Path>, model: &Model, precision: Precision) -> Result<()> {
    let folder = folder.as_ref();
    fs::create_dir_all(folder).map_err(context(folder))?;
    let config = model.config.to_json()?;
    let generation = model.generation_config.as_ref().map(|g| g.to_json(model.config.vocab_size)).transpose()?;
    let text = |name: &str, text: &[u8]| {
        Staged::write(&folder.join(name), |out| out.write_all(text).map_err(context(&folder.join(name))))
    };
    let weights = Staged::write(&folder.join(WEIGHTS), |out| model.weights.write(out, &model.config, precision))?;
    let tokenizer = text(TOKENIZER, &model.tokenizer.to_json())?;
    let generation = generation.map(|json| text(GENERATION, json.as_bytes())).transpose()?;
    let config = text(CONFIG, config.as_bytes())?;
    // One that another model left would be taken for this one's.
    if generation.is_none() {
        remove(&folder.join(GENERATION))?;
    }
    [Some(weights), Some(tokenizer), generation, Some(config)].into_iter().flatten().try_for_each(Staged::rename)?;
    sync(folder);
    Ok(())
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
/// What `write` says, or the file system; then the old file is as it was.
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
    /// What `write` says, or the file system.
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
    /// What the file system says; then the old file is as it was.
    pub fn keep(self) -> Result<()> {
        let folder = self.path.parent().map(Path::to_path_buf);
        self.rename()?;
        sync(&folder.unwrap_or_default());
        Ok(())
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
fn sync(folder: &Path) {
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
fn is_partial(path: &Path, names: &[&str]) -> bool {
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

    fn message(path: &Path) -> String {
        open_model(path).unwrap_err().to_string()
    }

    #[test]
    fn what_is_saved_opens_again() {
        let folder = Folder::new("saved");
        let model = open_model("builtin:shakespeare").unwrap();
        save_model(&folder.0, &model, Precision::F32).unwrap();
        let opened = open_model(&folder.0).unwrap();
        assert_eq!(opened.config, model.config);
        assert_eq!(opened.weights.get("rnn.weight_hh_l1"), model.weights.get("rnn.weight_hh_l1"));
        // Over the files that `opened` still reads, at half the size.
        save_model(&folder.0, &opened, Precision::F16).unwrap();
        let halves = open_model(&folder.0).unwrap();
        let (f16, f32) = (halves.weights.get("output.bias").unwrap(), opened.weights.get("output.bias").unwrap());
        assert!(f16.iter().zip(&*f32).all(|(a, b)| (a - b).abs() <= b.abs() / 1024.0 + 1e-7));
        let mut names: Vec<_> =
            fs::read_dir(&folder.0).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        assert_eq!(names, [CONFIG, WEIGHTS, TOKENIZER], "nothing partial is left");
    }

    #[test]
    fn what_is_missing_is_named() {
        let folder = Folder::new("missing");
        let none = message(&folder.0.join("nowhere"));
        assert!(
            none.contains("nowhere: there is no such folder; expected a model folder with config.json, "),
            "{none}"
        );
        assert!(message(&folder.0).contains("lacks config.json, model.safetensors, tokenizer.json; expected a"));
        save_model(&folder.0, &Model::shakespeare().unwrap(), Precision::F32).unwrap();
        let file = message(&folder.0.join(CONFIG));
        assert!(file.contains("config.json: there is a file; expected a model folder"), "{file}");
        fs::remove_file(folder.0.join(TOKENIZER)).unwrap();
        assert!(message(&folder.0).contains("missing: it lacks tokenizer.json; expected"), "{}", message(&folder.0));
        fs::create_dir(folder.0.join(TOKENIZER)).unwrap();
        assert!(message(&folder.0).contains("tokenizer.json: not a file"), "{}", message(&folder.0));
        assert!(message(Path::new("builtin:x")).contains("there are builtin:shakespeare"));
    }

    #[test]
    fn a_failed_save_leaves_the_old_files() {
        let folder = Folder::new("failed");
        let model = Model::shakespeare().unwrap();
        save_model(&folder.0, &model, Precision::F32).unwrap();
        let broken = Model { weights: Default::default(), ..model };
        assert!(save_model(&folder.0, &broken, Precision::F32).is_err());
        assert_eq!(fs::read_dir(&folder.0).unwrap().count(), 3);
        open_model(&folder.0).unwrap();
    }
}
