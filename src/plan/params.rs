//! Parameters of an op: 32-bit words, each with a name and a kind, in the order in which a kernel's `Params` has them.

use std::ops::Index;

use super::args::Real;
use super::op::{OpRow, ShardedAxes};

/// The most words of parameters that an op has: 64 bytes, what immediates are sure to hold.
pub const PARAM_WORDS: usize = 16;

/// The kinds of parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParamKind {
    /// How much is computed.
    Size,
    /// Where operands are read and written: a row, a group, a slot, a step.
    Offset,
    /// A number that is computed with.
    Constant,
    /// The same as the bits of an f32, which a kernel declares as such.
    Float,
    /// The form that is computed: 0 or 1, or a number of an enumeration.
    Flag,
    /// The number of the pass over the shards of an op. The plan sets it to 0, an executor counts: see
    /// [`OpRow::passes`].
    Pass,
}

/// A parameter that the plan sets.
#[derive(Clone, Copy, Debug)]
pub struct Param {
    /// The name, in the row and in WGSL.
    pub name: &'static str,
    /// Its kind.
    pub kind: ParamKind,
}

impl Param {
    /// See [`ParamKind::Size`].
    pub const fn size(name: &'static str) -> Param {
        Param { name, kind: ParamKind::Size }
    }

    /// See [`ParamKind::Offset`].
    pub const fn offset(name: &'static str) -> Param {
        Param { name, kind: ParamKind::Offset }
    }

    /// See [`ParamKind::Constant`].
    pub const fn constant(name: &'static str) -> Param {
        Param { name, kind: ParamKind::Constant }
    }

    /// See [`ParamKind::Float`].
    pub const fn float(name: &'static str) -> Param {
        Param { name, kind: ParamKind::Float }
    }

    /// See [`ParamKind::Pass`].
    pub const fn pass(name: &'static str) -> Param {
        Param { name, kind: ParamKind::Pass }
    }

    /// See [`ParamKind::Flag`].
    pub const fn flag(name: &'static str) -> Param {
        Param { name, kind: ParamKind::Flag }
    }
}

/// Flag: this dispatch is the first of the op's parts.
pub const FIRST_PART: u32 = 1;
/// Flag: this dispatch is the last of the op's parts.
pub const LAST_PART: u32 = 2;
/// Flag: the written operand is sharded too, so it is indexed from the shard's first element.
pub const OUTPUT_CUT: u32 = 4;
/// Flag, shifted left by an operand's index: this operand is sharded.
pub const OPERAND_CUT: u32 = 8;

/// The parameters of one run of an op: `words["rows"]` is the word of that name. After those that the row names stand
/// `NAME_first` and `NAME_len` of each sharded axis, and where there are shards the word `flags`.
#[derive(Clone, Copy)]
pub struct ParamWords {
    params: &'static [Param],
    shards: &'static [ShardedAxes],
    words: [u32; PARAM_WORDS],
}

impl ParamWords {
    /// The words, in the row's order.
    pub fn new(op: &OpRow, words: [u32; PARAM_WORDS]) -> ParamWords {
        ParamWords { params: op.params, shards: op.shards, words }
    }

    /// As a kernel gets them.
    pub fn raw(&self) -> &[u32; PARAM_WORDS] {
        &self.words
    }

    /// The leading words as sizes and offsets.
    pub fn sizes<const N: usize>(&self) -> [usize; N] {
        std::array::from_fn(|i| self.words[i] as usize)
    }

    /// A word as a number of flops or bytes.
    pub fn f64(&self, name: &str) -> f64 {
        self[name].into()
    }

    /// A word that is the bits of an f32.
    pub fn float<F: Real>(&self, name: &str) -> F {
        F::of(f32::from_bits(self[name]))
    }

    /// Whether flags of the shard are all set; an op that is not sharded has none.
    pub fn has(&self, flags: u32) -> bool {
        self["flags"] & flags == flags
    }

    /// Takes the words of a shard: `first` and `len` of each axis, and the flags.
    pub fn set_part(&mut self, shards: impl IntoIterator<Item = [u32; 2]>, flags: u32) {
        let mut at = self.params.len();
        for cut in shards {
            self.words[at..at + 2].copy_from_slice(&cut);
            at += 2;
        }
        if !self.shards.is_empty() {
            self.words[at] = flags;
        }
    }

    /// Sets the word that counts passes, where the op has one.
    pub fn set_pass(&mut self, pass: u32) {
        if let Some(at) = self.params.iter().position(|param| param.kind == ParamKind::Pass) {
            self.words[at] = pass;
        }
    }

    /// Names and values of the parameters that say how much is computed, and in which form. An op that goes along flat
    /// tensors has the length of its shard.
    pub fn workload(&self) -> Vec<(&'static str, u32)> {
        let of = |kinds: &[ParamKind]| -> Vec<_> {
            let some = self.params.iter().zip(self.words).filter(|(param, _)| kinds.contains(&param.kind));
            some.map(|(param, word)| (param.name, word)).collect()
        };
        if of(&[ParamKind::Size]).is_empty() {
            let first = self.params.len();
            return self.shards.iter().enumerate().map(|(i, cut)| (cut.name, self.words[first + 2 * i + 1])).collect();
        }
        of(&[ParamKind::Size, ParamKind::Flag])
    }

    fn position(&self, name: &str) -> Option<usize> {
        let first = self.params.len();
        let of_cuts = || {
            self.shards.iter().enumerate().find_map(|(i, cut)| match name.strip_prefix(cut.name)? {
                "_first" => Some(first + 2 * i),
                "_len" => Some(first + 2 * i + 1),
                _ => None,
            })
        };
        let flags = || (name == "flags").then_some(first + 2 * self.shards.len());
        self.params.iter().position(|param| param.name == name).or_else(of_cuts).or_else(flags)
    }
}

impl Index<&str> for ParamWords {
    type Output = u32;

    fn index(&self, name: &str) -> &u32 {
        &self.words[self.position(name).unwrap_or_else(|| panic!("the op has no parameter `{name}`"))]
    }
}
