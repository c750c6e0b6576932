//! The check of an output's file before anything is generated.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use super::formats::Format;
use crate::error::{Error, Result};
use crate::host::{Lock, Manifest, is_kept};

/// An output that is an ordinary file.
pub(super) struct Found {
    /// It is this process's.
    pub lock: Lock,
    /// The manifest of a run that was begun.
    pub manifest: Option<Manifest>,
}

/// Takes an output for this process and looks at what is there; `None` for streams.
///
/// # Errors
/// A folder, or a file in a folder that is not there; another process that writes to it; a file that is there, without
/// `--resume`; one without a manifest, with it.
pub(super) fn look(path: Option<&Path>, resume: bool) -> Result<Option<Found>> {
    let Some(path) = path else { return Ok(None) };
    let name = path.display();
    let wrong = |what: String| Err(Error::Usage(format!("--output {name}: {what}")));
    if path.is_dir() {
        return wrong("there is a folder; expected a file".into());
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    if let Some(folder) = folder.filter(|folder| !folder.is_dir()) {
        return wrong(format!("there is no folder {}; make it first", folder.display()));
    }
    if !is_kept(path) {
        return Ok(None);
    }
    let lock = Lock::of_output(path)?;
    let exists = path.exists();
    if exists && !resume {
        let run = Manifest::path(path).exists();
        let advice = if run { "--resume goes on with a run that was not finished" } else { "it is of no run" };
        return wrong(format!("the file is there; {advice}. Name another file, or remove this one"));
    }
    Manifest::remove_partial(path);
    let manifest = if resume { Manifest::read(path)? } else { None };
    if exists && manifest.is_none() {
        return Err(Error::Usage(format!(
            "--resume: {name} is of no run: there is no {} beside it. Name another file, or remove this one",
            Manifest::path(path).display()
        )));
    }
    Ok(Some(Found { lock, manifest }))
}

/// Calls `with` for each record of the first bytes of a file: a line, or several where a record ends after more.
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
