//! The plain RNN cell: one sum a unit, state h. See [`super::recurrent`].
//!
//! ```text
//! h' = f(a)        f = tanh or relu
//! backward, from d:        da = d f'(a)        f' = 1 - h'^2, or 1 where h' > 0
//! ```

use super::activation::Activation;
use super::recurrent::{Cell, CellStep, Extra, MOST_GATES, Recurrent};
use super::{decode, step, step_backward};
use crate::plan::{OpRow, Real};

/// With tanh.
pub static TANH: Recurrent = Recurrent::new::<Rnn>(Activation::Tanh, [&STEP, &DECODE, &STEP_BACKWARD]);
/// With relu.
pub static RELU: Recurrent = Recurrent::new::<Rnn>(Activation::Relu, [&STEP, &DECODE, &STEP_BACKWARD]);

/// A step whose input product is there.
pub static STEP: OpRow = step::row!(Rnn, "rnn");
/// A step with its input product.
pub static DECODE: OpRow = decode::row!(Rnn, "rnn");
/// A step backward.
pub static STEP_BACKWARD: OpRow = step_backward::row!(Rnn, "rnn");

/// The cell.
pub struct Rnn;

impl Cell for Rnn {
    const GATES: usize = 1;
    const EXTRA: Extra = Extra::Nothing;
    const FLOPS: [f64; 2] = [10.0, 5.0];

    fn kinds() -> Vec<&'static Recurrent> {
        vec![&TANH, &RELU]
    }

    fn forward<F: Real>(f: Activation, sums: [F; MOST_GATES], _: [F; MOST_GATES], _: F, _: F) -> CellStep<F> {
        let h = f.of(sums[0]);
        CellStep { gates: [h, F::ZERO, F::ZERO, F::ZERO], h, extra: F::ZERO }
    }

    fn backward<F: Real>(f: Activation, d: F, [h, ..]: [F; MOST_GATES], _: [F; 2], _: F) -> CellStep<F> {
        let slope = match f {
            Activation::Relu if h > F::ZERO => F::ONE,
            Activation::Relu => F::ZERO,
            _ => F::ONE - h * h,
        };
        CellStep { gates: [d * slope, F::ZERO, F::ZERO, F::ZERO], h: d, extra: F::ZERO }
    }
}
