//! A cell, as the ops of a recurrent step see it ([`super::step`], [`super::decode`], [`super::step_backward`]).
//!
//! ```text
//! x_g = b_ih + W_ih x                                      the input sum of gate g
//! a_g = x_g + b_hh + W_hh h,  of a split gate  b_hh + W_hh h    the sum that the cell takes, x_g beside it
//! gates, h', extra' = cell(a, x, h, extra)
//! ```
//! `extra` `[*, H]` is what a cell has beside h and its gates: a state (c of an LSTM), or what a step saves for the
//! backward pass (the recurrent sum of a split gate). A cell that has neither takes a stand-in of one element.

use super::activation::Activation;
use super::matmul::dot;
use crate::plan::{Builder, Dim, OpRow, Real, TensorId};

/// Gates of a cell at most.
pub const MOST_GATES: usize = 4;

/// The meaning of the operand `extra`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extra {
    /// Nothing: a stand-in.
    Nothing,
    /// A state, which goes on from step to step.
    State,
    /// Saved for the backward pass, in the rows of the gates; a stand-in where nothing is saved.
    Kept,
}

/// A cell's outputs for one unit, or the gradients of its inputs in the backward pass.
#[derive(Clone, Copy, Debug)]
pub struct CellStep<F> {
    /// The activated gates; their gradients.
    pub gates: [F; MOST_GATES],
    /// h; the part of its gradient that passes by the gates, or all of it.
    pub h: F,
    /// `extra`; its gradient.
    pub extra: F,
}

/// A cell: `shaders/lib/cells/NAME.wgsl` has the same constants and functions.
pub trait Cell: 'static {
    /// Gates, and sums that a unit takes.
    const GATES: usize;
    /// The gate whose input and recurrent sums stay apart.
    const SPLIT_GATE: Option<usize> = None;
    /// The meaning of the operand `extra`.
    const EXTRA: Extra;
    /// Whether a part of h's gradient passes by the gates.
    const BYPASSES_GATES: bool = false;
    /// Floating point operations of a unit besides its products, forward and backward, say.
    const FLOPS: [f64; 2];

    /// The kinds of the cell that have cases.
    fn kinds() -> Vec<&'static Recurrent>;

    /// A unit's step from its sums, the input sums, and its states.
    fn forward<F: Real>(f: Activation, sums: [F; MOST_GATES], input: [F; MOST_GATES], h: F, extra: F) -> CellStep<F>;

    /// The step backward from d, the gradient of h. The states are `extra`'s before and after the step where it is one,
    /// else those of h; `extra` is then what was saved, else the gradient of the state.
    fn backward<F: Real>(f: Activation, d: F, gates: [F; MOST_GATES], states: [F; 2], extra: F) -> CellStep<F>;
}

/// A cell with its ops.
#[derive(Debug)]
pub struct Recurrent {
    /// Gates, and sums that a unit takes.
    pub gates: usize,
    /// The gate whose input and recurrent sums stay apart.
    pub split_gate: Option<usize>,
    /// The meaning of the operand `extra`.
    pub extra: Extra,
    /// Whether a part of h's gradient passes by the gates.
    pub bypasses_gates: bool,
    /// The function of a plain cell; others have their own.
    pub activation: Activation,
    /// A step whose input product is there.
    pub step: &'static OpRow,
    /// A step with its input product.
    pub decode: &'static OpRow,
    /// A step backward.
    pub step_backward: &'static OpRow,
}

