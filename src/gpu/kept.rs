//! What is kept of a device from one process to the next: the text of a file, and what it is good for.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::adapter::AdapterInfo;
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

/// What was found as a file holds it: JSON, with the device and the kernels that it was found with.
pub(super) fn to_json(found: &impl Serialize, device: &AdapterInfo) -> String {
    serde_json::to_string_pretty(&File { key: Key::of(device), found }).expect("strings are JSON") + "\n"
}

/// What a file holds, if it is for this device and these kernels.
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

/// FNV-1a over the files of all kernels.
fn checksum() -> u64 {
    let files = TABLE.iter().flat_map(|op| op.variants).flat_map(|v| v.files).map(|file| (file.path, file.text));
    let files: std::collections::BTreeMap<_, _> = files.collect();
    let mut hash = 0xcbf2_9ce4_8422_2325u64;
    for byte in files.into_values().flat_map(str::bytes) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    hash
}

/// A device for tests.
#[cfg(test)]
pub(super) fn device(driver: &str) -> AdapterInfo {
    AdapterInfo {
        name: "a".into(),
        driver: driver.into(),
        backend: "vulkan".into(),
        kind: super::Kind::Discrete,
        max_binding_bytes: 0,
        max_buffer_bytes: 0,
        max_invocations: 0,
        max_workgroup_bytes: 0,
        features: Vec::new(),
    }
}
