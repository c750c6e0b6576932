//! The contract that all else stands on: what a plan is, and what an op is.
//!
//! A plan is named sections of ops over tensors. It says which tensors exist, which ops read and write them, and how
//! loops over time run. An op is a row: operands, parameters, a reference, cases, and the variants that compute it.
//! Nothing here knows an op, a network, a device or how any of them runs; executors lower a plan, each in its own way.

mod affine;
mod args;
mod builder;
mod case;
mod dim;
mod interpreter;
mod layout;
mod memory;
mod op;
mod params;
mod philox;
mod tensor;
mod variant;

pub use affine::{Affine, Index, Loop};
pub use args::{Args, Buffer, Real};
pub use builder::Builder;
pub(crate) use case::flat_operand;
pub use case::{Caps, Case, Difference, Fill};
pub use dim::{Dim, Sizes, Symbol};
pub use interpreter::Interpreter;
pub use layout::Layout;
pub use memory::{MemoryNeed, bytes_in_words};
pub use op::{Access, Cost, OpRow, Operand, Setting, ShardedAxes};
pub use params::{FIRST_PART, LAST_PART, OPERAND_CUT, OUTPUT_CUT, PARAM_WORDS, Param, ParamKind, ParamWords};
pub use philox::philox;
pub use tensor::{ARENA_BLOCK, Element, Role, ShardAxis, ShardGroup, Tensor, TensorId};
pub use variant::{Adapters, Dispatch, OrderClass, Requires, Variant, Wgsl, folded};

/// One op: a row of the op table, its operands in the row's order, its parameters in the row's order.
#[derive(Clone, Debug)]
pub struct OpNode {
    /// The op that runs.
    pub op: &'static OpRow,
    /// The whole tensors it works on; offsets are parameters, so that a buffer is bound once.
    pub operands: Vec<TensorId>,
    /// Affine in the loops.
    pub params: Vec<Affine>,
}

impl OpNode {
    /// The parameters at given indices of the loops; the words of shards are zero.
    pub fn words(&self, sizes: Sizes, index: Index) -> ParamWords {
        let mut words = [0; PARAM_WORDS];
        for (word, param) in words.iter_mut().zip(&self.params) {
            *word = param.at(sizes, index);
        }
        ParamWords::new(self.op, words)
    }

    /// The plan's value for a parameter, if the row has one of this name.
    pub fn param(&self, name: &str) -> Option<Affine> {
        self.op.params.iter().position(|param| param.name == name).map(|i| self.params[i])
    }

    /// The tensor that stands for an operand, if the row has one of this name.
    pub fn operand(&self, name: &str) -> Option<TensorId> {
        self.op.operands.iter().position(|operand| operand.name == name).map(|i| self.operands[i])
    }
}

/// The direction in which a `Repeat` runs through its indices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// 0, 1, ..., count - 1.
    Forward,
    /// count - 1, ..., 1, 0: reversed layers, back-propagation through time.
    Backward,
}

/// An op or a loop.
#[derive(Clone, Debug)]
pub enum Node {
    /// One op.
    Op(OpNode),
    /// `count` runs of the body; an executor may run the whole of it as one kernel.
    Repeat {
        /// Its index.
        index: Loop,
        /// How often.
        count: Dim,
        /// The direction of the index.
        direction: Direction,
        /// The nodes that are repeated.
        body: Vec<Node>,
    },
}

impl Node {
    /// How many ops a walk finds in it that enters each loop body once.
    pub fn ops(&self) -> usize {
        match self {
            Node::Op(_) => 1,
            Node::Repeat { body, .. } => body.iter().map(Node::ops).sum(),
        }
    }
}

/// A named list of nodes that runs as a whole: prefill, step, score, ...
#[derive(Clone, Debug)]
pub struct Section {
    /// The name.
    pub name: &'static str,
    /// In order.
    pub nodes: Vec<Node>,
}

/// Names a section of one plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SectionId(pub(crate) usize);

/// Tensors and the sections that share them.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// All tensors, by [`TensorId`].
    pub tensors: Vec<Tensor>,
    /// All sections, by [`SectionId`].
    pub sections: Vec<Section>,
}

/// Names an op of a section by its index in a walk that enters each loop body once.
pub type NodeIndex = usize;

/// One run of one op: what is left of a section when its loops are unrolled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instance {
    /// The op of the section.
    pub node: NodeIndex,
    /// Where in the loops.
    pub index: Index,
}

impl Plan {
    /// The tensor named by an id of this plan.
    pub fn tensor(&self, id: TensorId) -> &Tensor {
        &self.tensors[id.index()]
    }

