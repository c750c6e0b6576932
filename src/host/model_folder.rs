//! Model folders. The files of a model change together: a record of the save is the moment at which they do, and what a
//! process that was killed left to be renamed counts under its new name from then on.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::files::{Staged, context, is_partial, map, open, remove, remove_partial, replace_file, sync};
use super::lock::Lock;
use crate::error::{Error, Fault, Result};
use crate::model::{BUILTIN, BUILTIN_PREFIX, Bytes, Files, Model, Precision};

/// The sizes.
pub(super) const CONFIG: &str = "config.json";
/// The weights.
pub(super) const WEIGHTS: &str = "model.safetensors";
/// The tokenizer.
pub(super) const TOKENIZER: &str = "tokenizer.json";
/// The tokenizer of an encoder-decoder's sources, where it is another one.
pub(super) const SOURCE_TOKENIZER: &str = "source_tokenizer.json";
/// Sampling, optional.
pub(super) const GENERATION: &str = "generation_config.json";
/// The list of files that a save has still to rename and to remove, while it does.
const RECORD: &str = ".gatefold.save";
/// The files of a model.
pub(super) const FILES: [&str; 5] = [CONFIG, WEIGHTS, TOKENIZER, SOURCE_TOKENIZER, GENERATION];
/// Bytes of a JSON file at most.
const MAX_JSON: u64 = 256 << 20;
/// How often a folder is read again that was saved meanwhile.
const TRIES: usize = 20;

/// The last actions of a save, once all its files are on the disk.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
struct Record {
    /// Random names and the names that they are for.
    renames: Vec<[String; 2]>,
    removes: Vec<String>,
}

impl Record {
    /// The record in a folder, if a save is not finished there.
    fn read(folder: &Path) -> Result<Option<Record>> {
        let path = folder.join(RECORD);
        let bytes = match fs::metadata(&path) {
            Err(_) => return Ok(None),
            Ok(found) if !found.is_file() => return Err(foreign(&path)),
            Ok(_) => match fs::read(&path) {
                Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
                bytes => bytes.map_err(context(&path))?,
            },
        };
        let record: Record = serde_json::from_slice(&bytes).map_err(|_| foreign(&path))?;
        let ours = |[partial, name]: &[String; 2]| is_partial(Path::new(partial), &[name]) && is_file(name);
        let is_sound = record.renames.iter().all(ours) && record.removes.iter().all(|name| is_file(name));
        if is_sound { Ok(Some(record)) } else { Err(foreign(&path)) }
    }

    /// Does what is left to be done.
    fn finish(&self, folder: &Path) -> Result<()> {
        for [partial, name] in &self.renames {
            match fs::rename(folder.join(partial), folder.join(name)) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(context(&folder.join(name))(e)),
                _ => {}
            }
        }
        self.removes.iter().try_for_each(|name| remove(&folder.join(name)))?;
        sync(folder);
        remove(&folder.join(RECORD))
    }

    /// Where a file of the model is; `None` if it is to be removed.
    fn place(&self, folder: &Path, name: &str) -> Option<PathBuf> {
        if self.removes.iter().any(|removed| removed == name) {
            return None;
        }
        let of_name = self.renames.iter().find(|[_, of]| of == name);
        let partial = of_name.map(|[partial, _]| folder.join(partial)).filter(|partial| partial.exists());
        Some(partial.unwrap_or_else(|| folder.join(name)))
    }
}

fn is_file(name: &str) -> bool {
    FILES.contains(&name)
}

fn foreign(path: &Path) -> Error {
    Error::InTheWay { path: path.into(), expected: "the record of a save, or none" }
}

