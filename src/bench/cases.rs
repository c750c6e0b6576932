//! The ops of a network, each alone in a plan, at the sizes that it has there.
//!
//! No case is written by hand: what a network runs is what is measured, so a new op has its measurement as soon as a
//! section uses it.

use std::collections::BTreeMap;

use super::{Workload, end_to_end};
use crate::generate;
use crate::network::{Optimizer, Recipe, training};
use crate::plan::{
    Access, Affine, Builder, Case, Cost, Dim, Element, Fill, Index, Layout, OpNode, OpRow, Operand, ParamWords, Plan,
    Role, SectionId, Setting, ShardGroup, Sizes, Tensor, TensorId,
};

/// One op at one set of sizes.
pub struct KernelCase {
    /// The op.
    pub op: &'static OpRow,
    /// Its sizes in words: `rows=32 inputs=256 groups=1 outputs=10000`.
    pub shape: String,
    /// The parameter words.
    pub words: ParamWords,
    /// The op alone, with random inputs.
    pub case: Case,
    /// The same for fewer rows or time steps where the reference would take long; else equal.
    pub small: Case,
    /// Work of one run.
    pub cost: Cost,
    /// Bytes of the weights among the operands.
    pub weight_bytes: f64,
    origin: Origin,
}

/// Where a case was found.
struct Origin {
    plan: Plan,
    node: OpNode,
    sizes: Sizes,
    vocab: usize,
}

/// Flops and bytes beyond which a reference takes seconds.
const LARGE: f64 = 2e8;
/// Rows and time steps of a small case.
const SMALL: Sizes = Sizes::of(3, 2);

impl KernelCase {
    /// Whether the other case is the same op at the same sizes.
    pub fn is_like(&self, other: &KernelCase) -> bool {
        self.op.name == other.op.name && self.shape == other.shape
    }

    /// The op several times, each time with other copies of what it only reads, so that nothing is in a cache when
    /// the next turn begins. What it writes is written by all: they run one after the other.
    pub fn cold(&self, bytes: f64) -> (Case, usize) {
        let read = self.origin.read_bytes().max(1.0);
        let copies = (bytes / read).ceil().clamp(2.0, 256.0) as usize;
        (self.origin.alone(self.origin.sizes, copies), copies)
    }
}

/// The distinct ops of all sections of a workload's network, and of its training with either optimiser, with windows of
/// `time` steps.
pub fn of_workload(workload: &Workload, time: usize) -> Vec<KernelCase> {
    let lm = generate::plan_with_filters(workload.shape, 0);
    let adam = Recipe { time, dropout: 0.25, ..end_to_end::recipe(workload) };
    let sgd = Recipe { optimizer: Optimizer::Sgd { momentum: 0.9, weight_decay: 0.0 }, ..adam };
    let (adam, sgd) = (training(adam), training(sgd));
    let all = |plan: &Plan| (0..plan.sections.len()).map(SectionId).collect::<Vec<_>>();
    let sizes = Sizes::of(workload.batch, time);
    let mut cases: Vec<KernelCase> = Vec::new();
    for (plan, sections) in [(&lm.plan, all(&lm.plan)), (&adam.plan, all(&adam.plan)), (&sgd.plan, vec![sgd.optimise])]
    {
        let more = of_plan(plan, &sections, sizes, workload.shape.vocab);
        cases.extend(more.into_iter().filter(|new| !cases.iter().any(|old| old.is_like(new))).collect::<Vec<_>>());
    }
    cases
}

/// The distinct ops of some sections of a plan.
pub fn of_plan(plan: &Plan, sections: &[SectionId], sizes: Sizes, vocab: usize) -> Vec<KernelCase> {
    let mut cases: Vec<KernelCase> = Vec::new();
    for node in sections.iter().flat_map(|section| plan.ops(*section)) {
        let words = plan.words(node, sizes, Index::default());
        let shape = shape_of(&words);
        if cases.iter().any(|c| c.op.name == node.op.name && c.shape == shape) {
            continue;
        }
        let origin = Origin { plan: plan.clone(), node: node.clone(), sizes, vocab };
        let cost = (node.op.cost)(&words);
        let case = origin.alone(sizes, 1);
        let least = Sizes::of(sizes.rows.min(SMALL.rows), sizes.time.min(SMALL.time));
        let small = if cost.flops + cost.bytes > LARGE { origin.alone(least, 1) } else { case.clone() };
        let weight_bytes = origin.weight_bytes();
        cases.push(KernelCase { op: node.op, shape, words, case, small, cost, weight_bytes, origin });
    }
    cases
}

/// The sizes of an op in words.
pub fn shape_of(words: &ParamWords) -> String {
    words.workload().iter().map(|(name, n)| format!("{name}={n}")).collect::<Vec<_>>().join(" ")
}

impl Origin {
    /// A plan of the op alone, `copies` times.
    fn alone(&self, sizes: Sizes, copies: usize) -> Case {
        let words = self.node.words(sizes, Index::default());
        let declare = |b: &mut Builder, fills: &mut Vec<(TensorId, Fill)>| {
            let mut declared = Declared { b, groups: BTreeMap::new(), arenas: None };
            let (mut written, mut turns) = (BTreeMap::new(), Vec::new());
            for copy in 0..copies {
                let operands = self.node.operands.iter().zip(self.node.op.operands);
                let turn: Vec<TensorId> = operands
                    .map(|(id, operand)| {
                        if let Some(known) = written.get(id) {
                            return *known;
                        }
                        let tensor = self.plan.tensor(*id);
                        let new = declared.like(tensor, sizes, copy);
                        fills.extend(self.fill(tensor, operand, sizes).map(|fill| (new, fill)));
                        if operand.access == Access::Write {
                            written.insert(*id, new);
                        }
                        new
                    })
                    .collect();
                turns.push(turn);
            }
            turns
        };
        let params: Vec<Affine> =
            words.raw().iter().take(self.node.params.len()).map(|w| Affine::constant(*w as usize)).collect();
        let write = |b: &mut Builder, turns: Vec<Vec<TensorId>>| {
            for turn in turns {
                b.push(self.node.op, &turn, &params);
            }
        };
        Case::new(shape_of(&self.plan.words(&self.node, sizes, Index::default())), declare, write)
    }

