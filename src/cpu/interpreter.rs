//! Runs a plan with the references, in f32 or f64: the oracle for whole networks.

use std::borrow::Cow;

use crate::ops::{Args, Buffer, FIRST_PART, LAST_PART, OpRow, Real};
use crate::plan::{ARENA_BLOCK, Element, OpNode, PARAM_WORDS, Plan, SectionId, Sizes, Tensor, TensorId};

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
            let words = complete_words(&self.plan, node, sizes, node.words(sizes, instance.index));
            for (node, words) in pieces(&self.plan, node, words) {
                self.with_operands(&node, |operands| run_reference(node.op, operands, words));
            }
        }
    }

    /// Lends a node's operands in the row's order.
    pub(super) fn with_operands<R>(&mut self, node: &OpNode, body: impl FnOnce(&mut [Buffer<F>]) -> R) -> R {
        let mut operands: Vec<Buffer<F>> =
            node.operands.iter().map(|id| std::mem::take(&mut self.tensors[id.index()])).collect();
        let result = body(&mut operands);
        for (id, buffer) in node.operands.iter().zip(operands) {
            self.tensors[id.index()] = buffer;
        }
        result
    }
}

/// Calls an op's reference in the arithmetic of the operands.
pub(super) fn run_reference<F: Real>(op: &OpRow, operands: &mut [Buffer<F>], words: [u32; PARAM_WORDS]) {
    use std::any::Any;
    // The table holds one function for each arithmetic; which one F is, is known when this is compiled.
    let mut args = Args { operands, words };
    let f32_reference: &dyn Any = &op.reference_f32;
    let f64_reference: &dyn Any = &op.reference_f64;
    let reference = f32_reference
        .downcast_ref::<fn(&mut Args<'_, F>)>()
        .or_else(|| f64_reference.downcast_ref::<fn(&mut Args<'_, F>)>())
        .expect("F is f32 or f64");
    reference(&mut args);
}

/// The runs that a node's operands make: one, or where some are arenas, one for each member in turn. The words of the
/// op's cut then say where the member would stand in the arena, with members at multiples of [`ARENA_BLOCK`].
pub(super) fn pieces<'a>(
    plan: &Plan,
    node: &'a OpNode,
    words: [u32; PARAM_WORDS],
) -> Vec<(Cow<'a, OpNode>, [u32; PARAM_WORDS])> {
    let members = |id: &TensorId| plan.tensor(*id).members.len();
    let count = node.operands.iter().map(members).max().unwrap_or(0);
    if count == 0 {
        return vec![(Cow::Borrowed(node), words)];
    }
    assert_eq!(node.op.cuts.len(), 1, "{}: an op on arenas goes along their elements", node.op.name);
    let mut first = 0;
    let piece = |i: usize| {
        let mut piece = node.clone();
        for id in piece.operands.iter_mut().filter(|id| plan.tensor(**id).is_arena()) {
            *id = plan.tensor(*id).members[i];
        }
        let cut_operand = piece.operands[node.op.cuts[0].axes[0].0];
        let len = plan.tensor(cut_operand).len(Sizes { rows: 1, time: 1 });
        let mut words = words;
        words[node.op.cut_word(0)] = first as u32;
        words[node.op.cut_word(0) + 1] = len as u32;
        words[node.op.flags_word()] = if i == 0 { FIRST_PART } else { 0 } | if i + 1 == count { LAST_PART } else { 0 };
        first += len.next_multiple_of(ARENA_BLOCK);
        (Cow::Owned(piece), words)
    };
    (0..count).map(piece).collect()
}

/// Parameter words with each cut covering its whole axis.
pub(crate) fn complete_words(
    plan: &Plan,
    node: &OpNode,
    sizes: Sizes,
    mut words: [u32; PARAM_WORDS],
) -> [u32; PARAM_WORDS] {
    for (i, cut) in node.op.cuts.iter().enumerate() {
        let (operand, axis) = cut.axes[0];
        let axis = plan.cut_axis(node, operand, axis);
        let len = plan.tensor(node.operands[operand]).shape[axis].value(sizes);
        words[node.op.cut_word(i)] = 0;
        words[node.op.cut_word(i) + 1] = len as u32;
    }
    if !node.op.cuts.is_empty() {
        words[node.op.flags_word()] = crate::ops::FIRST_PART | crate::ops::LAST_PART;
    }
    words
}
