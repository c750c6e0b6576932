//! GRU steps; see [`crate::ops::gru_step`] and [`crate::ops::gru_decode`].

use super::gemm::{Panels, Rows};
use super::math::{sigmoid, tanh};
use super::parts::{Shared, read_and_write};
use super::simd::{Kernel, LANES, Lanes, Level};
use super::step::{Part, Step, add_into};
use crate::cpu::FastArgs;

/// Gates, in the order r z n.
const GATES: usize = 3;
/// The gate whose input and recurrent parts stay apart.
const N: usize = 2;

/// The gates from gx `[*, 3, H]`, w_hh packed, b_hh `[3, H]` and h `[*, H]`. They may take the place of gx, the recurrent
/// part of n then going to `candidate` `[*, 1, H]`.
pub fn gru_step(args: &mut FastArgs<'_>) {
    gru_step_at(Level::best(), args);
}

pub(super) fn gru_step_at(level: Level, args: &mut FastArgs<'_>) {
    let [rows, hidden, gx_row, h_read, h_write, keep_gates] = args.sizes();
    let [gates, _, b_hh, h, candidate] = &mut args.operands[..] else { unreachable!("gru_step has five operands") };
    let (before, after) = read_and_write(h.real_mut(), h_read * hidden, h_write * hidden, rows * hidden);
    let gates = Shared::new(&mut gates.real_mut()[gx_row * GATES * hidden..][..rows * GATES * hidden]);
    let candidate = (keep_gates == 1).then(|| &mut candidate.real_mut()[gx_row * hidden..][..rows * hidden]);
    let candidate = candidate.map(Shared::new);
    let recurrent = Recurrent {
        level,
        hidden,
        w_hh: Panels::new(args.packed[1], hidden),
        b_hh: b_hh.real(),
        before,
        after: Shared::new(after),
    };
    let step = Step::new(level, args.pool, rows, hidden, [GATES, hidden]);
    step.run(args.scratch, 1, |part, sums| {
        // SAFETY: rows and units of this part, which no other part reads or writes; each is read before it is written.
        let gx = |m, g| unsafe { &*gates.part((m * GATES + g) * hidden + part.units.start, part.units.len()) };
        let kept = candidate.as_ref().map(|candidate| Kept { gates: &gates, candidate });
        recurrent.run(part, sums, gx, kept);
    });
}

/// The gates from the input x, a row of `source` `[*, K]`, by `ids` `[M]` or from x_row on; w_ih and w_hh packed, b_ih
/// and b_hh `[3, H]`, h `[*, H]`. The input product is summed as `matmul` sums it.
pub fn gru_decode(args: &mut FastArgs<'_>) {
    gru_decode_at(Level::best(), args);
}

pub(super) fn gru_decode_at(level: Level, args: &mut FastArgs<'_>) {
    let [rows, inputs, hidden, x_row, gather, h_read, h_write] = args.sizes();
    let [source, ids, _, _, b_ih, b_hh, h] = &mut args.operands[..] else {
        unreachable!("gru_decode has seven operands")
    };
    let (before, after) = read_and_write(h.real_mut(), h_read * hidden, h_write * hidden, rows * hidden);
    let x = match gather {
        1 => Rows::looked_up(source.real(), inputs, ids.word()),
        _ => Rows::from(source.real(), inputs, x_row),
    };
    let (w_ih, b_ih) = (Panels::new(args.packed[2], inputs), b_ih.real());
    let recurrent = Recurrent {
        level,
        hidden,
        w_hh: Panels::new(args.packed[3], hidden),
        b_hh: b_hh.real(),
        before,
        after: Shared::new(after),
    };
    let step = Step::new(level, args.pool, rows, inputs.max(hidden), [GATES, hidden]);
    step.run(args.scratch, 2, |part, sums| {
        let (gx, sums) = sums.split_at_mut(part.floats());
        for (m, g) in part.rows_and_gates(GATES) {
            gx[part.gate(m, g)].copy_from_slice(part.of_gate(b_ih, g, hidden));
        }
        part.add_product(gx, x, w_ih);
        let gx = &*gx;
        recurrent.run(part, sums, |m, g| &gx[part.gate(m, g)], None);
    });
}

