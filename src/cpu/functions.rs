//! The ops that have a fast function, and the layouts in which it wants their weights.

use super::FastArgs;
use super::fast::*;
use crate::ops::*;
use crate::plan::{Layout, OpRow, OrderClass};

/// A fast CPU function of an op: SIMD and threads, the same numbers as the reference up to rounding, and the same
/// bits for any number of rows and threads.
pub struct Fast {
    /// The function.
    pub run: fn(&mut FastArgs<'_>),
    /// Operands that it wants in another layout; they arrive in [`FastArgs::packed`].
    pub layouts: &'static [(usize, Layout)],
    /// The order of its sums.
    pub class: OrderClass,
}

/// A function that sums nothing and takes its operands row major.
const fn fast(run: fn(&mut FastArgs<'_>)) -> Fast {
    Fast { run, layouts: &[], class: OrderClass::None }
}

/// One that sums in 16 lanes.
const fn in_lanes(run: fn(&mut FastArgs<'_>)) -> Fast {
    Fast { class: OrderClass::Lanes16, ..fast(run) }
}

/// One that sums in blocks of 64.
const fn in_blocks(run: fn(&mut FastArgs<'_>), layouts: &'static [(usize, Layout)]) -> Fast {
    Fast { layouts, class: OrderClass::Blocks64, ..fast(run) }
}

/// The ops of a cell.
const fn step_of<C: FastCell>() -> Fast {
    in_blocks(step::<C>, &[(1, Layout::Panel16)])
}

const fn decode_of<C: FastCell>() -> Fast {
    in_blocks(decode::<C>, &[(2, Layout::Panel16), (3, Layout::Panel16)])
}

const fn step_backward_of<C: FastCell>() -> Fast {
    in_blocks(step_backward::<C>, &[(1, Layout::Panel16T)])
}

/// The ops that have one.
static TABLE: &[(&OpRow, Fast)] = &[
    (&matmul::ROW, in_blocks(matmul, &[(1, Layout::Panel16)])),
    (&matmul_input_gradient::ROW, in_blocks(matmul_input_gradient, &[])),
    (&matmul_weight_gradient::ROW, in_blocks(matmul_weight_gradient, &[])),
    (&sum_rows::ROW, in_blocks(sum_rows, &[])),
    (&lstm::STEP, step_of::<lstm::Lstm>()),
    (&lstm::DECODE, decode_of::<lstm::Lstm>()),
    (&lstm::STEP_BACKWARD, step_backward_of::<lstm::Lstm>()),
    (&gru::STEP, step_of::<gru::Gru>()),
    (&gru::DECODE, decode_of::<gru::Gru>()),
    (&gru::STEP_BACKWARD, step_backward_of::<gru::Gru>()),
    (&rnn::STEP, step_of::<rnn::Rnn>()),
    (&rnn::DECODE, decode_of::<rnn::Rnn>()),
    (&rnn::STEP_BACKWARD, step_backward_of::<rnn::Rnn>()),
    (&logsumexp::ROW, in_lanes(logsumexp)),
    (&softmax::ROW, fast(softmax)),
    (&filter::ROW, fast(filter)),
    (&sample::ROW, in_lanes(sample)),
    (&cross_entropy::ROW, fast(cross_entropy)),
    (&attend::ROW, in_lanes(attend)),
    (&attend_scores_backward::ROW, in_lanes(attend_scores_backward)),
    (&attend_query_backward::ROW, in_blocks(attend_query_backward, &[])),
    (&attend_memory_backward::ROW, in_blocks(attend_memory_backward, &[])),
    (&attend_keys_backward::ROW, in_blocks(attend_keys_backward, &[])),
    (&mean_loss::ROW, in_lanes(mean_loss)),
    (&dropout::ROW, fast(dropout)),
    (&square_sum::ROW, in_lanes(square_sum)),
    (&clip_scale::ROW, in_lanes(clip_scale)),
    (&adam::ROW, fast(adam)),
    (&sgd::ROW, fast(sgd)),
    (&limits::COPY, fast(copy)),
    (&limits::MULTIPLY_ADD, fast(multiply_add)),
];

/// The fast function of an op, if it has one.
pub fn fast_function(op: &OpRow) -> Option<&'static Fast> {
    TABLE.iter().find(|(row, _)| std::ptr::eq(*row, op)).map(|(_, fast)| fast)
}
