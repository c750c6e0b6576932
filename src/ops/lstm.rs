//! The LSTM cell. Gates i f g o in PyTorch's order; states h and c, which is `extra`. See [`super::recurrent`].
//!
//! ```text
//! i, f, g, o = s(a_i), s(a_f), tanh(a_g), s(a_o)
//! c' = f c + i g        h' = o tanh(c')
//! backward, from d and dc:        t = tanh(c')        dc' = dc + d o (1 - t^2)
//! di = dc' g i (1 - i)        df = dc' c f (1 - f)        dg = dc' i (1 - g^2)        do = d t o (1 - o)        dc := dc' f
//! ```

use super::activation::Activation;
use super::recurrent::{Cell, CellStep, Extra, MOST_GATES, Recurrent};
use super::{decode, step, step_backward};
use crate::plan::{OpRow, Real};

/// The LSTM.
pub static LSTM: Recurrent = Recurrent::new::<Lstm>(Activation::Tanh, [&STEP, &DECODE, &STEP_BACKWARD]);

/// A step whose input product is there.
pub static STEP: OpRow = step::row!(Lstm, "lstm");
/// A step with its input product.
pub static DECODE: OpRow = decode::row!(Lstm, "lstm");
/// A step backward.
pub static STEP_BACKWARD: OpRow = step_backward::row!(Lstm, "lstm");

/// The cell.
pub struct Lstm;

impl Cell for Lstm {
    const GATES: usize = 4;
    const EXTRA: Extra = Extra::State;
    const FLOPS: [f64; 2] = [30.0, 40.0];

    fn kinds() -> Vec<&'static Recurrent> {
        vec![&LSTM]
    }

    fn forward<F: Real>(_: Activation, sums: [F; MOST_GATES], _: [F; MOST_GATES], _: F, c: F) -> CellStep<F> {
        let [i, f, g, o] = [sums[0].sigmoid(), sums[1].sigmoid(), sums[2].tanh(), sums[3].sigmoid()];
        let c_new = f * c + i * g;
        CellStep { gates: [i, f, g, o], h: o * c_new.tanh(), extra: c_new }
    }

    fn backward<F: Real>(_: Activation, d: F, gates: [F; MOST_GATES], [before, after]: [F; 2], dc: F) -> CellStep<F> {
        let [i, f, g, o] = gates;
        let t = after.tanh();
        let total = dc + d * o * (F::ONE - t * t);
        let gradients = [
            total * g * i * (F::ONE - i),
            total * before * f * (F::ONE - f),
            total * i * (F::ONE - g * g),
            d * t * o * (F::ONE - o),
        ];
        CellStep { gates: gradients, h: d, extra: total * f }
    }
}
