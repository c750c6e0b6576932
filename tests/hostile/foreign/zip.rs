//! Zip archives, which .pt and .npz files are.

use crate::mutations::Rng;

/// An entry of a zip archive: name, bytes, whether it is deflated.
pub type ZipEntry = (String, Vec<u8>, bool);

pub fn zip(entries: &[ZipEntry]) -> Vec<u8> {
    let (mut file, mut directory) = (Vec::new(), Vec::new());
    for (name, data, deflated) in entries {
        let packed = if *deflated { miniz_oxide::deflate::compress_to_vec(data, 6) } else { data.clone() };
        let offset = file.len() as u32;
        let mut common = Vec::new();
        common.extend(20u16.to_le_bytes());
        common.extend(0u16.to_le_bytes());
        common.extend((if *deflated { 8u16 } else { 0 }).to_le_bytes());
        common.extend([0; 4]);
        common.extend(crc32fast::hash(data).to_le_bytes());
        common.extend((packed.len() as u32).to_le_bytes());
        common.extend((data.len() as u32).to_le_bytes());
        common.extend((name.len() as u16).to_le_bytes());
        common.extend(0u16.to_le_bytes());
        file.extend(b"PK\x03\x04");
        file.extend(&common);
        file.extend(name.as_bytes());
        file.extend(&packed);
        directory.extend(b"PK\x01\x02\x14\x00");
        directory.extend(&common);
        directory.extend([0; 10]);
        directory.extend(offset.to_le_bytes());
        directory.extend(name.as_bytes());
    }
    let (first, count) = (file.len() as u32, entries.len() as u16);
    let len = directory.len() as u32;
    file.extend(directory);
    file.extend(b"PK\x05\x06\0\0\0\0");
    file.extend(count.to_le_bytes());
    file.extend(count.to_le_bytes());
    file.extend(len.to_le_bytes());
    file.extend(first.to_le_bytes());
    file.extend(0u16.to_le_bytes());
    file
}

/// Lies in a zip archive's numbers: one to three words of its directory become others.
pub fn lie_in_directory(rng: &mut Rng, valid: &[u8]) -> Vec<u8> {
    let mut bytes = valid.to_vec();
    let records: Vec<usize> = (0..bytes.len() - 4)
        .filter(|at| {
            [b"PK\x01\x02", b"PK\x05\x06", b"PK\x03\x04"].contains(&&bytes[*at..at + 4].try_into().expect("four"))
        })
        .collect();
    for _ in 0..=rng.below(3) {
        let at = rng.pick(&records) + 4 + 2 * rng.below(20);
        let words = [0u32, 1, 8, 0xffff, 0xffff_ffff, 0x7fff_ffff, bytes.len() as u32, rng.next() as u32];
        let word = rng.pick(&words).to_le_bytes();
        let end = (at + 2 + 2 * rng.below(2)).min(bytes.len());
        if at < end {
            bytes[at..end].copy_from_slice(&word[..end - at]);
        }
    }
    bytes
}
