//! The safetensors format: eight bytes of header length (little endian), a JSON header with each tensor's type, shape
//! and place, then the tensors one after another.
//!
//! Read here rather than by a crate, so that memory is bounded by the file's size whatever its header says, sums
//! cannot overflow, and an error names the tensor.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use half::{bf16, f16};
use serde::Deserialize;
use serde::de::Deserializer;

use super::fields::{Entries, Entry, short};
use crate::error::{Error, Fault, Result};

/// Bytes of a header at most: some thirty thousand tensors.
const MAX_HEADER: u64 = 4 << 20;

/// A file's bytes, in memory or mapped, shared by all that read from it.
#[derive(Clone)]
pub struct Bytes(Arc<dyn AsRef<[u8]> + Send + Sync>);

impl Bytes {
    /// Anything that gives bytes, the same ones each time: a vector, a static slice, a memory map.
    pub fn new(bytes: impl AsRef<[u8]> + Send + Sync + 'static) -> Bytes {
        Bytes(Arc::new(bytes))
    }
}

impl std::ops::Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        (*self.0).as_ref()
    }
}

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.len())
    }
}

/// The element type of a stored tensor.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Dtype {
    /// 32-bit IEEE float.
    F32,
    /// 16-bit IEEE float.
    F16,
    /// The upper half of a 32-bit IEEE float.
    Bf16,
    /// A type that no weight has, under its name in the file.
    Other(String),
}

impl Dtype {
    /// Bits of an element; `None` for names that are not known.
    fn bits(&self) -> Option<u64> {
        Some(match self {
            Dtype::F32 => 32,
            Dtype::F16 | Dtype::Bf16 => 16,
            Dtype::Other(name) => match name.as_str() {
                "F64" | "I64" | "U64" | "C64" => 64,
                "I32" | "U32" => 32,
                "I16" | "U16" => 16,
                "I8" | "U8" | "BOOL" => 8,
                name if name.starts_with("F8_") => 8,
                name if name.starts_with("F6_") => 6,
                "F4" => 4,
                _ => return None,
            },
        })
    }
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Dtype::F32 => f.write_str("F32"),
            Dtype::F16 => f.write_str("F16"),
            Dtype::Bf16 => f.write_str("BF16"),
            Dtype::Other(name) => f.write_str(&short(name)),
        }
    }
}

impl<'de> Deserialize<'de> for Dtype {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        Ok(match name.as_str() {
            "F32" => Dtype::F32,
            "F16" => Dtype::F16,
            "BF16" => Dtype::Bf16,
            _ => Dtype::Other(name),
        })
    }
}

/// A tensor as the header has it.
#[derive(Deserialize)]
struct Info {
    dtype: Dtype,
    shape: Vec<u64>,
    data_offsets: (u64, u64),
}

impl Entry for Info {
    fn skips(name: &str) -> bool {
        name == "__metadata__"
    }
}

/// A tensor of a file.
#[derive(Clone, Debug)]
pub struct Stored {
    /// The name.
    pub name: String,
    /// The element type.
    pub dtype: Dtype,
    /// The sizes, slowest axis first.
    pub shape: Vec<u64>,
    /// Its place among the file's bytes.
    pub(super) range: Range<usize>,
}

impl Stored {
    /// Its place among the file's bytes.
    pub fn place(&self) -> Range<usize> {
        self.range.clone()
    }

    /// Number of elements.
    pub fn elements(&self) -> u128 {
        elements(&self.shape).unwrap_or(u128::MAX)
    }
}

fn elements(shape: &[u64]) -> Option<u128> {
    shape.iter().try_fold(1u128, |product, n| product.checked_mul(u128::from(*n)))
}

