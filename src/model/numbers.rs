//! Safetensors files of any f32 tensors, with metadata and a checksum of their data.

use std::collections::BTreeMap;
use std::io::Write;

use super::safetensors::{Bytes, Dtype, Precision, data_start, decode, encode, header, read_header, read_metadata};
use crate::error::{Error, Fault, Result};

/// The tensors and settings that such a file holds.
#[derive(Debug)]
pub struct Numbers {
    /// Tensors by name, row major.
    pub tensors: BTreeMap<String, Vec<f32>>,
    /// The header's metadata.
    pub metadata: BTreeMap<String, String>,
    /// CRC-32 of the data, and of the names and shapes after it, to go on with.
    pub checksum: crc32fast::Hasher,
}

impl Numbers {
    /// Reads a file; `file` is its name in messages.
    ///
    /// # Errors
    /// Not a safetensors file, one that was cut off, a tensor that is not F32.
    pub fn read(file: &str, bytes: &Bytes) -> Result<Numbers> {
        let (mut tensors, mut layout) = (BTreeMap::new(), BTreeMap::new());
        for tensor in read_header(file, bytes)? {
            let values = Some(&bytes[tensor.range.clone()]).filter(|_| tensor.dtype == Dtype::F32);
            let Some(values) = values.and_then(|data| decode(&tensor.dtype, data)) else {
                let fault = Fault::tensor(tensor.name, format!("is {}", tensor.dtype)).expected("F32");
                return Err(Error::model(file, fault));
            };
            layout.insert(tensor.name.clone(), format!("{:?}", tensor.shape));
            tensors.insert(tensor.name, values);
        }
        let mut checksum = crc32fast::Hasher::new();
        checksum.update(&bytes[data_start(bytes)..]);
        add_layout(&mut checksum, &layout);
        Ok(Numbers { tensors, metadata: read_metadata(bytes), checksum })
    }

    /// Writes names, shapes and numbers, one tensor after the other; `metadata` is told the checksum.
    /// `file` is for messages.
    ///
    /// # Errors
    /// A number that is not finite, with its tensor and element; whatever `out` says.
    pub fn write(
        file: &str,
        tensors: &[(String, Vec<usize>, &[f32])],
        out: &mut dyn Write,
        metadata: impl FnOnce(crc32fast::Hasher) -> BTreeMap<String, String>,
    ) -> Result<()> {
        let mut checksum = crc32fast::Hasher::new();
        for (name, _, values) in tensors {
            let bytes = encode(values, Precision::F32).map_err(|at| {
                let found = format!("is {} at element {at}", values[at]);
                Error::model(file, Fault::tensor(name.clone(), found).expected("a number"))
            })?;
            checksum.update(&bytes);
        }
        let layout = tensors.iter().map(|(name, shape, _)| (name.clone(), format!("{shape:?}"))).collect();
        add_layout(&mut checksum, &layout);
        let io = |source| Error::Io { context: file.into(), source };
        let shapes: Vec<_> = tensors.iter().map(|(name, shape, _)| (name.clone(), shape.clone())).collect();
        out.write_all(&header(&shapes, Precision::F32, metadata(checksum))).map_err(io)?;
        for (_, _, values) in tensors {
            out.write_all(&encode(values, Precision::F32).expect("finite, as before")).map_err(io)?;
        }
        Ok(())
    }
}

/// Names and shapes, sorted: a header that was changed is a file that was damaged.
fn add_layout(checksum: &mut crc32fast::Hasher, layout: &BTreeMap<String, String>) {
    for (name, shape) in layout {
        checksum.update(format!("{name} {shape}\n").as_bytes());
    }
}