    /// The axis along which an operand is sharded with its op: the declared one, or that of the tensor.
    /// These agree but for leading axes of size 1: a table `[V, E]` may be the weight `[1, V, E]`.
    pub fn cut_axis(&self, node: &OpNode, operand: usize, declared: usize) -> usize {
        let tensor = self.tensor(node.operands[operand]);
        let Some(split) = tensor.shard else { return declared };
        let leading = &tensor.shape[..split.axis];
        let agrees = split.axis == declared || declared == 0 && leading.iter().all(|dim| *dim == 1.into());
        assert!(agrees, "{}: `{}` is split along another axis", node.op.name, tensor.name);
        split.axis
    }

    /// The parameters of an op that is not sharded: each range covers its whole axis.
    pub fn words(&self, node: &OpNode, sizes: Sizes, index: Index) -> ParamWords {
        let mut words = node.words(sizes, index);
        let shards = node.op.shards.iter().map(|cut| {
            let (operand, axis) = cut.axes[0];
            let axis = self.cut_axis(node, operand, axis);
            [0, self.tensor(node.operands[operand]).shape[axis].value(sizes) as u32]
        });
        words.set_part(shards, FIRST_PART | LAST_PART);
        words
    }

    /// The weights that an op writes, an arena's members one by one: packed forms of them are stale after it.
    pub fn written_weights(&self, node: &OpNode) -> Vec<TensorId> {
        let written = node.operands.iter().zip(node.op.operands).filter(|(_, o)| o.access == Access::Write);
        let weights = written.filter(|(id, _)| self.tensor(**id).role == Role::Weight);
        weights
            .flat_map(
                |(id, _)| {
                    if self.tensor(*id).is_arena() { &self.tensor(*id).members } else { std::slice::from_ref(id) }
                },
            )
            .copied()
            .collect()
    }

    /// The tensor of this name.
    pub fn find(&self, name: &str) -> Option<TensorId> {
        self.tensors.iter().position(|t| t.name == name).map(|i| TensorId(i as u32))
    }

    /// All ids, in order.
    pub fn ids(&self) -> impl Iterator<Item = TensorId> + use<> {
        (0..self.tensors.len() as u32).map(TensorId)
    }

    /// The section of this name.
    pub fn section(&self, name: &str) -> Option<SectionId> {
        self.sections.iter().position(|s| s.name == name).map(SectionId)
    }

    /// The tensors that the ops of some sections work on, by index.
    pub fn used_by(&self, sections: &[SectionId]) -> Vec<bool> {
        let mut used = vec![false; self.tensors.len()];
        for op in sections.iter().flat_map(|section| self.ops(*section)) {
            for id in &op.operands {
                used[id.index()] = true;
                self.tensor(*id).members.iter().for_each(|member| used[member.index()] = true);
            }
        }
        used
    }

    /// The ops of a section, each loop body entered once. A [`NodeIndex`] counts in this order.
    pub fn ops(&self, section: SectionId) -> Vec<&OpNode> {
        fn walk<'a>(nodes: &'a [Node], into: &mut Vec<&'a OpNode>) {
            for node in nodes {
                match node {
                    Node::Op(op) => into.push(op),
                    Node::Repeat { body, .. } => walk(body, into),
                }
            }
        }
        let mut ops = Vec::new();
        walk(&self.sections[section.0].nodes, &mut ops);
        ops
    }

    /// The runs of ops that step `step` of a section makes, its loops unrolled.
    pub fn instances(&self, section: SectionId, sizes: Sizes, step: u32) -> Vec<Instance> {
        let mut runs = Vec::new();
        unroll(&self.sections[section.0].nodes, sizes, Index::step(step), 0, &mut runs);
        runs
    }
}

/// Appends the runs of `nodes` at `index`; returns the node index after them.
fn unroll(nodes: &[Node], sizes: Sizes, index: Index, first: NodeIndex, runs: &mut Vec<Instance>) -> NodeIndex {
    let mut node = first;
    for item in nodes {
        match item {
            Node::Op(_) => {
                runs.push(Instance { node, index });
                node += 1;
            }
            Node::Repeat { index: of, count, direction, body } => {
                let count = count.value(sizes) as u32;
                for i in 0..count {
                    let i = match direction {
                        Direction::Forward => i,
                        Direction::Backward => count - 1 - i,
                    };
                    unroll(body, sizes, index.inside(*of, i), node, runs);
                }
                node += item.ops();
            }
        }
    }
    node
}
