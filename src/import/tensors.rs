//! Tensors of other people's files: converted when they are asked for.

use std::collections::BTreeMap;
use std::ops::Range;

use half::{bf16, f16};

use crate::model::{Bytes, short};
use crate::ops::activation::Activation;

/// Numbers of one tensor at most.
const MAX_ELEMENTS: usize = u32::MAX as usize;

/// The type of a stored number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Element {
    /// 32-bit IEEE float.
    F32,
    /// 16-bit IEEE float.
    F16,
    /// The upper half of a 32-bit IEEE float.
    Bf16,
    /// 64-bit IEEE float; rounded to 32 bits.
    F64,
    /// Signed whole numbers of 64 bits.
    I64,
    /// Signed whole numbers of 32 bits.
    I32,
    /// Signed whole numbers of 8 bits.
    I8,
    /// Whole numbers of 8 bits, and truth values.
    U8,
    /// Any other whole number, of this many bytes.
    Other(usize),
}

impl Element {
    /// Bytes of a number.
    pub fn bytes(self) -> usize {
        match self {
            Element::F32 | Element::I32 => 4,
            Element::F16 | Element::Bf16 => 2,
            Element::F64 | Element::I64 => 8,
            Element::I8 | Element::U8 => 1,
            Element::Other(bytes) => bytes,
        }
    }

    /// For lists.
    pub fn name(self) -> &'static str {
        match self {
            Element::F32 => "F32",
            Element::F16 => "F16",
            Element::Bf16 => "BF16",
            Element::F64 => "F64",
            Element::I64 => "I64",
            Element::I32 => "I32",
            Element::I8 => "I8",
            Element::U8 => "U8",
            Element::Other(_) => "other",
        }
    }

    /// Whether it is a type of weights.
    pub fn is_float(self) -> bool {
        matches!(self, Element::F32 | Element::F16 | Element::Bf16 | Element::F64)
    }
}

/// A tensor in a file.
#[derive(Clone, Debug)]
pub struct Tensor {
    /// Sizes, slowest axis first.
    pub shape: Vec<usize>,
    /// The type of its numbers.
    pub element: Element,
    /// Where its numbers are, in the order of `strides`.
    bytes: Bytes,
    range: Range<usize>,
    /// From one number to the next along each axis, in numbers.
    strides: Vec<usize>,
    big_endian: bool,
    /// The how-manieth of its file it is, where the file keeps the order in which a script named them.
    pub place: Option<usize>,
}

/// Number of elements of a shape, where it is one that a tensor can have.
pub fn elements(shape: &[usize]) -> Option<usize> {
    let product = shape.iter().try_fold(1usize, |product, n| product.checked_mul(*n))?;
    // A size of zero hides the others from the product.
    (product <= MAX_ELEMENTS && shape.len() <= 8).then_some(product)
}

/// The strides of a tensor whose last axis runs fastest.
pub fn row_major(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1usize; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis].saturating_mul(shape[axis]);
    }
    strides
}

impl Tensor {
    /// A tensor whose numbers fill `range`, the last axis fastest.
    pub fn new(shape: Vec<usize>, element: Element, bytes: Bytes, range: Range<usize>) -> Result<Tensor, String> {
        let strides = row_major(&shape);
        let expected = elements(&shape).and_then(|n| n.checked_mul(element.bytes()));
        if expected != Some(range.len()) {
            return Err(format!("shape {} does not fit {} bytes", short(&format!("{shape:?}")), range.len()));
        }
        Tensor::strided(shape, strides, element, bytes, range)
    }

    /// A tensor whose first number begins `range` and whose others lie inside it.
    pub fn strided(
        shape: Vec<usize>,
        strides: Vec<usize>,
        element: Element,
        bytes: Bytes,
        range: Range<usize>,
    ) -> Result<Tensor, String> {
        let shown = || short(&format!("{shape:?}"));
        let count = elements(&shape).ok_or_else(|| format!("shape {} is too large", shown()))?;
        if shape.len() != strides.len() {
            return Err(format!("{} strides for shape {}", strides.len(), shown()));
        }
        let last = shape
            .iter()
            .zip(&strides)
            .try_fold(0usize, |last, (n, stride)| last.checked_add(n.saturating_sub(1).checked_mul(*stride)?));
        let end = last.and_then(|last| last.checked_add(1)?.checked_mul(element.bytes()));
        if count > 0 && end.is_none_or(|end| end > range.len()) || range.end > bytes.len() {
            return Err(format!("shape {} goes beyond its {} bytes", shown(), range.len()));
        }
        // Numbers that stand for several elements could make a small file large.
        if count.checked_mul(element.bytes()).is_none_or(|n| n > range.len()) {
            return Err(format!("shape {} repeats numbers of its {} bytes", shown(), range.len()));
        }
        Ok(Tensor { shape, element, bytes, range, strides, big_endian: false, place: None })
    }

