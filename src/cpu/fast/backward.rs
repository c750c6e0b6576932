//! Recurrent steps backward; see [`crate::ops::step_backward`].
//!
//! A task has some rows and some units. Its sums are those of h's gradient alone: from dy on, plus the later step's gradients
//! times w_hh, which is packed with the units of h side by side ([`crate::plan::Layout::Panel16T`]).

use super::gemm::{Panels, Rows};
use super::parts::{Shared, read_and_write};
use super::recurrent::FastCell;
use super::simd::{Kernel, LANES, Lanes, Level};
use super::step::{Step, Tile, add_into};
use crate::cpu::FastArgs;
use crate::ops::activation::Activation;
use crate::ops::recurrent::{Extra, MOST_GATES};

/// Gradients of the gates, of h and of `extra` from gates `[*, G, H]`, w_hh packed, states, dy, extra and dh `[*, H]`.
pub fn step_backward<C: FastCell>(args: &mut FastArgs<'_>) {
    step_backward_at::<C>(Level::best(), args);
}

pub(super) fn step_backward_at<C: FastCell>(level: Level, args: &mut FastArgs<'_>) {
    let [rows, hidden, gates_row, next_row, before, after, extra_row, dy_row, activation] = args.sizes();
    let [gates, _, states, dy, extra, dh] = &mut args.operands[..] else {
        unreachable!("a step backward has six operands")
    };
    let (width, len) = (C::GATES * hidden, rows * hidden);
    let (later, gates) = read_and_write(gates.real_mut(), next_row * width, gates_row * width, rows * width);
    let (later_extra, extra) = match C::EXTRA {
        Extra::Kept => read_and_write(extra.real_mut(), next_row * hidden, extra_row * hidden, len),
        Extra::State => (&[][..], &mut extra.real_mut()[extra_row * hidden..][..len]),
        Extra::Nothing => (&[][..], &mut [][..]),
    };
    let w_hh = Panels::new(args.packed[1], width);
    let dy = &dy.real()[dy_row * hidden..];
    let own = &Own {
        hidden,
        activation: Activation::of_word(activation),
        before: &states.real()[before * hidden..],
        after: &states.real()[after * hidden..],
        gates: Shared::new(gates),
        extra: Shared::new(extra),
        dh: Shared::new(&mut dh.real_mut()[..len]),
    };
    let step = Step::new(level, args.pool, rows, width, [1, hidden]);
    step.run(args.scratch, 1, |part, sums| {
        for m in part.rows.clone() {
            let (to, dy) = (&mut sums[part.gate(m, 0)], part.of_gate(&dy[m * hidden..], 0, hidden));
            if C::BYPASSES_GATES {
                // SAFETY: rows and units of this part, which no other part reads or writes.
                add_into(to, dy, unsafe { own.dh.part(m * hidden + part.units.start, part.units.len()) });
            } else {
                to.copy_from_slice(dy);
            }
        }
        let of_gates = C::SPLIT_GATE.unwrap_or(C::GATES) * hidden;
        part.add_product(sums, Rows::from(later, width, 0).leading(of_gates), w_hh.of_inputs(0..of_gates));
        if C::SPLIT_GATE.is_some() {
            part.add_product(sums, Rows::from(later_extra, hidden, 0), w_hh.of_inputs(of_gates..width));
        }
        level.run(Units::<C> { part, sums, own, cell: std::marker::PhantomData });
    });
}

/// The operands of a step for its own rows.
struct Own<'a> {
    hidden: usize,
    activation: Activation,
    /// The state before the step, `[M, H]`.
    before: &'a [f32],
    /// The state after the step, `[M, H]`.
    after: &'a [f32],
    /// `[M, G, H]`.
    gates: Shared<'a, f32>,
    /// `[M, H]`, or nothing.
    extra: Shared<'a, f32>,
    /// `[M, H]`.
    dh: Shared<'a, f32>,
}

/// The sums that follow from the gradient of h, for a part.
struct Units<'a, C> {
    part: &'a Tile,
    /// The gradient of h.
    sums: &'a [f32],
    own: &'a Own<'a>,
    cell: std::marker::PhantomData<C>,
}

impl<C: FastCell> Kernel for Units<'_, C> {
    type Output = ();

    #[inline(always)]
    fn run<V: Lanes>(self) {
        let Units { part, sums, own, .. } = self;
        for m in part.rows.clone() {
            for j in (0..part.units.len()).step_by(LANES) {
                let len = LANES.min(part.units.len() - j);
                let unit = part.units.start + j;
                let at = m * own.hidden + unit;
                // SAFETY: rows and units of this part, which no other part reads or writes.
                let gate = |g| unsafe { own.gates.part((C::GATES * m + g) * own.hidden + unit, len) };
                let d = V::load_padded(&sums[part.gate(m, 0).start + j..][..LANES], 0.0);
                let before = V::load_padded(&own.before[at..][..len], 0.0);
                let after = V::load_padded(&own.after[at..][..len], 0.0);
                let mut gates = [d; MOST_GATES];
                for (g, x) in gates[..C::GATES].iter_mut().enumerate() {
                    *x = V::load_padded(gate(g), 0.0);
                }
                let mut extra = d;
                if C::EXTRA != Extra::Nothing {
                    // SAFETY: as above.
                    extra = V::load_padded(unsafe { own.extra.part(at, len) }, 0.0);
                }
                let found = C::backward_lanes(own.activation, d, gates, [before, after], extra);
                for (g, x) in found.gates[..C::GATES].iter().enumerate() {
                    x.store_cut(gate(g));
                }
                if C::EXTRA != Extra::Nothing {
                    // SAFETY: as above.
                    found.extra.store_cut(unsafe { own.extra.part(at, len) });
                }
                // SAFETY: as above.
                found.h.store_cut(unsafe { own.dh.part(at, len) });
            }
        }
    }
}
