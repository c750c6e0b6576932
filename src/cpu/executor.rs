//! The CPU executor: fast functions where an op has one, references elsewhere.

use std::collections::HashMap;
use std::sync::Arc;

use super::fast::pack_into;
use super::fuse::{Fused, fused, is_worth_it};
use super::{Fast, FastArgs, Lines, Pool, fast_function};
use crate::error::{Error, Result};
use crate::executor::{Executor, Kernel, Run, Ticket, Values, check_reads, check_sizes};
use crate::plan::{Buffer, Interpreter, Layout, OpNode, OpRow, OrderClass, Plan, Role, SectionId, Sizes, TensorId};

/// The functions of an op that run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Functions {
    /// Fast ones where there are any.
    Fast,
    /// References only.
    Reference,
}

impl Functions {
    /// The fast function that runs an op, if one does.
    fn of(self, op: &OpRow) -> Option<&'static Fast> {
        fast_function(op).filter(|_| self == Functions::Fast)
    }
}

/// Runs a plan on the CPU. A submission has run when `submit` returns.
pub struct CpuExecutor {
    memory: Interpreter<f32>,
    functions: Functions,
    pool: Arc<dyn Pool>,
    /// Weights in the layouts that fast functions want. Their row-major form is dropped when no op reads it.
    packed: HashMap<(TensorId, Layout), Lines>,
    row_major: Vec<bool>,
    /// The tensors that its sections use.
    used: Vec<bool>,
    sections: Vec<Vec<OpNode>>,
    /// The role of each section's nodes where steps compute their own input products.
    fused: Vec<Vec<Option<Fused>>>,
    scratch: Lines,
    results: HashMap<Ticket, Vec<Buffer<f32>>>,
    tickets: u64,
}

impl CpuExecutor {
    /// Memory for some sections of a plan.
    pub fn new(
        plan: Plan,
        capacity: Sizes,
        sections: &[SectionId],
        functions: Functions,
        pool: Arc<dyn Pool>,
    ) -> CpuExecutor {
        let in_use = sections;
        let used = plan.used_by(in_use);
        let sections: Vec<Vec<OpNode>> =
            (0..plan.sections.len()).map(|i| plan.ops(SectionId(i)).into_iter().cloned().collect()).collect();
        let fused = (0..plan.sections.len()).map(|i| fused(&plan, SectionId(i))).collect();
        let mut packed = HashMap::new();
        let mut row_major = vec![false; plan.tensors.len()];
        for node in in_use.iter().flat_map(|section| &sections[section.0]) {
            for (i, id) in node.operands.iter().enumerate() {
                match wanted_layout(functions.of(node.op), i) {
                    Layout::RowMajor => {
                        row_major[id.index()] = true;
                        plan.tensor(*id).members.iter().for_each(|member| row_major[member.index()] = true);
                    }
                    layout => drop(packed.insert((*id, layout), Lines::default())),
                }
            }
        }
        let mut memory: Interpreter<f32> = Interpreter::new(plan, capacity, in_use);
        for id in memory.plan().ids() {
            if let Buffer::Real(values) = memory.tensor_mut(id) {
                pool.allocated(values);
            }
        }
        CpuExecutor {
            memory,
            functions,
            pool,
            packed,
            row_major,
            used,
            sections,
            fused,
            scratch: Lines::default(),
            results: HashMap::new(),
            tickets: 0,
        }
    }

    fn run(&mut self, run: &Run) {
        for step in run.steps.clone() {
            let instances = self.memory.plan().instances(run.section, run.sizes, step);
            let end = run.ops.end.min(instances.len());
            let whole = run.ops.start == 0 && end == instances.len();
            let fuse = whole && self.functions == Functions::Fast && is_worth_it(run.sizes.rows);
            for instance in &instances[run.ops.start.min(end)..end] {
                let node = match &self.fused[run.section.0][instance.node] {
                    Some(Fused::LeftOut) if fuse => continue,
                    Some(Fused::Step(node)) if fuse => node,
                    _ => &self.sections[run.section.0][instance.node],
                };
                let words = self.memory.plan().words(node, run.sizes, instance.index);
                let (functions, pool, scratch) = (self.functions, &*self.pool, &mut self.scratch);
                let fast = functions.of(node.op);
                for (node, words) in self.memory.plan().by_member(node, words) {
                    let Some(fast) = fast else {
                        self.memory.with_operands(&node, |operands| node.op.run_reference(operands, words));
                        continue;
                    };
                    let packed: Vec<Option<&[f32]>> = (node.operands.iter().enumerate())
                        .map(|(i, id)| self.packed.get(&(*id, wanted_layout(fast.into(), i))).map(|p| &p[..]))
                        .collect();
                    self.memory.with_operands(&node, |operands| {
                        (fast.run)(&mut FastArgs { operands, packed: &packed, words, pool, scratch: &mut *scratch });
                    });
                }
                for id in self.memory.plan().written_weights(node) {
                    self.pack(id);
                }
            }
        }
    }