/// The tensors of a file, in the order of their names; `file` is its name in messages. No tensor is read.
///
/// # Errors
/// Not a safetensors file, one that was cut off, or tensors whose sizes and places contradict each other.
pub fn read_header(file: &str, bytes: &[u8]) -> Result<Vec<Stored>> {
    let wrong = |what: String| Error::model(file, what);
    let Some((len, rest)) = bytes.split_first_chunk::<8>() else {
        return Err(wrong(format!("{} bytes; a safetensors file begins with 8 bytes of header length", bytes.len())));
    };
    let len = u64::from_le_bytes(*len);
    if len > MAX_HEADER {
        return Err(wrong(format!("not a safetensors file: a header of {len} bytes; expected at most {MAX_HEADER}")));
    }
    let Some((header, data)) = rest.split_at_checked(len as usize) else {
        let left = rest.len();
        return Err(wrong(format!("cut off: the header has {len} bytes, but only {left} follow its length")));
    };
    let parsed = serde_json::from_slice(header);
    let Entries::<Info>(infos) = parsed.map_err(|e| wrong(format!("not a safetensors file: in the header, {e}")))?;
    check_places(&infos, data.len() as u64).map_err(|fault| Error::model(file, fault))?;
    let first = bytes.len() - data.len();
    let stored = infos.into_iter().map(|(name, info)| {
        let (start, end) = info.data_offsets;
        Stored { name, dtype: info.dtype, shape: info.shape, range: first + start as usize..first + end as usize }
    });
    Ok(stored.collect())
}

/// A text that the header keeps under `__metadata__`; `None` where there is no such text, or no header.
pub fn metadata_entry(bytes: &[u8], key: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Header {
        #[serde(rename = "__metadata__")]
        metadata: Option<BTreeMap<String, String>>,
    }
    let (len, rest) = bytes.split_first_chunk::<8>()?;
    let len = u64::from_le_bytes(*len);
    let (header, _) = rest.split_at_checked(usize::try_from(len).ok().filter(|_| len <= MAX_HEADER)?)?;
    serde_json::from_slice::<Header>(header).ok()?.metadata?.remove(key)
}

/// The entries of a file's `__metadata__`, whose header was read before.
pub(super) fn read_metadata(bytes: &[u8]) -> BTreeMap<String, String> {
    #[derive(Default, Deserialize)]
    struct Header {
        #[serde(default, rename = "__metadata__")]
        metadata: BTreeMap<String, String>,
    }
    let header: Header = serde_json::from_slice(&bytes[8..data_start(bytes)]).unwrap_or_default();
    header.metadata
}

/// Where the data of a file begins whose header was read before.
pub(super) fn data_start(bytes: &[u8]) -> usize {
    8 + bytes.first_chunk().map_or(0, |len| u64::from_le_bytes(*len) as usize)
}

/// Whether the tensors lie one after another, fill the data, and have the sizes that their shapes say.
fn check_places(infos: &BTreeMap<String, Info>, data: u64) -> std::result::Result<(), Fault> {
    let mut by_place: Vec<_> = infos.iter().collect();
    by_place.sort_by_key(|(_, info)| info.data_offsets);
    let mut end = 0;
    for (name, info) in by_place {
        let name = short(name);
        let (first, last) = info.data_offsets;
        if first != end || last < first {
            let found = format!("is said to lie at bytes {first} to {last}");
            return Err(Fault::tensor(name, found).expected(format!("it at {end}")));
        }
        let bits = info.dtype.bits();
        let expected = bits.map(|bits| elements(&info.shape).and_then(|n| n.checked_mul(u128::from(bits))));
        if expected.is_some_and(|bits| bits != Some(u128::from(last - first) * 8)) {
            let (dtype, shape) = (&info.dtype, short(&format!("{:?}", info.shape)));
            let found = format!("is {dtype} of shape {shape}, and is said to have {} bytes", last - first);
            return Err(Fault::tensor(name, found));
        }
        if last > data {
            return Err(Fault::tensor(
                name,
                format!("is cut off: it ends at byte {last} of the data, which has {data}"),
            ));
        }
        end = last;
    }
    if end != data {
        return Err(format!("the tensors have {end} bytes, but {data} follow the header").into());
    }
    Ok(())
}

