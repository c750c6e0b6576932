//! A reference's view of a run: its operands and parameter words.

use super::params::ParamWords;

/// The arithmetic of a reference: f32 as the kernels have it, f64 for exact comparisons and finite differences.
pub trait Real:
    Copy
    + PartialOrd
    + Send
    + Sync
    + 'static
    + std::fmt::Debug
    + std::ops::Add<Output = Self>
    + std::ops::Sub<Output = Self>
    + std::ops::Mul<Output = Self>
    + std::ops::Div<Output = Self>
    + std::ops::Neg<Output = Self>
    + std::ops::AddAssign
{
    /// Zero.
    const ZERO: Self;
    /// One.
    const ONE: Self;
    /// Minus infinity.
    const NEG_INFINITY: Self;
    /// Widens a stored number.
    fn of(x: f32) -> Self;
    /// As f64, exactly.
    fn to_f64(self) -> f64;
    /// e^x.
    fn exp(self) -> Self;
    /// Square root.
    fn sqrt(self) -> Self;
    /// Natural logarithm.
    fn ln(self) -> Self;
    /// Hyperbolic tangent.
    fn tanh(self) -> Self;
    /// `self * a + b`, rounded once.
    fn mul_add(self, a: Self, b: Self) -> Self;
    /// 1 / (1 + e^-x).
    fn sigmoid(self) -> Self {
        Self::ONE / (Self::ONE + (-self).exp())
    }
}

macro_rules! real {
    ($t:ident) => {
        impl Real for $t {
            const ZERO: $t = 0.0;
            const ONE: $t = 1.0;
            const NEG_INFINITY: $t = $t::NEG_INFINITY;
            fn of(x: f32) -> $t {
                x.into()
            }
            fn to_f64(self) -> f64 {
                self.into()
            }
            fn exp(self) -> $t {
                $t::exp(self)
            }
            fn sqrt(self) -> $t {
                $t::sqrt(self)
            }
            fn ln(self) -> $t {
                $t::ln(self)
            }
            fn tanh(self) -> $t {
                $t::tanh(self)
            }
            fn mul_add(self, a: $t, b: $t) -> $t {
                $t::mul_add(self, a, b)
            }
        }
    };
}
real!(f32);
real!(f64);

/// The numbers of one tensor on the host, row major, without padding.
#[derive(Clone, Debug, PartialEq)]
pub enum Buffer<F> {
    /// Floats.
    Real(Vec<F>),
    /// 32-bit unsigned integers.
    Word(Vec<u32>),
}

impl<F> Default for Buffer<F> {
    fn default() -> Self {
        Buffer::Word(Vec::new())
    }
}

impl<F> Buffer<F> {
    /// The floats of a float tensor.
    pub fn real(&self) -> &[F] {
        match self {
            Buffer::Real(v) => v,
            Buffer::Word(_) => unreachable!("the op table says this operand is real"),
        }
    }

    /// The floats of a float tensor, to be written.
    pub fn real_mut(&mut self) -> &mut [F] {
        match self {
            Buffer::Real(v) => v,
            Buffer::Word(_) => unreachable!("the op table says this operand is real"),
        }
    }

    /// The words of an integer tensor.
    pub fn word(&self) -> &[u32] {
        match self {
            Buffer::Word(v) => v,
            Buffer::Real(_) => unreachable!("the op table says this operand is u32"),
        }
    }

    /// The words of an integer tensor, to be written.
    pub fn word_mut(&mut self) -> &mut [u32] {
        match self {
            Buffer::Word(v) => v,
            Buffer::Real(_) => unreachable!("the op table says this operand is u32"),
        }
    }
}

/// Operands in the row's order and the parameter words.
pub struct Args<'a, F> {
    /// Whole tensors.
    pub operands: &'a mut [Buffer<F>],
    /// As the plan resolved them; shards cover the whole axis.
    pub words: ParamWords,
}

impl<F> Args<'_, F> {
    /// All operands at once, so that some can be read while others are written.
    pub fn all<const N: usize>(&mut self) -> [&mut Buffer<F>; N] {
        let operands: &mut [Buffer<F>; N] = (&mut *self.operands).try_into().expect("as many as the row has");
        operands.each_mut()
    }

    /// The leading parameter words as sizes and offsets.
    pub fn sizes<const N: usize>(&self) -> [usize; N] {
        self.words.sizes()
    }
}