/// What follows the input product.
struct Recurrent<'a> {
    level: Level,
    hidden: usize,
    w_hh: Panels<'a>,
    /// `[3, H]`.
    b_hh: &'a [f32],
    /// h, `[M, H]`.
    before: &'a [f32],
    /// h', `[M, H]`.
    after: Shared<'a, f32>,
}

impl Recurrent<'_> {
    /// A part of the step, `gx(m, g)` being the input product of a row and a gate, for the part's units.
    fn run<'g>(&self, part: &Part, sums: &mut [f32], gx: impl Fn(usize, usize) -> &'g [f32], kept: Option<Kept<'_>>) {
        for (m, g) in part.rows_and_gates(GATES) {
            let (to, bias) = (&mut sums[part.gate(m, g)], part.of_gate(self.b_hh, g, self.hidden));
            if g == N { to.copy_from_slice(bias) } else { add_into(to, gx(m, g), bias) }
        }
        part.add_product(sums, Rows::from(self.before, self.hidden, 0), self.w_hh);
        self.level.run(Cells { part, sums, input: |m| gx(m, N), step: self, kept });
    }
}

/// Where a step leaves what its backward step needs.
struct Kept<'a> {
    /// The activated gates, `[M, 3, H]`.
    gates: &'a Shared<'a, f32>,
    /// The recurrent part of n, `[M, H]`.
    candidate: &'a Shared<'a, f32>,
}

/// The gates of a part: n = tanh(input_n + s(r) recurrent_n), h' = (1 - s(z)) n + s(z) h.
struct Cells<'a, I> {
    part: &'a Part,
    /// The sums r z n, of n the recurrent part only.
    sums: &'a [f32],
    /// The input part of n, row by row.
    input: I,
    step: &'a Recurrent<'a>,
    kept: Option<Kept<'a>>,
}

impl<'g, I: Fn(usize) -> &'g [f32]> Kernel for Cells<'_, I> {
    type Output = ();

    #[inline(always)]
    fn run<V: Lanes>(self) {
        let Cells { part, sums, input, step, kept } = self;
        let units = part.units.len();
        for m in part.rows.clone() {
            let gates = [0, 1, 2].map(|g| part.gate(m, g).start);
            for j in (0..units).step_by(LANES) {
                let len = LANES.min(units - j);
                let unit = part.units.start + j;
                let at = m * step.hidden + unit;
                let h = V::load_padded(&step.before[at..][..len], 0.0);
                // A loop: `map` is compiled without this level's instructions, and would go through memory.
                let mut loaded = [h; GATES];
                for (x, gate) in loaded.iter_mut().zip(gates) {
                    *x = V::load_padded(&sums[gate + j..][..LANES], 0.0);
                }
                let [r, z, candidate] = loaded;
                let (r, z) = (sigmoid(r), sigmoid(z));
                let n = tanh(r.mul_add(candidate, V::load_padded(&input(m)[j..][..len], 0.0)));
                let h = V::splat(1.0).sub(z).mul_add(n, z.mul(h));
                // SAFETY: rows and units of this part, which no other part writes.
                h.store_cut(unsafe { step.after.part(at, len) });
                if let Some(kept) = &kept {
                    // SAFETY: as above.
                    candidate.store_cut(unsafe { kept.candidate.part(at, len) });
                    for (g, gate) in [r, z, n].into_iter().enumerate() {
                        // SAFETY: as above.
                        gate.store_cut(unsafe { kept.gates.part((m * GATES + g) * step.hidden + unit, len) });
                    }
                }
            }
        }
    }
}