    /// A tensor of these numbers.
    pub fn of_values(shape: Vec<usize>, values: Vec<f32>) -> Tensor {
        let bytes = Bytes::new(values.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>());
        let range = 0..bytes.len();
        Tensor::new(shape, Element::F32, bytes, range).expect("as many numbers as the shape has")
    }

    /// The same at a place in its file.
    pub fn at(self, place: usize) -> Tensor {
        Tensor { place: Some(place), ..self }
    }

    /// A number that equal tensors of one type and layout have in common.
    pub fn checksum(&self) -> u32 {
        crc32fast::hash(&self.bytes[self.range.start..self.range.start + self.byte_len()])
    }

    /// The same with its bytes the other way round.
    pub fn big_endian(self) -> Tensor {
        Tensor { big_endian: true, ..self }
    }

    /// Number of elements.
    pub fn elements(&self) -> usize {
        self.shape.iter().product()
    }

    /// Bytes that its elements take.
    pub fn byte_len(&self) -> usize {
        self.elements() * self.element.bytes()
    }

    /// Its numbers, the last axis fastest.
    pub fn values(&self) -> Result<Vec<f32>, String> {
        let data = &self.bytes[self.range.clone()];
        let big = self.big_endian;
        macro_rules! number {
            ($t:ty, $b:expr) => {
                if big { <$t>::from_be_bytes($b) } else { <$t>::from_le_bytes($b) }
            };
        }
        let read = |at: usize| -> f32 {
            let b = |i: usize| data[at * self.element.bytes() + i];
            match self.element {
                Element::F32 => number!(f32, [b(0), b(1), b(2), b(3)]),
                Element::F16 => number!(f16, [b(0), b(1)]).to_f32(),
                Element::Bf16 => number!(bf16, [b(0), b(1)]).to_f32(),
                Element::F64 => number!(f64, std::array::from_fn::<u8, 8, _>(b)) as f32,
                Element::I64 => number!(i64, std::array::from_fn::<u8, 8, _>(b)) as f32,
                Element::I32 => number!(i32, [b(0), b(1), b(2), b(3)]) as f32,
                Element::I8 => f32::from(b(0) as i8),
                Element::U8 => f32::from(b(0)),
                Element::Other(_) => f32::NAN,
            }
        };
        if let Element::Other(_) = self.element {
            return Err("its numbers are neither floats nor whole numbers of 8, 32 or 64 bits".into());
        }
        let mut values = Vec::with_capacity(self.elements());
        let mut index = vec![0; self.shape.len()];
        for _ in 0..self.elements() {
            values.push(read(index.iter().zip(&self.strides).map(|(i, stride)| i * stride).sum()));
            for axis in (0..index.len()).rev() {
                index[axis] += 1;
                if index[axis] < self.shape[axis] {
                    break;
                }
                index[axis] = 0;
            }
        }
        Ok(values)
    }
}

/// A file's tensors, by name, and what it says of itself.
#[derive(Clone, Debug, Default)]
pub struct Tensors {
    /// The tensors.
    pub tensors: BTreeMap<String, Tensor>,
    /// A description of Keras layers, which `assets/keras_export.py` writes.
    pub keras: Option<String>,
    /// Notes on everything that was passed over or assumed.
    pub notes: Vec<String>,
    /// The function of plain RNN cells, where the file says it.
    pub activation: Option<Activation>,
    /// Tokens that the file keeps beside the weights, with their ids, and what it calls them.
    pub vocabulary: Option<(String, Vec<(String, u64)>)>,
}

impl Tensors {
    /// The names with their shapes, for a message.
    pub fn listed(&self) -> String {
        const MOST: usize = 12;
        let names: Vec<String> =
            self.tensors.iter().take(MOST).map(|(name, t)| format!("{} {:?}", short(name), t.shape)).collect();
        let more = self.tensors.len().saturating_sub(MOST);
        if more > 0 { format!("{} and {more} more", names.join(", ")) } else { names.join(", ") }
    }
}
