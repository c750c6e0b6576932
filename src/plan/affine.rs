//! Parameters that depend on where in the loops an op stands.

use super::dim::{Dim, Sizes};

/// Loops around an op at most.
const LOOPS: usize = 2;

/// The index of a loop, as [`super::Builder::repeat`] hands it to the loop's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Loop {
    name: &'static str,
    /// Loops around it.
    depth: usize,
}

impl Loop {
    pub(super) fn new(name: &'static str, depth: usize) -> Loop {
        assert!(depth < LOOPS, "loop `{name}` stands in {depth} others");
        Loop { name, depth }
    }
}

/// Where in the loops an op stands when its parameters are resolved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Index {
    /// The step of the section: `step`, `step + 1`, ... of a submission.
    pub step: u32,
    /// The indices of the loops around the op, the outermost first, after their directions were applied.
    loops: [u32; LOOPS],
}

impl Index {
    /// A step of a section, outside its loops.
    pub fn step(step: u32) -> Index {
        Index { step, loops: [0; LOOPS] }
    }

    /// Inside a loop, at an index of it.
    pub fn inside(mut self, of: Loop, index: u32) -> Index {
        self.loops[of.depth] = index;
        self
    }
}

/// The counter that a parameter follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Counter {
    Nothing,
    Step,
    Loop(Loop),
}

/// A parameter affine in the step and the loops: `((base + counter) mod modulo) * scale + index * stride`.
///
/// The modulus lets a state of two slots alternate; the scale turns a slot into a row offset, inside which a loop
/// goes on by the stride.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Affine {
    base: Dim,
    counter: Counter,
    modulo: Option<u32>,
    scale: Dim,
    stride: Option<(Loop, Dim)>,
}

impl Affine {
    /// The section's step counter.
    pub const STEP: Affine = Affine { counter: Counter::Step, ..Affine::ZERO };

    const ZERO: Affine =
        Affine { base: Dim::fixed(0), counter: Counter::Nothing, modulo: None, scale: Dim::fixed(1), stride: None };

    /// A value that no loop changes.
    pub fn constant(value: impl Into<Dim>) -> Affine {
        Affine { base: value.into(), ..Affine::ZERO }
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

    /// Adds so much for each turn of a loop.
    pub fn plus_each(self, of: Loop, stride: impl Into<Dim>) -> Affine {
        assert!(self.stride.is_none(), "a parameter goes on with one loop");
        Affine { stride: Some((of, stride.into())), ..self }
    }

    /// The loops that it depends on.
    pub fn loops(&self) -> impl Iterator<Item = Loop> + use<> {
        let counted = if let Counter::Loop(of) = self.counter { Some(of) } else { None };
        counted.into_iter().chain(self.stride.map(|(of, _)| of))
    }

    /// The parameter word at given indices of the loops.
    pub fn at(&self, sizes: Sizes, index: Index) -> u32 {
        let counted = match self.counter {
            Counter::Nothing => 0,
            Counter::Step => index.step,
            Counter::Loop(of) => index.loops[of.depth],
        };
        let sum = word(self.base.value(sizes)).wrapping_add(counted);
        let slot = self.modulo.map_or(sum, |n| sum % n);
        let gone = self.stride.map_or(0, |(of, by)| index.loops[of.depth].wrapping_mul(word(by.value(sizes))));
        slot.wrapping_mul(word(self.scale.value(sizes))).wrapping_add(gone)
    }
}

impl<D: Into<Dim>> From<D> for Affine {
    fn from(value: D) -> Affine {
        Affine::constant(value)
    }
}

impl From<Loop> for Affine {
    fn from(of: Loop) -> Affine {
        Affine { counter: Counter::Loop(of), ..Affine::ZERO }
    }
}

fn word(value: usize) -> u32 {
    u32::try_from(value).expect("a size of a plan fits 32 bits")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_loop_has_its_own_index() {
        let [outer, inner] = [Loop::new("t", 0), Loop::new("s", 1)];
        let index = Index::step(5).inside(outer, 3).inside(inner, 2);
        let sizes = Sizes { rows: 10, time: 7, source: 4 };
        let at = |affine: Affine| affine.at(sizes, index);
        assert_eq!(at(Affine::STEP.plus(1).modulo(4).times(Dim::ROWS)), 20);
        assert_eq!(at(Affine::from(outer).plus(1)), 4);
        assert_eq!(at(Affine::from(outer).times(Dim::SOURCE * Dim::ROWS).plus_each(inner, Dim::ROWS)), 3 * 40 + 2 * 10);
        assert_eq!(at(Affine::constant(Dim::TIME).plus_each(outer, 100)), 307);
    }
}
