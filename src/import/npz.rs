//! NumPy's .npz: a zip archive of .npy arrays.

use super::archive::entries;
use super::tensors::{Element, Tensor, Tensors};
use super::vocabulary;
use crate::model::{Bytes, short};

/// The arrays of an archive.
pub fn read(bytes: &Bytes) -> Result<Tensors, String> {
    let mut tensors = Tensors::default();
    for entry in entries(bytes)? {
        let name = entry.name.strip_suffix(".npy").unwrap_or(&entry.name).to_string();
        if let Some(other) = other_kind(&entry.bytes[entry.range.clone()]) {
            match texts(&entry.bytes[entry.range], other).filter(|_| vocabulary::NAMES.contains(&name.as_str())) {
                Some(tokens) if tensors.vocabulary.is_none() => {
                    tensors.vocabulary = Some((name, tokens.into_iter().zip(0..).collect()));
                }
                _ => tensors.notes.push(format!("passed over: array `{}`, which holds no numbers", short(&name))),
            }
            continue;
        }
        let tensor = array(&entry.bytes, entry.range).map_err(|e| format!("array `{}`: {e}", short(&name)))?;
        let tensor = tensor.at(tensors.tensors.len());
        if tensors.tensors.insert(name.clone(), tensor).is_some() {
            return Err(format!("array `{}` stands there twice", short(&name)));
        }
    }
    Ok(tensors)
}

/// The type of an array of texts (U of 4 bytes, S of one) or of Python's objects, and where its data begins.
fn other_kind(data: &[u8]) -> Option<(u8, usize, usize)> {
    let len = usize::from(u16::from_le_bytes([*data.get(8)?, *data.get(9)?]));
    let first = if data.get(6)? == &1 { 10 } else { return None };
    let header = std::str::from_utf8(data.get(first..first + len)?).ok()?;
    let descr = header.split("'descr':").nth(1)?.trim_start().strip_prefix('\'')?.split('\'').next()?;
    let kind = descr.trim_start_matches(['<', '>', '|', '=']);
    let letter = *kind.as_bytes().first()?;
    matches!(letter, b'U' | b'S' | b'O').then_some((letter, kind[1..].parse().unwrap_or(0), first + len))
}

/// The texts of an array: characters of four bytes, or of one, padded with zeros.
fn texts(data: &[u8], (letter, length, first): (u8, usize, usize)) -> Option<Vec<String>> {
    let width = if letter == b'U' { 4 } else { 1 };
    let size = length.checked_mul(width).filter(|size| *size > 0 && letter != b'O')?;
    let text = |bytes: &[u8]| -> Option<String> {
        let code = |b: &[u8]| b.iter().rev().fold(0u32, |n, b| n << 8 | u32::from(*b));
        bytes.chunks_exact(width).map(code).take_while(|c| *c != 0).map(char::from_u32).collect()
    };
    data.get(first..)?.chunks_exact(size).map(text).collect()
}

/// One .npy: a magic word, a version, the length of a header, the header, the numbers.
fn array(bytes: &Bytes, range: std::ops::Range<usize>) -> Result<Tensor, String> {
    const MAGIC: &[u8] = b"\x93NUMPY";
    let data = &bytes[range.clone()];
    let not = || "not a .npy array".to_string();
    let version = *data.strip_prefix(MAGIC).and_then(|rest| rest.first()).ok_or_else(not)?;
    let (len, first) = match (version, data.get(8..12)) {
        (1, Some(len)) => (usize::from(u16::from_le_bytes([len[0], len[1]])), 10),
        (2 | 3, Some(len)) => (u32::from_le_bytes([len[0], len[1], len[2], len[3]]) as usize, 12),
        _ => return Err(not()),
    };
    let end = first + len;
    let header = data.get(first..end).ok_or("cut off in its header")?;
    let header = std::str::from_utf8(header).map_err(|_| "a header that is no text")?;
    let field = |name: &str| {
        let at = header.find(&format!("'{name}'")).ok_or(format!("no '{name}' in its header"))?;
        let rest = &header[at + name.len() + 2..];
        Ok::<_, String>(rest.trim_start().strip_prefix(':').ok_or("a header that is no dictionary")?.trim_start())
    };
    let descr = field("descr")?;
    let descr = descr.strip_prefix('\'').and_then(|d| d.split('\'').next()).ok_or("a type that is no single number")?;
    let (order, kind) = descr.split_at_checked(1).ok_or("an empty type")?;
    let element = match kind {
        "f4" => Element::F32,
        "f2" => Element::F16,
        "f8" => Element::F64,
        "i8" => Element::I64,
        "i4" => Element::I32,
        "u8" => Element::Other(8),
        "u4" => Element::Other(4),
        "i2" | "u2" => Element::Other(2),
        "i1" => Element::I8,
        "u1" | "b1" => Element::U8,
        _ => return Err(format!("numbers of type `{}`; expected floats", short(descr))),
    };
    let shape = field("shape")?;
    let shape = shape.strip_prefix('(').and_then(|s| s.split(')').next()).ok_or("a shape that is no tuple")?;
    let sizes = shape.split(',').map(str::trim).filter(|n| !n.is_empty()).take(9);
    let shape: Vec<usize> =
        sizes.map(|n| n.parse().map_err(|_| "a shape that is no tuple")).collect::<Result<_, _>>()?;
    let fortran = field("fortran_order")?.starts_with("True");
    let numbers = range.start + end..range.end;
    let tensor = if fortran {
        let mut turned: Vec<usize> = shape.clone();
        turned.reverse();
        let mut strides = super::tensors::row_major(&turned);
        strides.reverse();
        Tensor::strided(shape, strides, element, bytes.clone(), numbers)?
    } else {
        Tensor::new(shape, element, bytes.clone(), numbers)?
    };
    Ok(if order == ">" { tensor.big_endian() } else { tensor })
}
