//! Recurrent steps forward; see [`crate::ops::step`] and [`crate::ops::decode`].
//!
//! A cell is in a file of its own: what it makes of its sums, on vectors. The rest of its description is its op's.

use super::gemm::{Panels, Rows};
use super::parts::{Shared, read_and_write};
use super::simd::{Kernel, LANES, Lanes, Level};
use super::step::{Step, Tile, add_into, add_to};
use crate::cpu::FastArgs;
use crate::ops::activation::Activation;
use crate::ops::recurrent::{Cell, CellStep, Extra, MOST_GATES};

/// The functions of a [`Cell`] on vectors of units.
pub trait FastCell: Cell {
    /// A step from the sums of the gates, the input sum of the split gate, and the states; [`Cell::forward`].
    fn forward_lanes<V: Lanes>(f: Activation, sums: [V; MOST_GATES], input: V, h: V, extra: V) -> CellStep<V>;

    /// The step backward; [`Cell::backward`].
    fn backward_lanes<V: Lanes>(f: Activation, d: V, gates: [V; MOST_GATES], states: [V; 2], extra: V) -> CellStep<V>;
}

/// The gates from gx `[*, G, H]`, w_hh packed, b_hh `[G, H]` and h `[*, H]`; they may take the place of gx.
pub fn step<C: FastCell>(args: &mut FastArgs<'_>) {
    step_at::<C>(Level::best(), args);
}

pub(super) fn step_at<C: FastCell>(level: Level, args: &mut FastArgs<'_>) {
    let [rows, hidden, gx_row, h_read, h_write, extra_read, extra_write, keep_gates, activation] = args.sizes();
    let [gates, _, b_hh, h, extra] = &mut args.operands[..] else { unreachable!("a step has five operands") };
    let (before, after) = read_and_write(h.real_mut(), h_read * hidden, h_write * hidden, rows * hidden);
    let width = C::GATES * hidden;
    let gates = &Shared::new(&mut gates.real_mut()[gx_row * width..][..rows * width]);
    let own = Own {
        hidden,
        activation: Activation::of_word(activation),
        before,
        after: Shared::new(after),
        extra: Shared::new(extra.real_mut()),
        extra_rows: extra_rows::<C>(rows, extra_read, extra_write),
        kept: (keep_gates == 1).then_some(gates),
    };
    let (w_hh, b_hh) = (Panels::new(args.packed[1], hidden), b_hh.real());
    let step = Step::new(level, args.pool, rows, hidden, [C::GATES, hidden]);
    step.run(args.scratch, 1, |part, sums| {
        // SAFETY: rows and units of this part, which no other part reads or writes; each is read before it is written.
        let gx = |m, g| unsafe { &*gates.part((m * C::GATES + g) * hidden + part.units.start, part.units.len()) };
        for (m, g) in part.rows_and_gates(C::GATES) {
            let (to, bias) = (&mut sums[part.gate(m, g)], part.of_gate(b_hh, g, hidden));
            if C::SPLIT_GATE == Some(g) { to.copy_from_slice(bias) } else { add_into(to, gx(m, g), bias) }
        }
        part.add_product(sums, Rows::from(before, hidden, 0), w_hh);
        let input = |m| C::SPLIT_GATE.map_or(&[][..], |g| gx(m, g));
        level.run(Cells::<C, _> { part, sums, input, own: &own, cell: std::marker::PhantomData });
    });
}

/// The gates from the input x, a row of `source` `[*, K]`, by `ids` `[M]` or from x_row on; w_ih and w_hh packed, b_ih
/// and b_hh `[G, H]`, h `[*, H]`. The input product is summed as `matmul` sums it.
pub fn decode<C: FastCell>(args: &mut FastArgs<'_>) {
    decode_at::<C>(Level::best(), args);
}

