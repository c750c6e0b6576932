//! Compares kernels and fast functions with the references, on the ops' cases and on a real network.

use std::sync::Arc;

use crate::cpu::{CpuExecutor, Functions, Pool};
use crate::error::Result;
use crate::executor::{Executor, Run, Values};
use crate::gpu::{Gpu, GpuExecutor, GpuOptions};
use crate::ops::TABLE;
use crate::plan::{
    Access, Buffer, Case, Difference, Element, Interpreter, OpRow, Plan, Role, SectionId, TensorId, Variant,
};

/// The implementation that runs a case.
#[derive(Clone, Copy, Debug)]
pub enum Implementation {
    /// The op's fast CPU function.
    Fast,
    /// A WGSL kernel.
    Kernel(&'static Variant),
}

impl Implementation {
    /// Its name in tables.
    pub fn name(&self) -> &'static str {
        match self {
            Implementation::Fast => "fast",
            Implementation::Kernel(variant) => variant.name,
        }
    }
}

/// How a case went.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// How far the worst output is from the reference.
    pub difference: Difference,
    /// An integer output, or a tensor that should have stayed as it was, is not equal.
    pub mismatch: Option<String>,
    /// Guard words after a buffer were written.
    pub guard_hit: bool,
}

impl Outcome {
    /// Whether the case passes.
    pub fn passes(&self, case: &Case) -> bool {
        self.mismatch.is_none() && !self.guard_hit && self.difference.within(case.caps)
    }
}

/// All ops with their cases.
pub fn all_cases() -> impl Iterator<Item = (&'static OpRow, Case)> {
    TABLE.iter().flat_map(|op| (op.cases)().into_iter().map(move |case| (*op, case)))
}

/// Runs a case on the CPU with the fast function of its op.
///
/// # Errors
/// Never, for cases whose plans fit memory.
pub fn run_fast(case: &Case, oracle: &Interpreter<f64>, pool: Arc<dyn Pool>) -> Result<Outcome> {
    let mut executor = CpuExecutor::new(case.plan.clone(), case.sizes, &[SectionId(0)], Functions::Fast, pool);
    run_case(&mut executor, case, oracle)
}

/// Runs a case on a device with one variant of its op.
///
/// # Errors
/// A device that fails or cannot hold the case.
pub fn run_kernel(
    gpu: &Arc<Gpu>,
    case: &Case,
    oracle: &Interpreter<f64>,
    op: &OpRow,
    variant: &Variant,
    checked: bool,
) -> Result<Outcome> {
    let forced = [(op.name.to_string(), variant.name.to_string())].into();
    let options = GpuOptions { forced, checked, guards: true };
    let mut executor = GpuExecutor::new(gpu.clone(), case.plan.clone(), case.sizes, &[SectionId(0)], &options)?;
    let mut outcome = run_case(&mut executor, case, oracle)?;
    outcome.guard_hit = !executor.guards_intact()?;
    Ok(outcome)
}

fn run_case(executor: &mut dyn Executor, case: &Case, oracle: &Interpreter<f64>) -> Result<Outcome> {
    for id in case.plan.ids() {
        match case.plan.tensor(id).element {
            Element::F32 => executor.write(id, 0, Values::F32(&case.floats(id)))?,
            Element::U32 => executor.write(id, 0, Values::U32(&case.words(id)))?,
        }
    }
    let written = written_tensors(&case.plan, SectionId(0));
    let run = Run::new(SectionId(0), case.sizes, case.step..case.step + 1);
    let ticket = executor.submit(&[run], &written)?;
    let found = executor.wait(ticket)?;
    let mut outcome = Outcome { difference: Difference::default(), mismatch: None, guard_hit: false };
    for (id, found) in written.iter().zip(&found) {
        match (found, oracle.tensor(*id)) {
            (Buffer::Real(found), Buffer::Real(expected)) => {
                outcome.difference = outcome.difference.max(Difference::of(found, expected));
            }
            (Buffer::Word(found), Buffer::Word(expected)) => {
                if let Some(at) = (0..expected.len()).find(|i| found[*i] != expected[*i]) {
                    let name = &case.plan.tensor(*id).name;
                    let text = format!("{name}[{at}] is {}, expected {}", found[at], expected[at]);
                    outcome.mismatch.get_or_insert(text);
                }
            }
            _ => unreachable!("both come from one plan"),
        }
    }
    Ok(outcome)
}

/// The tensors that a section's ops write.
pub(crate) fn written_tensors(plan: &Plan, section: SectionId) -> Vec<TensorId> {
    let mut written: Vec<TensorId> = Vec::new();
    for node in plan.ops(section) {
        let of_node = node.operands.iter().zip(node.op.operands).filter(|(_, o)| o.access == Access::Write);
        written.extend(of_node.map(|(id, _)| *id));
    }
    written.sort();
    written.dedup();
    written
}

/// Runs the first `k` op runs of a section on one executor and the rest on another: with a `k` that moves, the first
/// wrong kernel is found. Both hold the weights; `first` holds the inputs. The results are on `second`.
///
/// # Errors
/// A device that fails.
pub fn run_split(first: &mut dyn Executor, second: &mut dyn Executor, run: &Run, k: usize) -> Result<()> {
    let used = first.plan().used_by(&[run.section]);
    let moved: Vec<TensorId> =
        (first.plan().ids()).filter(|id| used[id.index()] && first.plan().tensor(*id).role != Role::Weight).collect();
    let head = Run { ops: 0..k, ..run.clone() };
    let ticket = first.submit(&[head], &moved)?;
    let values = first.wait(ticket)?;
    for (id, buffer) in moved.iter().zip(&values) {
        second.write(*id, 0, Values::of(buffer))?;
    }
    let tail = Run { ops: k..usize::MAX, ..run.clone() };
    let ticket = second.submit(&[tail], &[])?;
    second.wait(ticket)?;
    Ok(())
}
