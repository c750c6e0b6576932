//! Protocol buffers: fields of a message, one after the other.

use std::ops::Range;

/// A field: its number and what it holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Field {
    /// The number.
    pub number: u64,
    /// The field's value.
    pub value: FieldValue,
}

/// The value of a field.
#[derive(Clone, Debug, PartialEq)]
pub enum FieldValue {
    /// A whole number.
    Varint(u64),
    /// Four bytes.
    Fixed32(u32),
    /// Eight bytes.
    Fixed64(u64),
    /// A message, text, or packed numbers: a place in the file.
    Bytes(Range<usize>),
}

impl FieldValue {
    /// The place of a message, text or packed numbers.
    pub fn range(&self) -> Result<Range<usize>, String> {
        match self {
            FieldValue::Bytes(range) => Ok(range.clone()),
            _ => Err("a field of another type than the format says".into()),
        }
    }

    /// A whole number.
    pub fn int(&self) -> Result<i64, String> {
        match self {
            FieldValue::Varint(n) => Ok(*n as i64),
            _ => Err("a field of another type than the format says".into()),
        }
    }
}

/// The fields of the message that fills `range`.
pub fn fields(bytes: &[u8], range: Range<usize>) -> impl Iterator<Item = Result<Field, String>> + '_ {
    let mut reader = Reader { bytes, at: range.start, end: range.end };
    let mut failed = false;
    std::iter::from_fn(move || {
        if failed || reader.at >= reader.end {
            return None;
        }
        let field = reader.field();
        failed = field.is_err();
        Some(field.map_err(|what| format!("{what} at byte {}", reader.at)))
    })
}

/// Packed whole numbers.
pub fn varints(bytes: &[u8], range: Range<usize>) -> Result<Vec<i64>, String> {
    let mut reader = Reader { bytes, at: range.start, end: range.end };
    let mut numbers = Vec::new();
    while reader.at < reader.end {
        numbers.push(reader.varint()? as i64);
    }
    Ok(numbers)
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    end: usize,
}

impl Reader<'_> {
    fn take(&mut self, n: u64) -> Result<Range<usize>, String> {
        let end = usize::try_from(n).ok().and_then(|n| self.at.checked_add(n)).filter(|end| *end <= self.end);
        let range = self.at..end.ok_or("cut off: a field ends past its message's end")?;
        self.at = range.end;
        Ok(range)
    }

    fn varint(&mut self) -> Result<u64, String> {
        let mut n = 0u64;
        for shift in (0..64).step_by(7) {
            let at = self.take(1)?.start;
            let byte = self.bytes[at];
            n |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(n);
            }
        }
        Err("a number of more than 64 bits".into())
    }

    fn field(&mut self) -> Result<Field, String> {
        let key = self.varint()?;
        let value = match key & 7 {
            0 => FieldValue::Varint(self.varint()?),
            1 => {
                let range = self.take(8)?;
                let bytes = self.bytes[range].iter().rev();
                FieldValue::Fixed64(bytes.fold(0, |n, b| n << 8 | u64::from(*b)))
            }
            2 => {
                let len = self.varint()?;
                FieldValue::Bytes(self.take(len)?)
            }
            5 => {
                let range = self.take(4)?;
                let bytes = self.bytes[range].iter().rev();
                FieldValue::Fixed32(bytes.fold(0, |n, b| n << 8 | u32::from(*b)))
            }
            wire => return Err(format!("not a protocol buffer: wire type {wire}")),
        };
        Ok(Field { number: key >> 3, value })
    }
}