    /// Inputs that the op may meet in the network.
    fn fill(&self, tensor: &Tensor, operand: &Operand, sizes: Sizes) -> Option<Fill> {
        let (vocab, len) = (self.vocab, tensor.len(sizes));
        match (operand.typical, tensor.element, tensor.role) {
            (Some(typical), ..) => Some(typical(Setting { sizes, vocab, len })),
            (None, Element::U32, _) => None,
            (None, Element::F32, Role::Weight) => Some(Fill::Normal(1.0 / (tensor.width(sizes) as f32).sqrt())),
            (None, Element::F32, _) => Some(Fill::Normal(0.5)),
        }
    }

    fn bytes(&self, counts: impl Fn(&Tensor, Access) -> bool) -> f64 {
        let operands = self.node.operands.iter().zip(self.node.op.operands);
        let some = operands.map(|(id, o)| (self.plan.tensor(*id), o.access)).filter(|(t, access)| counts(t, *access));
        some.map(|(tensor, _)| 4.0 * tensor.len(self.sizes) as f64).sum()
    }

    fn weight_bytes(&self) -> f64 {
        self.bytes(|tensor, _| tensor.role == Role::Weight)
    }

    fn read_bytes(&self) -> f64 {
        self.bytes(|_, access| access == Access::Read)
    }
}

/// Tensors of a case on their way into its plan.
struct Declared<'a> {
    b: &'a mut Builder,
    /// Groups of the case by those of the network.
    groups: BTreeMap<ShardGroup, ShardGroup>,
    /// The group of all arenas.
    arenas: Option<ShardGroup>,
}

impl Declared<'_> {
    /// A tensor of the same shape in numbers. An arena is one flat tensor, which may be sharded as it may be.
    fn like(&mut self, tensor: &Tensor, sizes: Sizes, copy: usize) -> TensorId {
        let b = &mut *self.b;
        let shape: Vec<Dim> = tensor.shape(sizes).into_iter().map(Dim::fixed).collect();
        let name = format!("{} {copy}", tensor.name);
        // An arena of weights is written, not loaded and packed.
        let role = if tensor.is_arena() { Role::State } else { tensor.role };
        let id = match tensor.element {
            Element::F32 => b.f32(role, name, &shape),
            Element::U32 => b.u32(role, name, &shape),
        };
        if tensor.is_arena() {
            let group = *self.arenas.get_or_insert_with(|| b.shard_group());
            b.shard(id, 0, group);
        } else if let Some(shard) = tensor.shard {
            let group = *self.groups.entry(shard.group).or_insert_with(|| b.shard_group());
            b.shard(id, shard.axis, group);
        }
        if tensor.layout != Layout::RowMajor {
            b.layout(id, tensor.layout);
        }
        id
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::run_fast;
    use crate::cpu::Serial;
    use crate::network::{Cell, Shape};

    fn workload(cell: Cell) -> Workload {
        let shape = Shape { cell, vocab: 70, embedding: 12, hidden: 20, layers: 2 };
        Workload { name: "small".into(), shape, batch: 3, steps: 4 }
    }

    #[test]
    fn every_op_of_the_networks_has_a_case_that_its_fast_function_passes() {
        for cell in [Cell::Lstm, Cell::Gru] {
            let cases = of_workload(&workload(cell), 2);
            for case in &cases {
                let outcome = run_fast(&case.case, &case.case.reference(), std::sync::Arc::new(Serial)).unwrap();
                assert!(outcome.passes(&case.case), "{} {}: {outcome:?}", case.op.name, case.shape);
            }
            let of_training = [
                "matmul_weight_gradient",
                "matmul_input_gradient",
                "sum_rows",
                "cross_entropy",
                "mean_loss",
                "dropout",
                "embed_gradient",
                "square_sum",
                "clip_scale",
                "adam",
                "sgd",
            ];
            let has = |name: &str| cases.iter().any(|c| c.op.name == name);
            assert!(["embed", "matmul", "sample", "filter", "logsumexp", "target_log_prob"].into_iter().all(has));
            assert!(of_training.into_iter().all(has));
            let of_cell = [["lstm_decode", "lstm_step_backward"], ["gru_decode", "gru_step_backward"]];
            assert!(of_cell[usize::from(cell == Cell::Gru)].into_iter().all(has));
        }
    }

    #[test]
    fn cold_cases_have_other_inputs_each_turn_and_one_output() {
        let cases = of_workload(&workload(Cell::Lstm), 1);
        let head = cases.iter().find(|c| c.op.name == "matmul" && c.shape.ends_with("outputs=70")).unwrap();
        let (cold, copies) = head.cold(3.5 * head.origin.read_bytes());
        assert_eq!(copies, 4);
        let nodes = cold.plan.ops(SectionId(0));
        assert_eq!(nodes.len(), 4);
        let operands =
            |operand: usize| nodes.iter().map(|n| n.operands[operand]).collect::<std::collections::BTreeSet<_>>();
        assert_eq!((operands(0).len(), operands(1).len(), operands(3).len()), (4, 4, 1));
    }
}