pub(super) fn decode_at<C: FastCell>(level: Level, args: &mut FastArgs<'_>) {
    let [rows, inputs, hidden, x_row, gather, h_read, h_write, extra_row, activation] = args.sizes();
    let [source, ids, _, _, b_ih, b_hh, h, extra] = &mut args.operands[..] else {
        unreachable!("a decode step has eight operands")
    };
    let (before, after) = read_and_write(h.real_mut(), h_read * hidden, h_write * hidden, rows * hidden);
    let x = match gather {
        1 => Rows::looked_up(source.real(), inputs, ids.word()),
        _ => Rows::from(source.real(), inputs, x_row),
    };
    let own = Own {
        hidden,
        activation: Activation::of_word(activation),
        before,
        after: Shared::new(after),
        extra: Shared::new(extra.real_mut()),
        extra_rows: extra_rows::<C>(rows, extra_row, extra_row),
        kept: None,
    };
    let (w_ih, w_hh) = (Panels::new(args.packed[2], inputs), Panels::new(args.packed[3], hidden));
    let (b_ih, b_hh) = (b_ih.real(), b_hh.real());
    let step = Step::new(level, args.pool, rows, inputs.max(hidden), [C::GATES, hidden]);
    let buffers = if C::SPLIT_GATE.is_some() { 2 } else { 1 };
    step.run(args.scratch, buffers, |part, sums| {
        let (sums, apart) = sums.split_at_mut(part.floats());
        for (m, g) in part.rows_and_gates(C::GATES) {
            sums[part.gate(m, g)].copy_from_slice(part.of_gate(b_ih, g, hidden));
        }
        part.add_product(sums, x, w_ih);
        for (m, g) in part.rows_and_gates(C::GATES) {
            let (to, bias) = (&mut sums[part.gate(m, g)], part.of_gate(b_hh, g, hidden));
            if C::SPLIT_GATE == Some(g) {
                apart[part.gate(m, g)].copy_from_slice(to);
                to.copy_from_slice(bias);
            } else {
                add_to(to, bias);
            }
        }
        part.add_product(sums, Rows::from(before, hidden, 0), w_hh);
        let input = |m| C::SPLIT_GATE.map_or(&[][..], |g| &apart[part.gate(m, g)]);
        level.run(Cells::<C, _> { part, sums, input, own: &own, cell: std::marker::PhantomData });
    });
}

/// The first rows of `extra` that are read and written.
fn extra_rows<C: Cell>(rows: usize, read: usize, write: usize) -> [usize; 2] {
    let apart = read.abs_diff(write);
    let is_sound = C::EXTRA != Extra::State || apart == 0 || apart >= rows;
    assert!(is_sound, "rows of a state are read and written in place, or lie apart");
    [read, write]
}

/// The operands of a step besides its sums.
struct Own<'a> {
    hidden: usize,
    activation: Activation,
    /// h, `[M, H]`.
    before: &'a [f32],
    /// h', `[M, H]`.
    after: Shared<'a, f32>,
    /// `[*, H]`, or a stand-in.
    extra: Shared<'a, f32>,
    extra_rows: [usize; 2],
    /// `[M, G, H]`, where the activated gates are saved.
    kept: Option<&'a Shared<'a, f32>>,
}

/// The cells of a part.
struct Cells<'a, C, I> {
    part: &'a Tile,
    /// The sums of the gates.
    sums: &'a [f32],
    /// The input sums of the split gate, row by row.
    input: I,
    own: &'a Own<'a>,
    cell: std::marker::PhantomData<C>,
}

impl<'g, C: FastCell, I: Fn(usize) -> &'g [f32]> Kernel for Cells<'_, C, I> {
    type Output = ();

    #[inline(always)]
    fn run<V: Lanes>(self) {
        let Cells { part, sums, input, own, .. } = self;
        let [extra_read, extra_write] = own.extra_rows;
        let units = part.units.len();
        for m in part.rows.clone() {
            let apart = input(m);
            for j in (0..units).step_by(LANES) {
                let len = LANES.min(units - j);
                let unit = part.units.start + j;
                let at = m * own.hidden + unit;
                let h = V::load_padded(&own.before[at..][..len], 0.0);
                // A loop: `map` is compiled without this level's instructions, and would go through memory.
                let mut gates = [h; MOST_GATES];
                for (g, x) in gates[..C::GATES].iter_mut().enumerate() {
                    *x = V::load_padded(&sums[part.gate(m, g).start + j..][..LANES], 0.0);
                }
                let input = if C::SPLIT_GATE.is_some() { V::load_padded(&apart[j..][..len], 0.0) } else { h };
                let mut extra = h;
                if C::EXTRA == Extra::State {
                    // SAFETY: rows and units of this part, which no other part reads or writes.
                    extra = V::load_padded(unsafe { own.extra.part(extra_read * own.hidden + at, len) }, 0.0);
                }
                let new = C::forward_lanes(own.activation, gates, input, h, extra);
                // SAFETY: as above.
                new.h.store_cut(unsafe { own.after.part(at, len) });
                if C::EXTRA == Extra::State || C::EXTRA == Extra::Kept && own.kept.is_some() {
                    // SAFETY: as above.
                    new.extra.store_cut(unsafe { own.extra.part(extra_write * own.hidden + at, len) });
                }
                if let Some(kept) = own.kept {
                    for (g, gate) in new.gates[..C::GATES].iter().enumerate() {
                        // SAFETY: as above.
                        gate.store_cut(unsafe { kept.part((m * C::GATES + g) * own.hidden + unit, len) });
                    }
                }
            }
        }
    }
}
