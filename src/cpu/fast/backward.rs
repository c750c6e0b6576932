//! Recurrent steps backwards; see [`crate::ops::lstm_step_backward`] and [`crate::ops::gru_step_backward`].
//!
//! A task has some rows and some units. Its sums are those of dh alone: from dy on, plus the later step's gradients
//! times w_hh, which is packed with the units of h side by side ([`crate::plan::Layout::Panel16T`]).

use super::gemm::{Panels, Rows};
use super::math::tanh;
use super::parts::{Shared, read_and_write};
use super::simd::{Kernel, LANES, Lanes, Level};
use super::step::{Part, Step, add_into};
use crate::cpu::FastArgs;

/// Gates' gradients, dc and dh from gates `[*, 4, H]`, w_hh packed, c `[*, H]`, dy `[*, H]` and dc `[*, H]`.
pub fn lstm_step_backward(args: &mut FastArgs<'_>) {
    lstm_step_backward_at(Level::best(), args);
}

pub(super) fn lstm_step_backward_at(level: Level, args: &mut FastArgs<'_>) {
    let [rows, hidden, gates_row, next_row, c_before, c_after, dy_row] = args.sizes();
    let [gates, _, c, dy, dc, dh] = &mut args.operands[..] else { unreachable!("lstm_step_backward has six operands") };
    let width = 4 * hidden;
    let (later, gates) = read_and_write(gates.real_mut(), next_row * width, gates_row * width, rows * width);
    let w_hh = Panels::new(args.packed[1], width);
    let dy = &dy.real()[dy_row * hidden..];
    let own = Lstm {
        hidden,
        before: &c.real()[c_before * hidden..],
        after: &c.real()[c_after * hidden..],
        gates: Shared::new(gates),
        dc: Shared::new(&mut dc.real_mut()[..rows * hidden]),
        dh: Shared::new(&mut dh.real_mut()[..rows * hidden]),
    };
    let step = Step::new(level, args.pool, rows, width, [1, hidden]);
    step.run(args.scratch, 1, |part, sums| {
        for m in part.rows.clone() {
            sums[part.gate(m, 0)].copy_from_slice(part.of_gate(&dy[m * hidden..], 0, hidden));
        }
        part.add_product(sums, Rows::from(later, width, 0), w_hh);
        level.run(LstmUnits { part, sums, own: &own });
    });
}

/// What an LSTM's step reads and writes for its own rows.
struct Lstm<'a> {
    hidden: usize,
    /// c before the step, `[M, H]`.
    before: &'a [f32],
    /// c after the step, `[M, H]`.
    after: &'a [f32],
    /// `[M, 4, H]`.
    gates: Shared<'a, f32>,
    /// `[M, H]`.
    dc: Shared<'a, f32>,
    /// `[M, H]`.
    dh: Shared<'a, f32>,
}

/// What follows from dh for a part.
struct LstmUnits<'a> {
    part: &'a Part,
    /// dh.
    sums: &'a [f32],
    own: &'a Lstm<'a>,
}

impl Kernel for LstmUnits<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Lanes>(self) {
        let LstmUnits { part, sums, own } = self;
        let one = V::splat(1.0);
        for m in part.rows.clone() {
            for j in (0..part.units.len()).step_by(LANES) {
                let len = LANES.min(part.units.len() - j);
                let unit = part.units.start + j;
                let at = m * own.hidden + unit;
                // SAFETY: rows and units of this part, which no other part reads or writes.
                let gates = [0, 1, 2, 3].map(|g| unsafe { own.gates.part((4 * m + g) * own.hidden + unit, len) });
                // SAFETY: as above.
                let (dc, dh) = unsafe { (own.dc.part(at, len), own.dh.part(at, len)) };
                let before = V::load_padded(&own.before[at..][..len], 0.0);
                let t = tanh(V::load_padded(&own.after[at..][..len], 0.0));
                let d = V::load_padded(&sums[part.gate(m, 0).start + j..][..LANES], 0.0);
                let mut values = [one; 4];
                for (value, gate) in values.iter_mut().zip(&gates) {
                    *value = V::load_padded(gate, 0.0);
                }
                let [i, f, g, o] = values;
                let total = d.mul(o).mul_add(one.sub(t.mul(t)), V::load_padded(dc, 0.0));
                let [to_i, to_f, to_g, to_o] = gates;
                total.mul(g).mul(i.mul(one.sub(i))).store_cut(to_i);
                total.mul(before).mul(f.mul(one.sub(f))).store_cut(to_f);
                total.mul(i).mul(one.sub(g.mul(g))).store_cut(to_g);
                d.mul(t).mul(o.mul(one.sub(o))).store_cut(to_o);
                total.mul(f).store_cut(dc);
                d.store_cut(dh);
            }
        }
    }
}

