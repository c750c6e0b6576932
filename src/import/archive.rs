//! Zip archives: what PyTorch and NumPy save. Entries that are stored lie where they are; deflated ones are unpacked.

use std::ops::Range;

use crate::model::{Bytes, short};

/// The most bytes that entries may unpack to in all, besides twice the archive's size.
const ROOM: usize = 16 << 20;

/// An entry: its name, and its bytes where they lie or unpacked.
pub struct Entry {
    /// The name.
    pub name: String,
    /// The storage that holds its bytes.
    pub bytes: Bytes,
    /// Where they are.
    pub range: Range<usize>,
}

impl Entry {
    /// Its bytes.
    pub fn data(&self) -> &[u8] {
        &self.bytes[self.range.clone()]
    }
}

/// Little-endian numbers at places of the archive.
struct At<'a>(&'a [u8]);

impl At<'_> {
    fn number(&self, at: usize, bytes: usize) -> Option<u64> {
        let data = self.0.get(at..at.checked_add(bytes)?)?;
        Some(data.iter().rev().fold(0, |n, b| n << 8 | u64::from(*b)))
    }

    fn size(&self, at: usize, bytes: usize) -> Option<usize> {
        self.number(at, bytes).and_then(|n| usize::try_from(n).ok())
    }

    fn has(&self, at: usize, signature: &[u8; 4]) -> bool {
        at.checked_add(4).and_then(|end| self.0.get(at..end)).is_some_and(|bytes| bytes == signature)
    }
}

/// A record of the directory.
struct Record {
    name: String,
    method: u64,
    flags: u64,
    checksum: u32,
    packed: usize,
    size: usize,
    header: usize,
}

/// All entries that are files. Their checksums are compared.
pub fn entries(bytes: &Bytes) -> Result<Vec<Entry>, String> {
    let at = At(bytes);
    let (count, directory) = directory(&at).ok_or("cut off or no zip archive: it has no directory at its end")?;
    let mut room = ROOM + 2 * bytes.len();
    let (mut entries, mut place) = (Vec::new(), directory);
    // Entries that lie over each other would make a small file large.
    let mut packed = bytes.len();
    for i in 0..count {
        let (record, next) = record(&at, place).ok_or_else(|| format!("its directory is cut off at entry {i}"))?;
        place = next;
        let within = |what: String| format!("entry `{}`: {what}", short(&record.name));
        if record.flags & 1 != 0 {
            return Err(within("it is encrypted".into()));
        }
        if record.name.ends_with('/') {
            continue;
        }
        let data = data(&at, &record).ok_or_else(|| within("cut off: it ends past the archive's end".into()))?;
        packed = packed.checked_sub(record.packed).ok_or_else(|| within("it lies over other entries".into()))?;
        let entry = match record.method {
            0 if record.packed == record.size => Entry { name: record.name.clone(), bytes: bytes.clone(), range: data },
            8 => {
                room = room.checked_sub(record.size).ok_or_else(|| {
                    within(format!("it unpacks to {} bytes, more than such an archive may", record.size))
                })?;
                let unpacked = miniz_oxide::inflate::decompress_to_vec_with_limit(&bytes[data], record.size);
                let unpacked = unpacked.map_err(|e| within(format!("it cannot be unpacked: {:?}", e.status)))?;
                let range = 0..unpacked.len();
                Entry { name: record.name.clone(), bytes: Bytes::new(unpacked), range }
            }
            method => return Err(within(format!("packed by method {method}; expected stored or deflated"))),
        };
        if entry.range.len() != record.size {
            return Err(within(format!("it has {} bytes; the directory says {}", entry.range.len(), record.size)));
        }
        if crc32fast::hash(entry.data()) != record.checksum {
            return Err(within("its checksum is another one: the file is damaged".into()));
        }
        entries.push(entry);
    }
    Ok(entries)
}

/// Number of entries, and where the directory begins.
fn directory(at: &At) -> Option<(usize, usize)> {
    const END: usize = 22;
    let last = at.0.len().checked_sub(END)?;
    // A comment of at most 64 KiB may follow the record.
    let end = (last.saturating_sub(1 << 16)..=last).rev().find(|place| at.has(*place, b"PK\x05\x06"))?;
    let (count, place) = (at.size(end + 10, 2)?, at.size(end + 16, 4)?);
    if count != 0xffff && place != 0xffff_ffff {
        return Some((count, place));
    }
    let locator = end.checked_sub(20).filter(|place| at.has(*place, b"PK\x06\x07"))?;
    let wide = at.size(locator + 8, 8)?;
    at.has(wide, b"PK\x06\x06").then_some(())?;
    Some((at.size(wide.checked_add(32)?, 8)?, at.size(wide.checked_add(48)?, 8)?))
}

/// A record of the directory, and where the next one begins.
fn record(at: &At, place: usize) -> Option<(Record, usize)> {
    at.has(place, b"PK\x01\x02").then_some(())?;
    let (name_len, extra_len) = (at.size(place + 28, 2)?, at.size(place + 30, 2)?);
    let name = place + 46..place + 46 + name_len;
    let extra = name.end..name.end + extra_len;
    let mut record = Record {
        name: String::from_utf8_lossy(at.0.get(name)?).into_owned(),
        flags: at.number(place + 8, 2)?,
        method: at.number(place + 10, 2)?,
        checksum: at.number(place + 16, 4)? as u32,
        packed: at.size(place + 20, 4)?,
        size: at.size(place + 24, 4)?,
        header: at.size(place + 42, 4)?,
    };
    // Numbers of 64 bits stand in an extra field of kind 1, those that do not fit 32, in this order.
    let mut field = extra.start;
    while field + 4 <= extra.end {
        let (kind, len) = (at.number(field, 2)?, at.size(field + 2, 2)?);
        let mut wide = field + 4;
        for number in [&mut record.size, &mut record.packed, &mut record.header].into_iter().filter(|_| kind == 1) {
            if *number == 0xffff_ffff && wide + 8 <= field + 4 + len {
                *number = at.size(wide, 8)?;
                wide += 8;
            }
        }
        field += 4 + len;
    }
    Some((record, extra.end + at.size(place + 32, 2)?))
}

/// Where an entry's bytes lie: after its own header, whose name and extra field may differ from the directory's.
fn data(at: &At, record: &Record) -> Option<Range<usize>> {
    at.has(record.header, b"PK\x03\x04").then_some(())?;
    let (name, extra) = (at.size(record.header + 26, 2)?, at.size(record.header + 28, 2)?);
    let first = record.header + 30 + name + extra;
    let end = first.checked_add(record.packed)?;
    (end <= at.0.len()).then_some(first..end)
}
