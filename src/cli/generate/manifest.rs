//! What stands beside an output: which run it is of, and how far it has come.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::{Error, Result};
use crate::host;

/// How far an output has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Progress {
    /// Sequences of the run that are dealt with: written, dropped or skipped.
    pub sequences: u64,
    /// Bytes of the output that hold them; what lies behind was cut off.
    pub bytes: u64,
    /// Sequences that `--unique` left out.
    pub dropped: u64,
    /// Sequences of prompts that could not be used.
    pub skipped: u64,
    /// Whether that is all of them.
    pub finished: bool,
}

/// The file `OUTPUT.run.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Manifest {
    /// The program that wrote it.
    pub program: String,
    /// All that sequences and their lines depend on, by name.
    pub run: serde_json::Map<String, Value>,
    /// What they do not depend on: the batch, the kernels.
    pub with: serde_json::Map<String, Value>,
    pub progress: Progress,
}

impl Manifest {
    /// Where an output's manifest is.
    pub fn path(output: &Path) -> PathBuf {
        let mut path = output.as_os_str().to_owned();
        path.push(".run.json");
        path.into()
    }

    /// The manifest of an output, if there is one.
    pub fn read(output: &Path) -> Result<Option<Manifest>> {
        let path = Manifest::path(output);
        let context = path.display().to_string();
        match std::fs::read(&path) {
            Ok(json) => {
                let wrong = |e| Error::Model(format!("{context}: {e}; it is no run that can be resumed"));
                serde_json::from_slice(&json).map(Some).map_err(wrong)
            }
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
            Err(source) => Err(Error::Io { context, source }),
        }
    }

    /// Writes it in the place of an older one.
    pub fn write(&self, output: &Path) -> Result<()> {
        let path = Manifest::path(output);
        let json = serde_json::to_string_pretty(self).expect("a manifest is JSON") + "\n";
        host::replace_file(&path, |out| {
            out.write_all(json.as_bytes()).map_err(|source| Error::Io { context: path.display().to_string(), source })
        })
    }

    /// Whether it is of the same run.
    ///
    /// # Errors
    /// The first thing that differs.
    pub fn check_same(&self, run: &serde_json::Map<String, Value>, output: &Path) -> Result<()> {
        let Some((name, before, now)) = difference(&self.run, run) else { return Ok(()) };
        let show = |value: Option<&Value>| value.map_or("nothing".into(), Value::to_string);
        Err(Error::Usage(format!(
            "--resume: {} was begun with {name} {}, this run has {}; with another output it can begin anew",
            output.display(),
            show(before),
            show(now)
        )))
    }
}

type Object = serde_json::Map<String, Value>;

/// The first name whose values differ, in an object of its own where the value is one.
fn difference<'a>(a: &'a Object, b: &'a Object) -> Option<(&'a str, Option<&'a Value>, Option<&'a Value>)> {
    let name = a.keys().chain(b.keys()).find(|name| a.get(*name) != b.get(*name))?;
    match (a.get(name), b.get(name)) {
        (Some(Value::Object(a)), Some(Value::Object(b))) => difference(a, b),
        (a, b) => Some((name, a, b)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_run_is_named_by_what_differs() {
        let run = |seed: u64| serde_json::Map::from_iter([("seed".to_string(), seed.into())]);
        let manifest = Manifest { program: "p".into(), run: run(1), with: run(2), progress: Progress::default() };
        assert!(manifest.check_same(&run(1), Path::new("o.smi")).is_ok());
        let message = manifest.check_same(&run(2), Path::new("o.smi")).unwrap_err().to_string();
        assert!(message.contains("o.smi was begun with seed 1, this run has 2"), "{message}");
        let options = |t: f64| serde_json::Map::from_iter([("options".into(), serde_json::json!({"a": 1, "t": t}))]);
        let manifest = Manifest { run: options(0.5), ..manifest };
        let message = manifest.check_same(&options(1.0), Path::new("o.smi")).unwrap_err().to_string();
        assert!(message.contains("was begun with t 0.5, this run has 1.0"), "{message}");
        let read: Manifest = serde_json::from_str(&serde_json::to_string(&manifest).unwrap()).unwrap();
        assert_eq!(read, manifest);
    }
}