/// Gates' gradients and the rest of dh from gates `[*, 3, H]`, candidate `[*, 1, H]`, w_hh packed, h `[*, H]`,
/// dy `[*, H]` and dh `[*, H]`.
pub fn gru_step_backward(args: &mut FastArgs<'_>) {
    gru_step_backward_at(Level::best(), args);
}

pub(super) fn gru_step_backward_at(level: Level, args: &mut FastArgs<'_>) {
    let [rows, hidden, gates_row, next_row, h_before, dy_row] = args.sizes();
    let [gates, candidate, _, h, dy, dh] = &mut args.operands[..] else {
        unreachable!("gru_step_backward has six operands")
    };
    let width = 3 * hidden;
    let (later, gates) = read_and_write(gates.real_mut(), next_row * width, gates_row * width, rows * width);
    let (later_q, candidate) =
        read_and_write(candidate.real_mut(), next_row * hidden, gates_row * hidden, rows * hidden);
    let w_hh = Panels::new(args.packed[2], width);
    let dy = &dy.real()[dy_row * hidden..];
    let own = Gru {
        hidden,
        before: &h.real()[h_before * hidden..],
        gates: Shared::new(gates),
        candidate: Shared::new(candidate),
        dh: Shared::new(&mut dh.real_mut()[..rows * hidden]),
    };
    let step = Step::new(level, args.pool, rows, width, [1, hidden]);
    step.run(args.scratch, 1, |part, sums| {
        for m in part.rows.clone() {
            // SAFETY: rows and units of this part, which no other part reads or writes.
            let carried = unsafe { own.dh.part(m * hidden + part.units.start, part.units.len()) };
            add_into(&mut sums[part.gate(m, 0)], part.of_gate(&dy[m * hidden..], 0, hidden), carried);
        }
        part.add_product(sums, Rows::from(later, width, 0).leading(2 * hidden), w_hh.of_inputs(0..2 * hidden));
        part.add_product(sums, Rows::from(later_q, hidden, 0), w_hh.of_inputs(2 * hidden..width));
        level.run(GruUnits { part, sums, own: &own });
    });
}

/// What a GRU's step reads and writes for its own rows.
struct Gru<'a> {
    hidden: usize,
    /// h before the step, `[M, H]`.
    before: &'a [f32],
    /// `[M, 3, H]`.
    gates: Shared<'a, f32>,
    /// `[M, H]`.
    candidate: Shared<'a, f32>,
    /// `[M, H]`.
    dh: Shared<'a, f32>,
}

/// What follows from dh for a part.
struct GruUnits<'a> {
    part: &'a Part,
    /// dh.
    sums: &'a [f32],
    own: &'a Gru<'a>,
}

impl Kernel for GruUnits<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Lanes>(self) {
        let GruUnits { part, sums, own } = self;
        let one = V::splat(1.0);
        for m in part.rows.clone() {
            for j in (0..part.units.len()).step_by(LANES) {
                let len = LANES.min(part.units.len() - j);
                let unit = part.units.start + j;
                let at = m * own.hidden + unit;
                // SAFETY: rows and units of this part, which no other part reads or writes.
                let gates = [0, 1, 2].map(|g| unsafe { own.gates.part((3 * m + g) * own.hidden + unit, len) });
                // SAFETY: as above.
                let (candidate, dh) = unsafe { (own.candidate.part(at, len), own.dh.part(at, len)) };
                let before = V::load_padded(&own.before[at..][..len], 0.0);
                let d = V::load_padded(&sums[part.gate(m, 0).start + j..][..LANES], 0.0);
                let mut values = [one; 3];
                for (value, gate) in values.iter_mut().zip(&gates) {
                    *value = V::load_padded(gate, 0.0);
                }
                let [r, z, n] = values;
                let q = V::load_padded(candidate, 0.0);
                let dn = d.mul(one.sub(z)).mul(one.sub(n.mul(n)));
                let [to_r, to_z, to_n] = gates;
                dn.mul(q).mul(r.mul(one.sub(r))).store_cut(to_r);
                d.mul(before.sub(n)).mul(z.mul(one.sub(z))).store_cut(to_z);
                dn.store_cut(to_n);
                dn.mul(r).store_cut(candidate);
                d.mul(z).store_cut(dh);
            }
        }
    }
}
