//! The record beside an output: which run it is of, and how far it has come.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::files::{context, remove_partial, replace_file};
use crate::error::{Error, Result};

/// Bytes of a manifest at most: more is none.
const MOST_BYTES: u64 = 256 << 20;

/// How far an output has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Progress {
    /// Sequences of the run that are dealt with: written, dropped or skipped.
    pub sequences: u64,
    /// Bytes of the output that hold them; the rest was cut off.
    pub bytes: u64,
    /// CRC-32 of these bytes.
    pub crc32: u32,
    /// Sequences that were left out because their text was there before.
    pub dropped: u64,
    /// Sequences of prompts that could not be used.
    pub skipped: u64,
    /// Whether that is all of them.
    pub finished: bool,
}

impl Progress {
    /// Whether a run of `total` sequences, where that is known, can stand there; `file` is its manifest's name.
    ///
    /// # Errors
    /// The first entry that no run can have written.
    pub fn check(&self, file: &str, total: Option<u64>) -> Result<()> {
        let Progress { sequences, bytes, crc32, dropped, skipped, finished } = *self;
        let wrong = |field: &str, found: String, expected: String| {
            Err(Error::Record { file: file.into(), field: format!("progress.{field}"), found, expected })
        };
        if let Some(total) = total.filter(|total| sequences > *total || finished && sequences < *total) {
            let expected = if finished { format!("{total} in a finished run") } else { format!("at most {total}") };
            return wrong("sequences", sequences.to_string(), expected);
        }
        let left_out = dropped.checked_add(skipped).filter(|left_out| *left_out <= sequences);
        let Some(left_out) = left_out else {
            let found = format!("{dropped}, and `skipped` {skipped}");
            return wrong("dropped", found, format!("at most {sequences} together, as `sequences` says"));
        };
        // Each sequence that is there has a line.
        if bytes < sequences - left_out || bytes == 0 && crc32 != 0 {
            let expected = format!("at least {} for as many lines, and a checksum of them", sequences - left_out);
            return wrong("bytes", bytes.to_string(), expected);
        }
        Ok(())
    }
}

/// The file `OUTPUT.run.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The program that wrote it.
    pub program: String,
    /// All that sequences and their lines depend on, by name.
    pub run: Map<String, Value>,
    /// Settings that the texts do not depend on: the batch, the kernels.
    pub with: Map<String, Value>,
    /// How far the output has come.
    pub progress: Progress,
}

/// The entry after those of [`Manifest`] in its file: CRC-32 of them in JSON without blanks. What was changed by hand
/// or damaged has another one.
const SUM: &str = "sum";

impl Manifest {
    /// Where an output's manifest is.
    pub fn path(output: &Path) -> PathBuf {
        let mut path = output.as_os_str().to_owned();
        path.push(".run.json");
        path.into()
    }

    /// The manifest of an output, if there is one. The caller has the output's lock.
    ///
    /// # Errors
    /// No manifest of this version, or one that was changed; what the file system says.
    pub fn read(output: &Path) -> Result<Option<Manifest>> {
        let path = Manifest::path(output);
        let file = path.display().to_string();
        match std::fs::metadata(&path) {
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(context(&path)(e)),
            Ok(found) if !found.is_file() || found.len() > MOST_BYTES => {
                return Err(Error::model(&file, "no small file; it is no run that can be resumed"));
            }
            Ok(_) => {}
        }
        let json = std::fs::read(&path).map_err(context(&path))?;
        let wrong = |e: serde_json::Error| Error::model(&file, format!("{e}; it is no run that can be resumed"));
        let mut entries: Map<String, Value> = serde_json::from_slice(&json).map_err(wrong)?;
        let found = entries.remove(SUM).unwrap_or_default();
        let value = Value::Object(entries);
        let expected = Value::from(sum_of(&value));
        let manifest = serde_json::from_value(value).map_err(wrong)?;
        if found != expected {
            let (found, expected) = (found.to_string(), expected.to_string());
            return Err(Error::Record { file, field: SUM.into(), found, expected });
        }
        Ok(Some(manifest))
    }

    /// Writes it in the place of an older one.
    ///
    /// # Errors
    /// An error of the file system.
    pub fn write(&self, output: &Path) -> Result<()> {
        let path = Manifest::path(output);
        let mut value = serde_json::to_value(self).expect("a manifest is JSON");
        value[SUM] = sum_of(&value).into();
        let json = serde_json::to_string_pretty(&value).expect("a manifest is JSON") + "\n";
        replace_file(&path, |out| out.write_all(json.as_bytes()).map_err(context(&path)))
    }

    /// Removes what processes that were killed while they wrote it have left. The caller has the output's lock.
    pub fn remove_partial(output: &Path) {
        let path = Manifest::path(output);
        if let (Some(folder), Some(name)) = (path.parent(), path.file_name().and_then(|name| name.to_str())) {
            remove_partial(if folder.as_os_str().is_empty() { Path::new(".") } else { folder }, &[name]);
        }
    }

