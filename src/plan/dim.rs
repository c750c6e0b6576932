//! Symbolic sizes and step-dependent parameters.

use std::ops::Mul;

/// The values of a plan's two symbols. Shapes are written as `[T, B, H]` throughout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Sizes {
    /// B: rows, one for each sequence in flight.
    pub rows: usize,
    /// T: time steps of a sequence section (prefill, score window, training window).
    pub time: usize,
}

/// A size: `scale * B^rows * T^time + plus`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Dim {
    scale: usize,
    rows: bool,
    time: bool,
    plus: usize,
}

impl Dim {
    /// B, the number of rows.
    pub const ROWS: Dim = Dim { scale: 1, rows: true, time: false, plus: 0 };
    /// T, the number of time steps.
    pub const TIME: Dim = Dim { scale: 1, rows: false, time: true, plus: 0 };

    /// A size known when the plan is written.
    pub const fn fixed(value: usize) -> Dim {
        Dim { scale: 0, rows: false, time: false, plus: value }
    }

    /// This size plus a constant.
    pub const fn plus(self, value: usize) -> Dim {
        Dim { plus: self.plus + value, ..self }
    }

    /// The number that this size stands for under `sizes`.
    pub fn value(self, sizes: Sizes) -> usize {
        let rows = if self.rows { sizes.rows } else { 1 };
        let time = if self.time { sizes.time } else { 1 };
        self.scale * rows * time + self.plus
    }

    /// The number, where no symbol is part of it.
    pub fn as_fixed(self) -> Option<usize> {
        (!self.rows && !self.time).then_some(self.scale + self.plus)
    }
}

impl From<usize> for Dim {
    fn from(value: usize) -> Dim {
        Dim::fixed(value)
    }
}

impl Mul for Dim {
    type Output = Dim;

    /// A product of two symbols, or of a symbol and a constant; sums (`T + 1`) have no product here.
    fn mul(self, other: Dim) -> Dim {
        match (self.as_fixed(), other.as_fixed()) {
            (Some(a), Some(b)) => Dim::fixed(a * b),
            (Some(a), None) => Dim { scale: a * other.scale, plus: a * other.plus, ..other },
            (None, Some(_)) => other * self,
            (None, None) => {
                assert!(self.plus == 0 && other.plus == 0, "a product of sums is not a Dim");
                let repeats = self.rows && other.rows || self.time && other.time;
                assert!(!repeats, "B*B or T*T is not a Dim");
                Dim { scale: self.scale * other.scale, rows: true, time: true, plus: 0 }
            }
        }
    }
}

/// Where in the loops an op stands when its parameters are resolved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Index {
    /// The step of the section: `step`, `step + 1`, ... of a submission.
    pub step: u32,
    /// The index of the innermost `Repeat` around the op, after its direction was applied.
    pub repeat: u32,
}

/// A parameter affine in the loop indices:
/// `((base + step_factor * step + repeat_factor * repeat) mod modulo) * scale + repeat * stride`.
///
/// The modulus lets a state of two slots alternate; the scale turns a slot into a row offset, inside which a loop
/// goes on by the stride.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Affine {
    base: Dim,
    step_factor: u32,
    repeat_factor: u32,
    modulo: Option<u32>,
    scale: Dim,
    stride: Dim,
}

impl Affine {
    /// The section's step counter.
    pub const STEP: Affine = Affine {
        base: Dim::fixed(0),
        step_factor: 1,
        repeat_factor: 0,
        modulo: None,
        scale: Dim::fixed(1),
        stride: Dim::fixed(0),
    };
    /// The index of the innermost `Repeat`.
    pub const REPEAT: Affine = Affine {
        base: Dim::fixed(0),
        step_factor: 0,
        repeat_factor: 1,
        modulo: None,
        scale: Dim::fixed(1),
        stride: Dim::fixed(0),
    };

    /// A value that no loop changes.
    pub fn constant(value: impl Into<Dim>) -> Affine {
        Affine {
            base: value.into(),
            step_factor: 0,
            repeat_factor: 0,
            modulo: None,
            scale: Dim::fixed(1),
            stride: Dim::fixed(0),
        }
    }

    /// A float that no loop changes: the word is its bits, and a kernel declares it `f32`.
    pub fn float(value: f32) -> Affine {
        Affine::constant(value.to_bits() as usize)
    }

    /// Adds a constant before modulus and scale.
    pub fn plus(self, value: usize) -> Affine {
        Affine { base: self.base.plus(value), ..self }
    }

    /// Takes the sum modulo `n`.
    pub fn modulo(self, n: usize) -> Affine {
        Affine { modulo: Some(word(n)), ..self }
    }

    /// Multiplies the result.
    pub fn times(self, scale: impl Into<Dim>) -> Affine {
        Affine { scale: scale.into(), ..self }
    }

    /// Adds so much for each repeat.
    pub fn plus_repeats(self, stride: impl Into<Dim>) -> Affine {
        Affine { stride: stride.into(), ..self }
    }

    /// The parameter word at a place in the loops.
    pub fn at(&self, sizes: Sizes, index: Index) -> u32 {
        let sum = word(self.base.value(sizes))
            .wrapping_add(self.step_factor.wrapping_mul(index.step))
            .wrapping_add(self.repeat_factor.wrapping_mul(index.repeat));
        let slot = self.modulo.map_or(sum, |n| sum % n);
        let stride = word(self.stride.value(sizes));
        slot.wrapping_mul(word(self.scale.value(sizes))).wrapping_add(index.repeat.wrapping_mul(stride))
    }
}

impl<D: Into<Dim>> From<D> for Affine {
    fn from(value: D) -> Affine {
        Affine::constant(value)
    }
}

fn word(value: usize) -> u32 {
    u32::try_from(value).expect("a size of a plan fits 32 bits")
}
