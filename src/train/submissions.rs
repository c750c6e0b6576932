//! Cuts a step into submissions: drivers end what keeps a device busy for too long.

use std::ops::Range;

use crate::plan::{Plan, SectionId, Sizes};

/// Floating point operations of a submission: 50 ms of a device that does 400 GFLOP/s, a slow integrated one. A
/// submission costs some 50 microseconds, so a fast device loses nothing by it.
const FLOPS: f64 = 20e9;

/// Ranges of a section's op runs, loops unrolled, of about equal work each; at least one, and all ops in order.
pub(super) fn submissions(plan: &Plan, section: SectionId, sizes: Sizes) -> Vec<Range<usize>> {
    let nodes = plan.ops(section);
    let (mut ranges, mut first, mut flops) = (Vec::new(), 0, 0.0);
    let instances = plan.instances(section, sizes, 0);
    for (i, instance) in instances.iter().enumerate() {
        let node = nodes[instance.node];
        let words = plan.words(node, sizes, instance.index);
        flops += (node.op.cost)(&words).flops;
        if flops >= FLOPS {
            ranges.push(first..i + 1);
            (first, flops) = (i + 1, 0.0);
        }
    }
    if first < instances.len() || ranges.is_empty() {
        ranges.push(first..instances.len());
    }
    ranges
}