/// Finishes the save of a process that was killed, and removes what others had begun to write. Only the folder's owner
/// may call it.
///
/// # Errors
/// A record of something else; what the file system says.
pub(super) fn recover(folder: &Path) -> Result<()> {
    if let Some(record) = Record::read(folder)? {
        record.finish(folder)?;
    }
    remove_partial(folder, &FILES);
    remove_partial(folder, &[RECORD]);
    Ok(())
}

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
    // A save that falls into the reading is seen by its record, or by a config.json that is another one.
    let mut before = state(path)?;
    for _ in 0..TRIES {
        let files = files(path, &before.0, &expected);
        let after = state(path)?;
        let vanished = matches!(&files, Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound);
        if before == after && !vanished {
            return Model::from_files(name.trim_end_matches(std::path::is_separator), &files?);
        }
        before = after;
    }
    Err(Error::Busy { path: path.into(), owner: None })
}

/// The state of a folder that changes with a save.
fn state(folder: &Path) -> Result<(Record, Option<SystemTime>)> {
    let saved = fs::metadata(folder.join(CONFIG)).and_then(|found| found.modified()).ok();
    Ok((Record::read(folder)?.unwrap_or_default(), saved))
}

fn files(folder: &Path, record: &Record, expected: &str) -> Result<Files> {
    let place = |name: &str| record.place(folder, name).filter(|path| path.exists());
    let missing: Vec<&str> = [CONFIG, WEIGHTS, TOKENIZER].into_iter().filter(|name| place(name).is_none()).collect();
    if !missing.is_empty() {
        let name = folder.display().to_string();
        return Err(Error::model(&name, Fault::from(format!("it lacks {}", missing.join(", "))).expected(expected)));
    }
    let of = |name: &str| place(name).unwrap_or_else(|| folder.join(name));
    Ok(Files {
        config: read(&of(CONFIG))?,
        weights: map(&of(WEIGHTS))?,
        tokenizer: read(&of(TOKENIZER))?,
        source_tokenizer: place(SOURCE_TOKENIZER).map(|path| read(&path)).transpose()?,
        generation_config: place(GENERATION).map(|path| read(&path)).transpose()?,
    })
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

/// Writes a model's folder, which is made if it is not there. All files are on the disk before a record says that they are
/// the model's: what fails before leaves the old model whole, what fails after it the new one, and a program that has the
/// old files open keeps them. Only the folder's owner may call it; others call [`replace_model`].
///
/// # Errors
/// Weights that are not finite or do not fit the precision or the config; whatever the file system says.
pub(super) fn save_model(folder: &Path, model: &Model, precision: Precision) -> Result<()> {
    fs::create_dir_all(folder).map_err(context(folder))?;
    let config = model.config.to_json()?;
    let generation = model.generation_config.as_ref().map(|g| g.to_json(model.config.vocab_size)).transpose()?;
    let text = |name: &str, text: &[u8]| {
        Staged::write(&folder.join(name), |out| out.write_all(text).map_err(context(&folder.join(name))))
    };
    let weights = Staged::write(&folder.join(WEIGHTS), |out| model.weights.write(out, &model.config, precision))?;
    let tokenizer = text(TOKENIZER, &model.tokenizer.to_json())?;
    let source_tokenizer = model.source_tokenizer.as_ref();
    let source_tokenizer = source_tokenizer.map(|t| text(SOURCE_TOKENIZER, &t.to_json())).transpose()?;
    let generation = generation.map(|json| text(GENERATION, json.as_bytes())).transpose()?;
    let config = text(CONFIG, config.as_bytes())?;
    // One that another model left would be taken for this one's.
    let absent = [(GENERATION, generation.is_none()), (SOURCE_TOKENIZER, source_tokenizer.is_none())];
    let removes = absent.into_iter().filter(|(_, absent)| *absent).map(|(name, _)| name.to_string()).collect();
    let staged = [Some(weights), Some(tokenizer), source_tokenizer, generation, Some(config)].into_iter().flatten();
    let renames = staged.map(Staged::leave).collect();
    let record = Record { renames, removes };
    let json = serde_json::to_vec(&record).expect("a record is JSON");
    let path = folder.join(RECORD);
    let recorded = replace_file(&path, |out| out.write_all(&json).map_err(context(&path)));
    if recorded.is_err() {
        record.renames.iter().for_each(|[partial, _]| drop(fs::remove_file(folder.join(partial))));
    }
    recorded?;
    record.finish(folder)
}

/// Writes a model's folder as `save_model` does, where no run trains in it meanwhile.
///
/// # Errors
/// As `save_model`; another process that writes to the folder.
pub fn replace_model(path: impl AsRef<Path>, model: &Model, precision: Precision) -> Result<()> {
    let path = path.as_ref();
    let made = !path.exists();
    fs::create_dir_all(path).map_err(context(path))?;
    let lock = Lock::of_folder(path)?;
    let saved = recover(path).and_then(|()| save_model(path, model, precision));
    drop(lock);
    if saved.is_err() && made {
        // Only an empty folder goes.
        let _ = fs::remove_dir(path);
    }
    saved
}

#[cfg(test)]
mod tests {
    use super::super::files::tests::Folder;
    use super::*;

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

    #[test]
    fn a_save_that_was_killed_is_whole_before_and_after_its_record() {
        let (old, new) = (Model::shakespeare().unwrap(), Model::builtin("builtin:molecules").unwrap());
        let source = Folder::new("killed-source");
        save_model(&source.0, &new, Precision::F32).unwrap();
        for renamed in 0..=4 {
            let folder = Folder::new("killed");
            save_model(
                &folder.0,
                &Model { generation_config: new.generation_config.clone(), ..old.clone() },
                Precision::F32,
            )
            .unwrap();
            let copy = |name: &str| fs::read(source.0.join(name)).unwrap();
            let staged: Vec<Staged> = [WEIGHTS, TOKENIZER, CONFIG]
                .map(|name| {
                    let written = |out: &mut dyn std::io::Write| -> Result<()> {
                        out.write_all(&copy(name)).unwrap();
                        Ok(())
                    };
                    Staged::write(&folder.0.join(name), written).unwrap()
                })
                .into();
            assert_eq!(open_model(&folder.0).unwrap().tokenizer.len(), old.tokenizer.len(), "before the record");
            let record =
                Record { renames: staged.into_iter().map(Staged::leave).collect(), removes: vec![GENERATION.into()] };
            fs::write(folder.0.join(RECORD), serde_json::to_vec(&record).unwrap()).unwrap();
            for [partial, name] in record.renames.iter().take(renamed) {
                fs::rename(folder.0.join(partial), folder.0.join(name)).unwrap();
            }
            if renamed == 4 {
                remove(&folder.0.join(GENERATION)).unwrap();
            }
            let is_new = |model: &Model| {
                model.tokenizer.len() == new.tokenizer.len()
                    && model.config.cell == new.config.cell
                    && model.generation_config.is_none()
                    && model.weights.get("output.bias") == new.weights.get("output.bias")
            };
            assert!(is_new(&open_model(&folder.0).unwrap()), "{renamed} files have their names");
            recover(&folder.0).unwrap();
            assert_eq!(fs::read_dir(&folder.0).unwrap().count(), 3, "nothing is left of the save");
            assert!(is_new(&open_model(&folder.0).unwrap()), "{renamed} files had their names");
        }
    }

    #[test]
    fn a_record_that_no_save_wrote_is_named_and_stays() {
        let folder = Folder::new("foreign-record");
        save_model(&folder.0, &Model::shakespeare().unwrap(), Precision::F16).unwrap();
        let record = folder.0.join(RECORD);
        for text in [
            "",
            "[]",
            r#"{"renames":[["../x.0123456789abcdef.partial","config.json"]],"removes":[]}"#,
            r#"{"renames":[],"removes":["notes.txt"]}"#,
        ] {
            fs::write(&record, text).unwrap();
            assert!(matches!(open_model(&folder.0), Err(Error::InTheWay { .. })), "{text}");
            assert!(recover(&folder.0).is_err() && record.exists(), "{text}");
        }
    }
}
