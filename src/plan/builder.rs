//! Writes a plan: declares tensors, opens sections and loops, records ops.

use super::{
    Affine, Dim, Direction, Element, Layout, Loop, Node, OpNode, OpRow, PARAM_WORDS, Plan, Role, Section, SectionId,
    ShardAxis, ShardGroup, Tensor, TensorId,
};

/// Collects a [`Plan`]. Networks and the `record` functions of the ops write into it.
#[derive(Debug, Default)]
pub struct Builder {
    plan: Plan,
    /// Node lists that are being written, the innermost loop last. Empty outside sections.
    open: Vec<Vec<Node>>,
    /// The loops around what is written, the innermost last.
    loops: Vec<Loop>,
    groups: u32,
}

impl Builder {
    /// An empty plan.
    pub fn new() -> Builder {
        Builder::default()
    }

    /// The plan as written.
    pub fn finish(self) -> Plan {
        assert!(self.open.is_empty(), "a section is still open");
        self.plan
    }

    /// The tensor of an id given out by this builder.
    pub fn tensor(&self, id: TensorId) -> &Tensor {
        self.plan.tensor(id)
    }

    /// Declares a tensor of 32-bit floats.
    pub fn f32(&mut self, role: Role, name: impl Into<String>, shape: &[Dim]) -> TensorId {
        self.declare(name.into(), role, Element::F32, shape)
    }

    /// Declares a tensor of 32-bit unsigned integers.
    pub fn u32(&mut self, role: Role, name: impl Into<String>, shape: &[Dim]) -> TensorId {
        self.declare(name.into(), role, Element::U32, shape)
    }

    fn declare(&mut self, name: String, role: Role, element: Element, shape: &[Dim]) -> TensorId {
        assert!(self.plan.find(&name).is_none(), "the plan already has a tensor `{name}`");
        let id = TensorId(self.plan.tensors.len() as u32);
        self.plan.tensors.push(Tensor {
            name,
            role,
            element,
            shape: shape.to_vec(),
            shard: None,
            layout: Layout::RowMajor,
            members: Vec::new(),
        });
        id
    }

    /// Declares one tensor that stands for others, for ops that go through all their elements.
    pub fn arena(&mut self, name: impl Into<String>, members: &[TensorId]) -> TensorId {
        let fixed = |dim: &Dim| dim.as_fixed().expect("members of an arena have fixed sizes");
        let len = |id: &TensorId| self.tensor(*id).shape.iter().map(fixed).product::<usize>();
        let total: usize = members.iter().map(len).sum();
        assert!(!members.is_empty(), "an arena has members");
        let first = self.tensor(members[0]);
        let (role, element) = (first.role, first.element);
        for id in members {
            let member = self.tensor(*id);
            assert!(member.element == element && member.role == role && !member.is_arena(), "`{}`", member.name);
        }
        let id = self.declare(name.into(), role, element, &[total.into()]);
        self.plan.tensors[id.index()].members = members.to_vec();
        id
    }

    /// A new group of tensors that are sharded at the same indices.
    pub fn shard_group(&mut self) -> ShardGroup {
        self.groups += 1;
        ShardGroup(self.groups - 1)
    }

    /// Allows a tensor to be sharded along an axis.
    pub fn shard(&mut self, id: TensorId, axis: usize, group: ShardGroup) {
        let tensor = &mut self.plan.tensors[id.index()];
        assert!(axis < tensor.shape.len(), "`{}` has no axis {axis}", tensor.name);
        tensor.shard = Some(ShardAxis { axis, group });
    }

    /// Sets the layout that a tensor is stored in.
    pub fn layout(&mut self, id: TensorId, layout: Layout) {
        self.plan.tensors[id.index()].layout = layout;
    }

    /// Writes a section.
    pub fn section(&mut self, name: &'static str, write: impl FnOnce(&mut Builder)) -> SectionId {
        assert!(self.open.is_empty(), "sections do not nest");
        let nodes = self.collect(write);
        self.plan.sections.push(Section { name, nodes });
        SectionId(self.plan.sections.len() - 1)
    }

    /// Writes a loop, and hands its body the index, under a name.
    pub fn repeat(
        &mut self,
        name: &'static str,
        count: Dim,
        direction: Direction,
        write: impl FnOnce(&mut Builder, Loop),
    ) {
        assert!(!self.open.is_empty(), "a loop stands in a section");
        let index = Loop::new(name, self.loops.len());
        self.loops.push(index);
        let body = self.collect(|b| write(b, index));
        self.loops.pop();
        self.open.last_mut().expect("open").push(Node::Repeat { index, count, direction, body });
    }

    fn collect(&mut self, write: impl FnOnce(&mut Builder)) -> Vec<Node> {
        self.open.push(Vec::new());
        write(self);
        self.open.pop().expect("open")
    }

    /// Appends an op. Its `record` function has asserted the shapes.
    pub fn push(&mut self, op: &'static OpRow, operands: &[TensorId], params: &[Affine]) {
        assert_eq!(operands.len(), op.operands.len(), "operands of {}", op.name);
        assert_eq!(params.len(), op.params.len(), "parameters of {}", op.name);
        assert!(params.len() <= PARAM_WORDS);
        for (i, id) in operands.iter().enumerate() {
            let (operand, tensor) = (&op.operands[i], self.plan.tensor(*id));
            assert_eq!(operand.element, tensor.element, "{}: `{}`", op.name, tensor.name);
            assert!(!operands[..i].contains(id), "{}: `{}` is bound twice", op.name, tensor.name);
        }
        let stray = params.iter().flat_map(Affine::loops).find(|of| !self.loops.contains(of));
        assert!(stray.is_none(), "{}: {stray:?} is no loop around it", op.name);
        let node = OpNode { op, operands: operands.to_vec(), params: params.to_vec() };
        self.open.last_mut().expect("an op stands in a section").push(Node::Op(node));
    }

    /// Asserts a tensor's shape: part of every `record` function.
    pub fn expect_shape(&self, op: &str, id: TensorId, shape: &[Dim]) {
        let tensor = self.plan.tensor(id);
        assert_eq!(tensor.shape, shape, "{op}: shape of `{}`", tensor.name);
    }
}