/// The type that weights are written in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// 32-bit floats: nothing is lost.
    #[default]
    F32,
    /// 16-bit IEEE floats: half the size, three decimal digits.
    F16,
}

/// The header of a file with these tensors one after another, its length before it. `metadata` are entries beside
/// the one that Hugging Face's tools ask for.
pub(super) fn header(
    tensors: &[(String, Vec<usize>)],
    precision: Precision,
    mut metadata: BTreeMap<String, String>,
) -> Vec<u8> {
    let (dtype, bytes) = match precision {
        Precision::F32 => (Dtype::F32, 4),
        Precision::F16 => (Dtype::F16, 2),
    };
    metadata.insert("format".into(), "pt".into());
    let metadata = serde_json::to_string(&metadata).expect("texts are JSON");
    let mut text = format!(r#"{{"__metadata__":{metadata}"#);
    let mut first = 0;
    for (name, shape) in tensors {
        let end = first + bytes * shape.iter().product::<usize>();
        let name = serde_json::Value::from(name.as_str());
        text += &format!(r#",{name}:{{"dtype":"{dtype}","shape":{shape:?},"data_offsets":[{first},{end}]}}"#);
        first = end;
    }
    text.push('}');
    // The data begins at a multiple of 8, so that a map of the file is aligned for any element type.
    while !text.len().is_multiple_of(8) {
        text.push(' ');
    }
    [&(text.len() as u64).to_le_bytes(), text.as_bytes()].concat()
}

/// Elements as they stand in a file. The error is the first that has no finite number there.
pub(super) fn encode(values: &[f32], precision: Precision) -> std::result::Result<Vec<u8>, usize> {
    let (mut bytes, finite): (Vec<u8>, fn(f32) -> bool) = match precision {
        Precision::F32 => (Vec::with_capacity(4 * values.len()), f32::is_finite),
        Precision::F16 => (Vec::with_capacity(2 * values.len()), |x| f16::from_f32(x).is_finite()),
    };
    if let Some(at) = values.iter().position(|x| !finite(*x)) {
        return Err(at);
    }
    match precision {
        Precision::F32 => bytes.extend(values.iter().flat_map(|x| x.to_le_bytes())),
        Precision::F16 => bytes.extend(values.iter().flat_map(|x| f16::from_f32(*x).to_le_bytes())),
    }
    Ok(bytes)
}

/// The elements of a tensor of one of the three float types. `data` is all of it.
pub(super) fn decode(dtype: &Dtype, data: &[u8]) -> Option<Vec<f32>> {
    Some(match dtype {
        Dtype::F32 => data.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect(),
        Dtype::F16 => pairs(data).map(|b| f16::from_le_bytes(b).to_f32()).collect(),
        Dtype::Bf16 => pairs(data).map(|b| bf16::from_le_bytes(b).to_f32()).collect(),
        Dtype::Other(_) => return None,
    })
}

/// The first element that is NaN or infinite. Reads, and allocates nothing.
pub(super) fn first_not_finite(dtype: &Dtype, data: &[u8]) -> Option<usize> {
    match dtype {
        Dtype::F32 => data.chunks_exact(4).position(|b| !f32::from_le_bytes([b[0], b[1], b[2], b[3]]).is_finite()),
        Dtype::F16 => pairs(data).position(|b| !f16::from_le_bytes(b).is_finite()),
        Dtype::Bf16 => pairs(data).position(|b| !bf16::from_le_bytes(b).is_finite()),
        Dtype::Other(_) => None,
    }
}

fn pairs(data: &[u8]) -> impl Iterator<Item = [u8; 2]> + '_ {
    data.chunks_exact(2).map(|b| [b[0], b[1]])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file with this header, whatever it says, and this many bytes of data.
    fn file(header: &str, data: usize) -> Vec<u8> {
        [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &vec![0; data]].concat()
    }

    fn message(bytes: &[u8]) -> String {
        read_header("w.safetensors", bytes).unwrap_err().to_string()
    }

    #[test]
    fn a_header_that_lies_is_an_error_that_names_the_tensor() {
        let one = r#"{"a": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}}"#;
        assert_eq!(read_header("w", &file(one, 24)).unwrap()[0].elements(), 6);
        for (header, data, expected) in [
            (one.to_string(), 23, "w.safetensors: tensor `a` is cut off: it ends at byte 24 of the data, which has 23"),
            (one.to_string(), 25, "the tensors have 24 bytes, but 25 follow the header"),
            (one.replace("[2, 3]", "[2, 4]"), 24, "tensor `a` is F32 of shape [2, 4], and is said to have 24 bytes"),
            (one.replace("[0,", "[4,"), 24, "tensor `a` is said to lie at bytes 4 to 24; expected it at 0"),
            (one.replace("[0,", "[-1,"), 24, "not a safetensors file: in the header, invalid value: integer `-1`"),
            (one.replace("{\"a\"", "{\"a\": 1, \"a\""), 24, "invalid type: integer `1`"),
            (format!("{}, {}", &one[..one.len() - 1], &one[1..]), 24, "in the header, `a` stands there twice"),
            ("[]".into(), 0, "not a safetensors file: in the header, invalid type: sequence"),
        ] {
            let message = message(&file(&header, data));
            assert!(message.contains(expected), "{message}\nlacks {expected}");
        }
    }

    #[test]
    fn a_header_length_that_lies_allocates_nothing() {
        assert!(message(&[0; 7]).contains("7 bytes; a safetensors file begins with 8"));
        assert!(message(&u64::MAX.to_le_bytes()).contains("a header of 18446744073709551615 bytes; expected at most"));
        assert!(message(&file("{}", 0)[..9]).contains("cut off: the header has 2 bytes, but only 1 follow"));
    }

    #[test]
    fn sizes_whose_sum_overflows_are_an_error() {
        let size = (1u64 << 61) - 1;
        let tensor = |i: u64| {
            let (first, end) = (i * size, (i + 1) * size);
            format!(r#""t{i}": {{"dtype": "U8", "shape": [{size}], "data_offsets": [{first}, {end}]}}"#)
        };
        let tensors: Vec<String> = (0..8).map(tensor).collect();
        assert!(message(&file(&format!("{{{}}}", tensors.join(", ")), 8)).contains("tensor `t0` is cut off"));
        let huge =
            format!(r#"{{"a": {{"dtype": "F64", "shape": [{0}, {0}, {0}], "data_offsets": [0, 8]}}}}"#, u64::MAX);
        assert!(message(&file(&huge, 8)).contains("is said to have 8 bytes"));
    }

    #[test]
    fn elements_come_back() {
        let values = [0.0, -1.5, 65504.0, 6.1e-5];
        assert_eq!(decode(&Dtype::F32, &encode(&values, Precision::F32).unwrap()).unwrap(), values);
        let halves = decode(&Dtype::F16, &encode(&values, Precision::F16).unwrap()).unwrap();
        assert!(halves.iter().zip(values).all(|(a, b)| (a - b).abs() <= b.abs() / 2048.0), "{halves:?}");
        assert_eq!(encode(&[1.0, 65520.0], Precision::F16), Err(1), "rounds to infinity");
        assert_eq!(encode(&[f32::NAN], Precision::F32), Err(0));
        assert_eq!(decode(&Dtype::Bf16, &[0xc0, 0x3f]).unwrap(), [1.5]);
        assert_eq!(first_not_finite(&Dtype::Bf16, &[0xc0, 0x3f, 0x80, 0x7f]), Some(1));
        assert_eq!(first_not_finite(&Dtype::F16, &[0, 0x7c]), Some(0));
    }
}