    /// Packs a weight for the fast functions, and drops its row-major form where nothing reads it.
    fn pack(&mut self, id: TensorId) {
        let shape = self.memory.plan().tensor(id).shape(self.memory.capacity());
        let [groups, outputs, inputs] = shape[..] else { return };
        let mut any = false;
        for ((_, layout), packed) in self.packed.iter_mut().filter(|((t, _), _)| *t == id) {
            let w = self.memory.tensor(id).real();
            pack_into(*layout, w, [groups, outputs, inputs], packed, &*self.pool);
            any = true;
        }
        if any && !self.row_major[id.index()] {
            *self.memory.tensor_mut(id) = Buffer::Real(Vec::new());
        }
    }
}

fn wanted_layout(fast: Option<&Fast>, operand: usize) -> Layout {
    let wish = fast.and_then(|f| f.layouts.iter().find(|(i, _)| *i == operand));
    wish.map_or(Layout::RowMajor, |(_, layout)| *layout)
}

impl Executor for CpuExecutor {
    fn device(&self) -> String {
        match self.functions {
            Functions::Reference => "CPU (references)".into(),
            Functions::Fast => super::name(self.pool.threads()),
        }
    }

    fn plan(&self) -> &Plan {
        self.memory.plan()
    }

    fn capacity(&self) -> Sizes {
        self.memory.capacity()
    }

    fn write(&mut self, id: TensorId, first_row: usize, values: Values<'_>) -> Result<()> {
        let tensor = self.memory.plan().tensor(id);
        let (name, role) = (tensor.name.clone(), tensor.role);
        let first = first_row * tensor.width(self.memory.capacity());
        let len = tensor.len(self.memory.capacity());
        let wrong = |what: &str| Error::Limit(format!("{what} for tensor `{name}` of {len} elements"));
        match (self.memory.tensor_mut(id), values) {
            // A tensor that no section uses has no memory.
            (Buffer::Real(to), Values::F32(_)) if to.is_empty() && role != Role::Weight => {}
            (Buffer::Word(to), Values::U32(_)) if to.is_empty() => {}
            (Buffer::Real(to), Values::F32(from)) => {
                if role == Role::Weight {
                    to.resize(len, 0.0);
                }
                to.get_mut(first..first + from.len()).ok_or_else(|| wrong("too many values"))?.copy_from_slice(from);
            }
            (Buffer::Word(to), Values::U32(from)) => {
                to.get_mut(first..first + from.len()).ok_or_else(|| wrong("too many values"))?.copy_from_slice(from);
            }
            _ => return Err(wrong("values of another type")),
        }
        if role == Role::Weight {
            self.pack(id);
        }
        Ok(())
    }

    fn submit(&mut self, runs: &[Run], read: &[TensorId]) -> Result<Ticket> {
        for run in runs {
            check_sizes(run, self.memory.capacity())?;
        }
        check_reads(self.memory.plan(), &self.used, read)?;
        let pool = self.pool.clone();
        pool.within(&mut || runs.iter().for_each(|run| self.run(run)));
        let ticket = Ticket(self.tickets);
        self.tickets += 1;
        self.results.insert(ticket, read.iter().map(|id| self.memory.tensor(*id).clone()).collect());
        Ok(ticket)
    }

    fn try_take(&mut self, ticket: Ticket) -> Result<Option<Vec<Buffer<f32>>>> {
        self.wait(ticket).map(Some)
    }

    fn on_ready(&mut self, _: Ticket, then: Box<dyn FnOnce() + Send>) {
        then();
    }

    fn wait(&mut self, ticket: Ticket) -> Result<Vec<Buffer<f32>>> {
        self.results.remove(&ticket).ok_or_else(|| Error::Limit("the results of this submission were taken".into()))
    }

    fn dispatches(&self, section: SectionId, sizes: Sizes) -> usize {
        self.memory.plan().instances(section, sizes, 0).len()
    }

    fn kernels(&self, section: SectionId) -> Vec<Kernel> {
        let kernel = |node: &OpNode| match self.functions.of(node.op) {
            Some(fast) => Kernel { op: node.op.name, name: "fast", class: fast.class },
            None => Kernel { op: node.op.name, name: "reference", class: OrderClass::None },
        };
        self.sections[section.0].iter().map(kernel).collect()
    }
}
