//! Runs a plan with the references, in f32 or f64: the oracle for whole networks.

use std::borrow::Cow;

use super::args::{Args, Buffer, Real};
use super::{
    ARENA_BLOCK, Case, Element, FIRST_PART, LAST_PART, OpNode, OpRow, ParamWords, Plan, SectionId, Sizes, Tensor,
    TensorId,
};

/// Memory for a plan's tensors, and its ops' references on them.
pub struct Interpreter<F> {
    plan: Plan,
    capacity: Sizes,
    tensors: Vec<Buffer<F>>,
}

impl<F: Real> Interpreter<F> {
    /// Zeroed memory for the tensors of some sections at these sizes.
    pub fn new(plan: Plan, capacity: Sizes, sections: &[SectionId]) -> Interpreter<F> {
        let used = plan.used_by(sections);
        let zeros = |(tensor, used): (&Tensor, bool)| match tensor.element {
            Element::F32 => {
                Buffer::Real(vec![F::ZERO; if used && !tensor.is_arena() { tensor.len(capacity) } else { 0 }])
            }
            Element::U32 => Buffer::Word(vec![0; if used && !tensor.is_arena() { tensor.len(capacity) } else { 0 }]),
        };
        let tensors = plan.tensors.iter().zip(used).map(zeros).collect();
        Interpreter { plan, capacity, tensors }
    }

    /// The plan.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The sizes that memory was made for.
    pub fn capacity(&self) -> Sizes {
        self.capacity
    }

    /// A tensor's numbers.
    pub fn tensor(&self, id: TensorId) -> &Buffer<F> {
        &self.tensors[id.index()]
    }

    /// A tensor's numbers, to be written.
    pub fn tensor_mut(&mut self, id: TensorId) -> &mut Buffer<F> {
        &mut self.tensors[id.index()]
    }

    /// Runs one step of a section with the references.
    pub fn run(&mut self, section: SectionId, sizes: Sizes, step: u32) {
        let nodes: Vec<OpNode> = self.plan.ops(section).into_iter().cloned().collect();
        for instance in self.plan.instances(section, sizes, step) {
            let node = &nodes[instance.node];
            let words = self.plan.words(node, sizes, instance.index);
            for (node, words) in self.plan.by_member(node, words) {
                self.with_operands(&node, |operands| node.op.run_reference(operands, words));
            }
        }
    }

    /// Lends a node's operands in the row's order.
    pub(crate) fn with_operands<R>(&mut self, node: &OpNode, body: impl FnOnce(&mut [Buffer<F>]) -> R) -> R {
        let mut operands: Vec<Buffer<F>> =
            node.operands.iter().map(|id| std::mem::take(&mut self.tensors[id.index()])).collect();
        let result = body(&mut operands);
        for (id, buffer) in node.operands.iter().zip(operands) {
            self.tensors[id.index()] = buffer;
        }
        result
    }
}

impl OpRow {
    /// Calls the reference in the arithmetic of the operands.
    pub(crate) fn run_reference<F: Real>(&self, operands: &mut [Buffer<F>], words: ParamWords) {
        use std::any::Any;
        // The row holds one function for each arithmetic; which one F is, is known when this is compiled.
        let mut args = Args { operands, words };
        let f32_reference: &dyn Any = &self.reference_f32;
        let f64_reference: &dyn Any = &self.reference_f64;
        let reference = f32_reference
            .downcast_ref::<fn(&mut Args<'_, F>)>()
            .or_else(|| f64_reference.downcast_ref::<fn(&mut Args<'_, F>)>())
            .expect("F is f32 or f64");
        reference(&mut args);
    }
}

impl Plan {
    /// The runs that a node's operands make: one, or where some are arenas, one for each member in turn. The words of the
    /// op's shard then say where the member would stand in the arena, with members at multiples of [`ARENA_BLOCK`].
    pub(crate) fn by_member<'a>(&self, node: &'a OpNode, words: ParamWords) -> Vec<(Cow<'a, OpNode>, ParamWords)> {
        let members = |id: &TensorId| self.tensor(*id).members.len();
        let count = node.operands.iter().map(members).max().unwrap_or(0);
        if count == 0 {
            return vec![(Cow::Borrowed(node), words)];
        }
        assert_eq!(node.op.shards.len(), 1, "{}: an op on arenas goes along their elements", node.op.name);
        let mut first = 0;
        let member = |i: usize| {
            let mut member = node.clone();
            for id in member.operands.iter_mut().filter(|id| self.tensor(**id).is_arena()) {
                *id = self.tensor(*id).members[i];
            }
            let cut_operand = member.operands[node.op.shards[0].axes[0].0];
            let len = self.tensor(cut_operand).len(Sizes::of(1, 1));
            let mut words = words;
            let flags = if i == 0 { FIRST_PART } else { 0 } | if i + 1 == count { LAST_PART } else { 0 };
            words.set_part([[first as u32, len as u32]], flags);
            first += len.next_multiple_of(ARENA_BLOCK);
            (Cow::Owned(member), words)
        };
        (0..count).map(member).collect()
    }
}

impl Case {
    /// Runs the case's plan with the references in f64.
    pub fn reference(&self) -> Interpreter<f64> {
        let mut oracle = Interpreter::<f64>::new(self.plan.clone(), self.sizes, &[SectionId(0)]);
        for id in self.plan.ids() {
            *oracle.tensor_mut(id) = match self.plan.tensor(id).element {
                Element::F32 => Buffer::Real(self.floats(id).into_iter().map(f64::of).collect()),
                Element::U32 => Buffer::Word(self.words(id)),
            };
        }
        oracle.run(SectionId(0), self.sizes, self.step);
        oracle
    }
}