impl Recurrent {
    /// A cell and its rows: step, decode, step backward.
    pub const fn new<C: Cell>(activation: Activation, rows: [&'static OpRow; 3]) -> Recurrent {
        let [step, decode, step_backward] = rows;
        Recurrent {
            gates: C::GATES,
            split_gate: C::SPLIT_GATE,
            extra: C::EXTRA,
            bypasses_gates: C::BYPASSES_GATES,
            activation,
            step,
            decode,
            step_backward,
        }
    }

    /// A case's name: with the function, where the cell has several.
    pub(super) fn case_name(&self, name: String) -> String {
        if self.activation == Activation::Tanh { name } else { format!("{} {name}", self.activation.name()) }
    }

    /// Checks the shape of `extra`; where it is a stand-in, anything goes.
    pub(super) fn expect_extra(&self, b: &Builder, op: &str, extra: TensorId, hidden: Dim, keeps: bool) {
        if self.extra == Extra::State || self.extra == Extra::Kept && keeps {
            assert_eq!(b.tensor(extra).shape.last(), Some(&hidden), "{op}: `{}` is [*, H]", b.tensor(extra).name);
        }
    }
}

/// Vectors `[H]` of states that a step reads or writes, a row.
pub(super) fn state_vectors<C: Cell>() -> f64 {
    if C::EXTRA == Extra::State { 4.0 } else { 2.0 }
}

/// The sums of unit j that its cell takes, from the input sums. w_hh `[G, H, H]`, b_hh `[G, H]`, h `[H]`.
pub(super) fn sums<C: Cell, F: Real>(
    input: [F; MOST_GATES],
    w_hh: &[F],
    b_hh: &[F],
    h: &[F],
    j: usize,
) -> [F; MOST_GATES] {
    let mut sums = [F::ZERO; MOST_GATES];
    for g in 0..C::GATES {
        let q = g * h.len() + j;
        let start = if C::SPLIT_GATE == Some(g) { b_hh[q] } else { input[g] + b_hh[q] };
        sums[g] = start + dot(h, &w_hh[q * h.len()..][..h.len()]);
    }
    sums
}

/// The kernel of a cell, by its name, and of an op in a geometry: its name, and the files that it is put together from.
macro_rules! recurrent_kernel {
    ($cell:literal, $suffix:expr, $op:literal, $geometry:literal) => {
        (
            concat!($cell, $suffix),
            &[
                $crate::wgsl!("lib/base"),
                $crate::wgsl!("lib/storages/f32"),
                $crate::wgsl!(concat!("lib/", $op)),
                $crate::wgsl!(concat!("lib/cells/", $cell)),
                $crate::wgsl!(concat!("lib/geometries/", $geometry)),
            ],
        )
    };
}
pub(crate) use recurrent_kernel;

/// The kernels of a cell's forward op, whose weights are these operands.
macro_rules! forward_variants {
    ($cell:literal, $suffix:literal, $op:literal, $($weight:literal),+) => {{
        use $crate::ops::recurrent::recurrent_kernel;
        use $crate::plan::{Adapters, Layout, OrderClass, Requires, Variant};
        &[
            Variant::new(
                recurrent_kernel!($cell, concat!($suffix, "_1x4"), $op, "forward_1x4"),
                Requires::invocations(8),
            )
            .class(OrderClass::Blocks64)
            .layouts(&[$(($weight, Layout::K4Panels)),+])
            .better_on(Adapters::Software, |w| w["rows"] == 1)
            .groups(|w| [w["unit_len"].div_ceil(32), w["rows"], 1]),
            Variant::new(
                recurrent_kernel!($cell, concat!($suffix, "_8x4"), $op, "forward_8x4"),
                Requires::invocations(8),
            )
            .class(OrderClass::Blocks64)
            .layouts(&[$(($weight, Layout::K4)),+])
            .better_on(Adapters::Software, |w| w["rows"] > 4)
            .groups(|w| [w["unit_len"].div_ceil(32), w["rows"].div_ceil(8), 1]),
            Variant::new(
                recurrent_kernel!($cell, concat!($suffix, "_skinny"), $op, "forward_slices"),
                Requires::invocations(256).with_memory(4096 + 64),
            )
            .class(OrderClass::Blocks64)
            .layouts(&[$(($weight, Layout::K4)),+])
            .better_on(Adapters::Hardware, |w| w["rows"] <= 4)
            .groups(|w| [w["unit_len"].div_ceil(16), w["rows"], 1]),
            Variant::new(recurrent_kernel!($cell, $suffix, $op, "forward_rows"), Requires::invocations(64).with_memory(1024))
                .class(OrderClass::Blocks64)
                .layouts(&[$(($weight, Layout::K4)),+])
                .groups(|w| [w["unit_len"].div_ceil(64), w["rows"].div_ceil(4), 1]),
        ]
    }};
}
pub(crate) use forward_variants;
