//! The description of an op: a row with its operands, parameters, shards, references, variants and cases.

use super::args::Args;
use super::case::{Case, Fill};
use super::dim::Sizes;
use super::params::{Param, ParamWords};
use super::tensor::Element;
use super::variant::Variant;

/// How an op uses an operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Only read.
    Read,
    /// Written, perhaps read too. Bound once: a buffer cannot be bound for reading and for writing in one dispatch.
    Write,
}

/// Where an operand stands when typical values of it are asked for.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// Of the network.
    pub sizes: Sizes,
    /// Its token ids are below this.
    pub vocab: usize,
    /// Elements of the operand.
    pub len: usize,
}

/// An operand of an op: its name (the WGSL variable's too), use and element type.
#[derive(Clone, Copy, Debug)]
pub struct Operand {
    /// The name, in the equation and in WGSL.
    pub name: &'static str,
    /// How it is used.
    pub access: Access,
    /// Element type.
    pub element: Element,
    /// Its contents in a network, where they are not just any numbers: ids, records, flags.
    pub typical: Option<fn(Setting) -> Fill>,
}

impl Operand {
    const fn new(name: &'static str, access: Access, element: Element) -> Operand {
        Operand { name, access, element, typical: None }
    }

    /// With what it may hold.
    pub const fn typical(self, values: fn(Setting) -> Fill) -> Operand {
        Operand { typical: Some(values), ..self }
    }

    /// A float operand that is only read.
    pub const fn read(name: &'static str) -> Operand {
        Operand::new(name, Access::Read, Element::F32)
    }

    /// A float operand that is written.
    pub const fn write(name: &'static str) -> Operand {
        Operand::new(name, Access::Write, Element::F32)
    }

    /// An operand of 32-bit unsigned integers that is only read.
    pub const fn read_u32(name: &'static str) -> Operand {
        Operand::new(name, Access::Read, Element::U32)
    }

    /// An operand of 32-bit unsigned integers that is written.
    pub const fn write_u32(name: &'static str) -> Operand {
        Operand::new(name, Access::Write, Element::U32)
    }
}

/// Operands that an executor may shard together when a binding would be too large.
///
/// The op's parameter words go on, after those that the row names, with `first` and `len` of the shard for each
/// `ShardedAxes` and then one word of flags; unsharded, they are 0 and the axis' length.
#[derive(Clone, Copy, Debug)]
pub struct ShardedAxes {
    /// The words' names in WGSL are `NAME_first` and `NAME_len`.
    pub name: &'static str,
    /// (operand, axis) pairs.
    pub axes: &'static [(usize, usize)],
    /// Parts' lengths, but the last one's, are multiples of this.
    pub multiple: usize,
}

/// Work of one run of an op, for shares of a device's limits.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cost {
    /// Floating point operations, a fused multiply-add counted as two.
    pub flops: f64,
    /// Bytes that must move at least: each operand once.
    pub bytes: f64,
}

/// A row of the op table.
pub struct OpRow {
    /// The op's name: its file, and the prefix of its shaders' names.
    pub name: &'static str,
    /// Operands, in binding order.
    pub operands: &'static [Operand],
    /// The parameters that the plan sets, in the order of their words.
    pub params: &'static [Param],
    /// The axes along which operands may be sharded.
    pub shards: &'static [ShardedAxes],
    /// 32-bit words a row that a kernel carries from shard to shard of the op; 0 where shards are independent.
    pub carry_words: usize,
    /// How often a kernel has to see all shards of an op, each time with what it found the last time: 1 where
    /// one look at each is enough. Where nothing is sharded, one dispatch does everything.
    pub passes: fn(&ParamWords) -> u32,
    /// The oracle in f32.
    pub reference_f32: fn(&mut Args<f32>),
    /// The oracle in f64.
    pub reference_f64: fn(&mut Args<f64>),
    /// WGSL kernels, the preferred one first; the last fits every shape and WebGPU's floor.
    pub variants: &'static [Variant],
    /// Inputs on which every variant and the fast function are compared with the reference.
    pub cases: fn() -> Vec<Case>,
    /// Work as a function of the parameter words.
    pub cost: fn(&ParamWords) -> Cost,
}

impl std::fmt::Debug for OpRow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

impl OpRow {
    /// The names of all words, as they stand in the WGSL struct `Params`.
    pub fn word_names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.params.iter().map(|param| param.name.to_string()).collect();
        for cut in self.shards {
            names.push(format!("{}_first", cut.name));
            names.push(format!("{}_len", cut.name));
        }
        if !self.shards.is_empty() {
            names.push("flags".into());
        }
        names
    }
}
