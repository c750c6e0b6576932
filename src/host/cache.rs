//! The cache of what was found out on this machine: which kernel is the fastest at which sizes, and that a device
//! passed its self-test.
//!
//! Two files for each device, in the user's cache folder or where `GATEFOLD_CACHE` says. They may be deleted at any time;
//! what is damaged, or belongs to another driver or version, is ignored. Tuning took someone minutes, so nothing but
//! `gatefold bench tune` overwrites them, and a warning says that they are not used.

use std::path::{Path, PathBuf};

use super::files::{context, replace_file};
use crate::error::{Error, Result};
use crate::gpu::{AdapterInfo, PassedTests, TunedVariants};

/// Bytes of a file at most: more is no file of ours.
const MOST_BYTES: u64 = 4 << 20;

/// The kinds of files.
const CHOICES: &str = "choices";
const PASSED: &str = "passed";

/// The folder, if the system has one.
pub fn cache_folder() -> Option<PathBuf> {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(folder) = variable("GATEFOLD_CACHE") {
        return Some(folder);
    }
    let system = if cfg!(windows) {
        variable("LOCALAPPDATA")
    } else if cfg!(target_os = "macos") {
        variable("HOME").map(|home| home.join("Library/Caches"))
    } else {
        variable("XDG_CACHE_HOME").or_else(|| variable("HOME").map(|home| home.join(".cache")))
    };
    system.map(|folder| folder.join("gatefold"))
}

/// The file of one kind of finding for a device.
fn file(kind: &str, device: &AdapterInfo) -> Option<PathBuf> {
    let safe = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let name: String = format!("{}-{}", device.name, device.backend).chars().take(80).map(safe).collect();
    Some(cache_folder()?.join(format!("{kind}-{name}.json")))
}

/// The contents of a file; `None` where there is none.
fn read<T>(
    path: &Path,
    parse: impl FnOnce(&[u8]) -> std::result::Result<T, String>,
) -> std::result::Result<Option<T>, String> {
    match std::fs::metadata(path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(format!("it cannot be read ({e})")),
        Ok(found) if !found.is_file() || found.len() > MOST_BYTES => return Err("it is damaged (no small file)".into()),
        Ok(_) => {}
    }
    let json = std::fs::read(path).map_err(|e| format!("it cannot be read ({e})"))?;
    parse(&json).map(Some)
}

fn write(path: &Path, json: &str) -> Result<()> {
    let folder = path.parent().expect("the file is in the folder");
    std::fs::create_dir_all(folder).map_err(context(folder))?;
    replace_file(path, |out| out.write_all(json.as_bytes()).map_err(context(path)))
}

/// The choices that `gatefold bench tune` found for a device; none where there is no file, or one of no use.
pub fn choices(device: &AdapterInfo) -> TunedVariants {
    let Some(path) = file(CHOICES, device) else { return TunedVariants::default() };
    let found = read(&path, |json| TunedVariants::from_json(json, device)).unwrap_or_else(|why| {
        log::warn!("{}: ignored, since {why}; tuning writes it anew", path.display());
        None
    });
    found.unwrap_or_default()
}

/// Keeps choices for a device; gives the file's path.
///
/// # Errors
/// No cache folder, or whatever the file system says.
pub fn save_choices(device: &AdapterInfo, choices: &TunedVariants) -> Result<PathBuf> {
    let path = file(CHOICES, device).ok_or(Error::NoCacheFolder)?;
    write(&path, &choices.to_json(device))?;
    Ok(path)
}

/// Whether something was not said yet on this machine by this version; it counts as said from now on. Where there is no
/// folder to note it, it is news each time.
pub fn is_news(what: &str) -> bool {
    let Some(path) = cache_folder().map(|folder| folder.join(format!("said-{what}.json"))) else { return true };
    let of = serde_json::json!({"machine": super::cpu_name(), "version": env!("CARGO_PKG_VERSION")}).to_string();
    let parse = |json: &[u8]| Ok(json == of.as_bytes());
    if matches!(read(&path, parse), Ok(Some(true))) {
        return false;
    }
    if let Err(e) = write(&path, &of) {
        log::debug!("{e}");
    }
    true
}

/// The self-tests that a device passed in other processes. A file of no use is not the user's concern: they run again,
/// and it is written anew.
pub(super) fn passed(device: &AdapterInfo) -> PassedTests {
    let Some(path) = file(PASSED, device) else { return PassedTests::default() };
    let found = read(&path, |json| PassedTests::from_json(json, device)).unwrap_or_else(|why| {
        log::debug!("{}: ignored, since {why}", path.display());
        None
    });
    found.unwrap_or_default()
}

/// Saves the tests that a device passed, if it can: without a folder to write to, the next process asks again.
pub(super) fn save_passed(device: &AdapterInfo, passed: &PassedTests) {
    let Some((path, json)) = file(PASSED, device).zip(passed.to_json(device)) else { return };
    if let Err(e) = write(&path, &json) {
        log::debug!("{e}");
    }
}
