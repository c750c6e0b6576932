//! Tensors of a plan: what they are for, their shape, and how they may be stored.

use super::dim::{Dim, Sizes};
use super::layout::Layout;

/// Names a tensor of one plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TensorId(pub(crate) u32);

impl TensorId {
    /// Position in [`super::Plan::tensors`].
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// The purpose of a tensor, from which executors decide which memory stays and which is shared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Set from a model file, read by ops. In PyTorch's layout.
    Weight,
    /// Outlives a submission: hidden and cell states, the row table, the token of each row.
    State,
    /// Saved by a forward section for a backward one.
    Saved,
    /// Lives within a section.
    Scratch,
    /// Written or read by the host: token ids, logits, log-probabilities.
    Io,
}

/// Element type of a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Element {
    /// 32-bit IEEE float.
    F32,
    /// 32-bit unsigned integer: ids, flags, the row table.
    U32,
}

/// Tensors that are sharded at the same indices along an axis, so that their shards fit together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ShardGroup(pub(crate) u32);

/// The axis along which a tensor may be sharded when a binding of it would be too large.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShardAxis {
    /// The axis.
    pub axis: usize,
    /// With which other tensors.
    pub group: ShardGroup,
}

/// Parts of an arena have a multiple of this many elements, padding included: ops that reduce it go block by block.
pub const ARENA_BLOCK: usize = 1024;

/// A tensor of a plan.
#[derive(Clone, Debug)]
pub struct Tensor {
    /// The name: a weight's is its name in a model file.
    pub name: String,
    /// Its purpose.
    pub role: Role,
    /// Element type.
    pub element: Element,
    /// Symbolic sizes, slowest axis first.
    pub shape: Vec<Dim>,
    /// The axis along which it may be sharded.
    pub shard: Option<ShardAxis>,
    /// How the plan means it to be stored; executors derive other layouts of weights from `RowMajor` ones.
    pub layout: Layout,
    /// The tensors that an arena is made of, one after another; empty for every other tensor.
    ///
    /// An arena is one operand for all of them: an optimiser's, which goes through all parameters in one dispatch.
    /// How far its members lie apart is the executor's choice, and the same for arenas whose members are alike.
    pub members: Vec<TensorId>,
}

impl Tensor {
    /// Whether it stands for its members.
    pub fn is_arena(&self) -> bool {
        !self.members.is_empty()
    }

    /// The shape in numbers.
    pub fn shape(&self, sizes: Sizes) -> Vec<usize> {
        self.shape.iter().map(|d| d.value(sizes)).collect()
    }

    /// Number of elements, the padding of a packed layout included.
    pub fn len(&self, sizes: Sizes) -> usize {
        match (self.layout, &self.shape(sizes)[..]) {
            (Layout::RowMajor, shape) => shape.iter().product(),
            (layout, &[g, n, k]) => layout.len([g, n, k]),
            (layout, _) => unreachable!("`{}`: {layout:?} is for weights [G, N, K]", self.name),
        }
    }

    /// Length of the last axis.
    pub fn width(&self, sizes: Sizes) -> usize {
        self.shape.last().map_or(1, |d| d.value(sizes))
    }
}