    /// Whether it is of the same run.
    ///
    /// # Errors
    /// The first thing that differs.
    pub fn check_same(&self, run: &Map<String, Value>, output: &Path) -> Result<()> {
        let Some((name, before, now)) = difference(&self.run, run) else { return Ok(()) };
        let show = |value: Option<&Value>| value.map_or("nothing".into(), Value::to_string);
        Err(Error::OtherRun { path: output.into(), name: name.into(), before: show(before), now: show(now) })
    }
}

fn sum_of(manifest: &Value) -> u32 {
    crc32fast::hash(manifest.to_string().as_bytes())
}

/// The first name whose values differ, in an object of its own where the value is one.
fn difference<'a>(
    a: &'a Map<String, Value>,
    b: &'a Map<String, Value>,
) -> Option<(&'a str, Option<&'a Value>, Option<&'a Value>)> {
    let name = a.keys().chain(b.keys()).find(|name| a.get(*name) != b.get(*name))?;
    match (a.get(name), b.get(name)) {
        (Some(Value::Object(a)), Some(Value::Object(b))) => difference(a, b),
        (a, b) => Some((name, a, b)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::files::tests::Folder;
    use super::*;

    fn manifest(progress: Progress) -> Manifest {
        let run = Map::from_iter([("options".to_string(), serde_json::json!({"a": 1, "t": 0.1}))]);
        Manifest { program: "p".into(), run, with: Map::new(), progress }
    }

    #[test]
    fn another_run_is_named_by_what_differs() {
        let run = |seed: u64| Map::from_iter([("seed".to_string(), seed.into())]);
        let of_seed = Manifest { run: run(1), with: run(2), ..manifest(Progress::default()) };
        assert!(of_seed.check_same(&run(1), Path::new("o.smi")).is_ok());
        let message = of_seed.check_same(&run(2), Path::new("o.smi")).unwrap_err().to_string();
        assert!(message.contains("o.smi was begun with seed 1, this run has 2"), "{message}");
        let options = |t: f64| Map::from_iter([("options".into(), serde_json::json!({"a": 1, "t": t}))]);
        let message =
            manifest(Progress::default()).check_same(&options(1.0), Path::new("o.smi")).unwrap_err().to_string();
        assert!(message.contains("was begun with t 0.1, this run has 1.0"), "{message}");
    }

    #[test]
    fn what_was_written_comes_back_and_what_was_changed_does_not() {
        let folder = Folder::new("manifest");
        let output = folder.0.join("o.txt");
        assert_eq!(Manifest::read(&output).unwrap(), None);
        let progress = Progress { sequences: 7, bytes: 90, crc32: 5, ..Default::default() };
        manifest(progress).write(&output).unwrap();
        assert_eq!(Manifest::read(&output).unwrap(), Some(manifest(progress)));
        let path = Manifest::path(&output);
        let json = std::fs::read_to_string(&path).unwrap();
        for (from, to, says) in [
            ("\"sequences\": 7", "\"sequences\": 6", "`sum` is"),
            ("\"bytes\": 90", "\"bytes\": 91", "`sum` is"),
            ("\"finished\": false", "\"finished\": true", "`sum` is"),
            ("\"crc32\": 5", "\"crc32\": -5", "no run that can be resumed"),
            ("\"sequences\": 7", "\"sequences\": 7, \"other\": 1", "unknown field `other`"),
            ("\"sequences\": 7", "\"sequences\": 7, \"sequences\": 8", ""),
            ("\"dropped\": 0,", "", "missing field `dropped`"),
            ("{", "", "no run that can be resumed"),
        ] {
            assert!(json.contains(from), "{from}");
            std::fs::write(&path, json.replacen(from, to, 1)).unwrap();
            let message = Manifest::read(&output).unwrap_err().to_string();
            assert!(message.contains("o.txt.run.json") && message.contains(says), "{to}: {message}");
        }
    }

    #[test]
    fn a_place_where_no_run_can_stand_is_named() {
        let fine = Progress { sequences: 10, bytes: 40, crc32: 7, dropped: 2, skipped: 3, finished: false };
        assert!(fine.check("m", Some(10)).is_ok() && fine.check("m", None).is_ok());
        for (progress, says) in [
            (Progress { sequences: 11, ..fine }, "`progress.sequences` is 11; expected at most 10"),
            (Progress { sequences: 9, finished: true, ..fine }, "`progress.sequences` is 9; expected 10 in a finished"),
            (Progress { dropped: 8, ..fine }, "`progress.dropped` is 8, and `skipped` 3; expected at most 10"),
            (Progress { dropped: u64::MAX, ..fine }, "`progress.dropped`"),
            (Progress { bytes: 4, ..fine }, "`progress.bytes` is 4; expected at least 5"),
            (Progress { sequences: 5, bytes: 0, ..fine }, "`progress.bytes` is 0"),
        ] {
            let message = progress.check("m", Some(10)).unwrap_err().to_string();
            assert!(message.contains(says), "{message}");
        }
    }
}
