//! The cache of facts about a device, from one process to the next: the text of a file, and whether it still applies.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::info::AdapterInfo;
use crate::hash;
use crate::ops::TABLE;

/// Found out on one adapter, with one driver, about the kernels of one version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Key {
    gatefold: String,
    adapter: String,
    backend: String,
    driver: String,
    /// A checksum of all kernels' texts.
    kernels: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File<T> {
    key: Key,
    found: T,
}

/// The text of a file with what was found: JSON, with the device and the kernels that it was found with.
pub(super) fn to_json(found: &impl Serialize, device: &AdapterInfo) -> String {
    serde_json::to_string_pretty(&File { key: Key::of(device), found }).expect("strings are JSON") + "\n"
}

/// The contents of a file, if it is for this device and these kernels.
///
/// # Errors
/// Why it is of no use: no such JSON, another device, driver or version.
pub(super) fn from_json<T: DeserializeOwned>(json: &[u8], device: &AdapterInfo) -> Result<T, String> {
    let file: File<T> = serde_json::from_slice(json).map_err(|e| format!("it is damaged ({e})"))?;
    let key = Key::of(device);
    for (what, found, expected) in [
        ("version", &file.key.gatefold, &key.gatefold),
        ("adapter", &file.key.adapter, &key.adapter),
        ("backend", &file.key.backend, &key.backend),
        ("driver", &file.key.driver, &key.driver),
        ("kernels", &file.key.kernels, &key.kernels),
    ] {
        if found != expected {
            return Err(format!("it is for {what} `{found}`, and this is `{expected}`"));
        }
    }
    Ok(file.found)
}

impl Key {
    fn of(device: &AdapterInfo) -> Key {
        Key {
            gatefold: env!("CARGO_PKG_VERSION").into(),
            adapter: device.name.clone(),
            backend: device.backend.clone(),
            driver: device.driver.clone(),
            kernels: format!("{:016x}", checksum()),
        }
    }
}

/// A checksum of the files of all kernels.
fn checksum() -> u64 {
    let files = TABLE.iter().flat_map(|op| op.variants).flat_map(|v| v.files).map(|file| (file.path, file.text));
    let files: std::collections::BTreeMap<_, _> = files.collect();
    files.into_values().fold(hash::START, |sum, text| hash::bytes(sum, text.as_bytes()))
}
