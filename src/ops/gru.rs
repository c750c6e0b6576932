//! The GRU cell. Gates r z n in PyTorch's order, the reset gate after the product; state h. n's input and recurrent sums
//! stay apart; `extra` keeps the latter, q, for the backward pass. See [`super::recurrent`].
//!
//! ```text
//! r, z, n = s(a_r), s(a_z), tanh(x_n + r q)        q = b_hn + W_hn h        h' = (1 - z) n + z h
//! backward, from d:        dn = d (1 - z) (1 - n^2)        dz = d (h - n) z (1 - z)
//! dr = dn q r (1 - r)        dq = dn r        dh := d z
//! ```

use super::activation::Activation;
use super::recurrent::{Cell, CellStep, Extra, MOST_GATES, Recurrent};
use super::{decode, step, step_backward};
use crate::plan::{OpRow, Real};

/// The GRU.
pub static GRU: Recurrent = Recurrent::new::<Gru>(Activation::Tanh, [&STEP, &DECODE, &STEP_BACKWARD]);

/// A step whose input product is there.
pub static STEP: OpRow = step::row!(Gru, "gru");
/// A step with its input product.
pub static DECODE: OpRow = decode::row!(Gru, "gru");
/// A step backward.
pub static STEP_BACKWARD: OpRow = step_backward::row!(Gru, "gru");

/// The cell.
pub struct Gru;

impl Cell for Gru {
    const GATES: usize = 3;
    const SPLIT_GATE: Option<usize> = Some(2);
    const EXTRA: Extra = Extra::Kept;
    const BYPASSES_GATES: bool = true;
    const FLOPS: [f64; 2] = [25.0, 40.0];

    fn kinds() -> Vec<&'static Recurrent> {
        vec![&GRU]
    }

    fn forward<F: Real>(_: Activation, sums: [F; MOST_GATES], input: [F; MOST_GATES], h: F, _: F) -> CellStep<F> {
        let (r, z, q) = (sums[0].sigmoid(), sums[1].sigmoid(), sums[2]);
        let n = (input[2] + r * q).tanh();
        CellStep { gates: [r, z, n, F::ZERO], h: (F::ONE - z) * n + z * h, extra: q }
    }

    fn backward<F: Real>(_: Activation, d: F, gates: [F; MOST_GATES], [before, _]: [F; 2], q: F) -> CellStep<F> {
        let [r, z, n, _] = gates;
        let dn = d * (F::ONE - z) * (F::ONE - n * n);
        let dz = d * (before - n) * z * (F::ONE - z);
        let dr = dn * q * r * (F::ONE - r);
        CellStep { gates: [dr, dz, dn, F::ZERO], h: d * z, extra: dn * r }
    }
}
