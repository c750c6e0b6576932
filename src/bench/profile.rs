//! Where the time of a job goes: each op of its sections timed where it stands, on the job's own memory.

use super::cases::shape_of;
use super::report::ProfileLine;
use super::{Budget, reading};
use crate::error::Result;
use crate::executor::{Executor, Run};
use crate::plan::{Index, Plan, SectionId, Sizes};

/// The time that a submission of one op should take.
const SUBMISSION_US: f64 = 10_000.0;
/// Seconds for each op at most.
const SECONDS: f64 = 0.3;

/// Times the distinct ops of some sections, the most expensive first. States and weights are not the job's any more
/// afterwards.
///
/// # Errors
/// A device that fails.
pub fn measure(
    executor: &mut dyn Executor,
    sections: &[SectionId],
    sizes: Sizes,
    budget: Budget,
) -> Result<Vec<ProfileLine>> {
    let plan = executor.plan().clone();
    let mut lines: Vec<ProfileLine> = Vec::new();
    for section in sections {
        let instances = plan.instances(*section, sizes, 0);
        for (node, op_node) in plan.ops(*section).into_iter().enumerate() {
            let words = plan.words(op_node, sizes, Index::default());
            let (op, shape) = (op_node.op, shape_of(&words));
            let count = instances.iter().filter(|i| i.node == node).count();
            if let Some(known) = lines.iter_mut().find(|l| l.op == op.name && l.shape == shape) {
                known.count += count;
                continue;
            }
            let Some(first) = instances.iter().position(|i| i.node == node) else { continue };
            let run = Run { ops: first..first + 1, ..Run::new(*section, sizes, 0..1) };
            let time_us = time(executor, &run, budget)?;
            let cost = (op.cost)(&words);
            let rate = |work: f64| work / time_us / 1e3;
            let (gflops, gigabytes) = (rate(cost.flops), rate(cost.bytes));
            lines.push(ProfileLine { op: op.name.into(), shape, count, time_us, share: 0.0, gflops, gigabytes });
        }
    }
    let total: f64 = lines.iter().map(|l| l.time_us * l.count as f64).sum();
    for line in &mut lines {
        line.share = line.time_us * line.count as f64 / total.max(1e-9);
    }
    lines.sort_by(|a, b| b.share.total_cmp(&a.share));
    Ok(lines)
}

/// Microseconds of one run among many in a submission.
fn time(executor: &mut dyn Executor, run: &Run, budget: Budget) -> Result<f64> {
    let mut runs = vec![run.clone()];
    for _ in 0..2 {
        let one_us = (reading(executor, &runs, &[])?.wall_us / runs.len() as f64).max(0.1);
        runs = vec![run.clone(); (SUBMISSION_US / one_us).clamp(1.0, 500.0) as usize];
    }
    let budget = Budget { time: budget.time.min(std::time::Duration::from_secs_f64(SECONDS)) };
    let readings = budget.repeat(|| reading(executor, &runs, &[]))?;
    Ok(readings.device.unwrap_or(readings.wall).median_us() / runs.len() as f64)
}

/// Flops of one run of a section.
pub fn flops(plan: &Plan, section: SectionId, sizes: Sizes) -> f64 {
    let nodes = plan.ops(section);
    let cost = |node: usize, index: Index| {
        let words = plan.words(nodes[node], sizes, index);
        (nodes[node].op.cost)(&words).flops
    };
    plan.instances(section, sizes, 0).iter().map(|i| cost(i.node, i.index)).sum()
}
