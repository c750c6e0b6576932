//! What was measured on this machine and is kept for the next time: which kernel is the fastest at which sizes.
//!
//! A file for each device, in the user's cache folder or where `GATEFOLD_CACHE` says. It may be deleted at any time; one
//! that is damaged, or belongs to another driver or version, is ignored with one warning.

use std::path::PathBuf;

use super::files::{context, replace_file};
use crate::error::{Error, Result};
use crate::gpu::{AdapterInfo, Choices};

/// Bytes of a file at most: more is no file of ours.
const MOST_BYTES: u64 = 4 << 20;

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

fn file(device: &AdapterInfo) -> Option<PathBuf> {
    let safe = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let name: String = format!("{}-{}", device.name, device.backend).chars().take(80).map(safe).collect();
    Some(cache_folder()?.join(format!("choices-{name}.json")))
}

/// The choices that `gatefold bench tune` found for a device; none where there is no file, or one of no use.
pub fn choices(device: &AdapterInfo) -> Choices {
    let Some(path) = file(device) else { return Choices::default() };
    let ignored = |why: String| {
        log::warn!("{}: ignored, since {why}; `gatefold bench tune` writes it anew", path.display());
        Choices::default()
    };
    match std::fs::metadata(&path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Choices::default(),
        Err(e) => return ignored(format!("it cannot be read ({e})")),
        Ok(found) if !found.is_file() || found.len() > MOST_BYTES => {
            return ignored("it is damaged (no small file)".into());
        }
        Ok(_) => {}
    }
    let read = std::fs::read(&path).map_err(|e| format!("it cannot be read ({e})"));
    read.and_then(|json| Choices::from_json(&json, device)).unwrap_or_else(ignored)
}

/// Keeps choices for a device; gives the file's path.
///
/// # Errors
/// No cache folder, or whatever the file system says.
pub fn save_choices(device: &AdapterInfo, choices: &Choices) -> Result<PathBuf> {
    let path = file(device)
        .ok_or_else(|| Error::Device("this system names no cache folder; GATEFOLD_CACHE may name one".into()))?;
    let folder = path.parent().expect("the file is in the folder");
    std::fs::create_dir_all(folder).map_err(context(folder))?;
    let json = choices.to_json(device);
    replace_file(&path, |out| out.write_all(json.as_bytes()).map_err(context(&path)))?;
    Ok(path)
}
