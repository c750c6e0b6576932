//! LSTM steps; see [`crate::ops::lstm_step`] and [`crate::ops::lstm_decode`].

use super::gemm::{Panels, Rows};
use super::math::{sigmoid, tanh};
use super::parts::{Shared, read_and_write};
use super::simd::{Kernel, LANES, Lanes, Level};
use super::step::{Part, Step, add_into, add_to};
use crate::cpu::FastArgs;

/// Gates, in the order i f g o.
const GATES: usize = 4;

/// `i, f, g, o = gx + b_hh + W_hh h`, then the gates, which may take the place of gx; gx `[*, 4, H]`, w_hh packed, b_hh
/// `[4, H]`, h `[*, H]`, c `[*, H]`.
pub fn lstm_step(args: &mut FastArgs<'_>) {
    lstm_step_at(Level::best(), args);
}

pub(super) fn lstm_step_at(level: Level, args: &mut FastArgs<'_>) {
    let [rows, hidden, gx_row, h_read, h_write, c_read, c_write, keep_gates] = args.sizes();
    let [gates, _, b_hh, h, c] = &mut args.operands[..] else { unreachable!("lstm_step has five operands") };
    let (before, after) = read_and_write(h.real_mut(), h_read * hidden, h_write * hidden, rows * hidden);
    let w_hh = Panels::new(args.packed[1], hidden);
    let gates = Shared::new(&mut gates.real_mut()[gx_row * GATES * hidden..][..rows * GATES * hidden]);
    let b_hh = b_hh.real();
    let state = State::new(after, c.real_mut(), [rows, hidden, c_read, c_write]);
    let step = Step::new(level, args.pool, rows, hidden, [GATES, hidden]);
    step.run(args.scratch, 1, |part, sums| {
        for (m, g) in part.rows_and_gates(GATES) {
            // SAFETY: rows and units of this part, which no other part reads or writes.
            let gx = unsafe { gates.part((m * GATES + g) * hidden + part.units.start, part.units.len()) };
            add_into(&mut sums[part.gate(m, g)], gx, part.of_gate(b_hh, g, hidden));
        }
        part.add_product(sums, Rows::from(before, hidden, 0), w_hh);
        level.run(Cells { part, sums, state: &state, kept: (keep_gates == 1).then_some(&gates) });
    });
}

/// `i, f, g, o = b_ih + W_ih x + b_hh + W_hh h`, in this order, then the gates; x is a row of `source` `[*, K]`, by
/// `ids` `[M]` or from x_row on; w_ih and w_hh packed, b_ih and b_hh `[4, H]`, h `[*, H]`, c `[*, H]`.
pub fn lstm_decode(args: &mut FastArgs<'_>) {
    lstm_decode_at(Level::best(), args);
}

pub(super) fn lstm_decode_at(level: Level, args: &mut FastArgs<'_>) {
    let [rows, inputs, hidden, x_row, gather, h_read, h_write, c_row] = args.sizes();
    let [source, ids, _, _, b_ih, b_hh, h, c] = &mut args.operands[..] else {
        unreachable!("lstm_decode has eight operands")
    };
    let (before, after) = read_and_write(h.real_mut(), h_read * hidden, h_write * hidden, rows * hidden);
    let x = match gather {
        1 => Rows::looked_up(source.real(), inputs, ids.word()),
        _ => Rows::from(source.real(), inputs, x_row),
    };
    let (w_ih, w_hh) = (Panels::new(args.packed[2], inputs), Panels::new(args.packed[3], hidden));
    let (b_ih, b_hh) = (b_ih.real(), b_hh.real());
    let state = State::new(after, c.real_mut(), [rows, hidden, c_row, c_row]);
    let step = Step::new(level, args.pool, rows, inputs.max(hidden), [GATES, hidden]);
    step.run(args.scratch, 1, |part, sums| {
        for (m, g) in part.rows_and_gates(GATES) {
            sums[part.gate(m, g)].copy_from_slice(part.of_gate(b_ih, g, hidden));
        }
        part.add_product(sums, x, w_ih);
        for (m, g) in part.rows_and_gates(GATES) {
            add_to(&mut sums[part.gate(m, g)], part.of_gate(b_hh, g, hidden));
        }
        part.add_product(sums, Rows::from(before, hidden, 0), w_hh);
        level.run(Cells { part, sums, state: &state, kept: None });
    });
}

/// What a step writes.
struct State<'a> {
    hidden: usize,
    /// `[M, H]`.
    h: Shared<'a, f32>,
    /// `[*, H]`.
    c: Shared<'a, f32>,
    /// First row of c that is read.
    c_read: usize,
    /// First row of c that is written.
    c_write: usize,
}

impl<'a> State<'a> {
    fn new(h: &'a mut [f32], c: &'a mut [f32], [rows, hidden, c_read, c_write]: [usize; 4]) -> State<'a> {
        let apart = c_read.abs_diff(c_write);
        assert!(apart == 0 || apart >= rows, "rows of c are read and written in place, or lie apart");
        State { hidden, h: Shared::new(h), c: Shared::new(c), c_read, c_write }
    }
}

/// The gates of a part: c' = s(f) c + s(i) tanh(g), h' = s(o) tanh(c').
struct Cells<'a> {
    part: &'a Part,
    /// The sums i f g o.
    sums: &'a [f32],
    state: &'a State<'a>,
    /// `[M, 4, H]`, where the activated gates are kept.
    kept: Option<&'a Shared<'a, f32>>,
}

impl Kernel for Cells<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Lanes>(self) {
        let Cells { part, sums, state, kept } = self;
        let units = part.units.len();
        for m in part.rows.clone() {
            let gates = [0, 1, 2, 3].map(|g| part.gate(m, g).start);
            for j in (0..units).step_by(LANES) {
                let len = LANES.min(units - j);
                let unit = part.units.start + j;
                // SAFETY: rows and units of this part, which no other part reads or writes.
                let c = unsafe { state.c.part((state.c_read + m) * state.hidden + unit, len) };
                let c = V::load_padded(c, 0.0);
                // A loop: `map` is compiled without this level's instructions, and would go through memory.
                let mut loaded = [c; GATES];
                for (x, gate) in loaded.iter_mut().zip(gates) {
                    *x = V::load_padded(&sums[gate + j..][..LANES], 0.0);
                }
                let [i, f, g, o] = loaded;
                let (i, f, g, o) = (sigmoid(i), sigmoid(f), tanh(g), sigmoid(o));
                let c = f.mul_add(c, i.mul(g));
                let h = o.mul(tanh(c));
                // SAFETY: as above.
                unsafe {
                    c.store_cut(state.c.part((state.c_write + m) * state.hidden + unit, len));
                    h.store_cut(state.h.part(m * state.hidden + unit, len));
                }
                if let Some(kept) = kept {
                    for (g, gate) in [i, f, g, o].into_iter().enumerate() {
                        // SAFETY: as above.
                        gate.store_cut(unsafe { kept.part((m * GATES + g) * state.hidden + unit, len) });
                    }
                }
            }
        }
    }
}
