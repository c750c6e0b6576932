//! The plain RNN cell; see [`crate::ops::rnn`].

use super::math::tanh;
use super::recurrent::FastCell;
use super::simd::Lanes;
use crate::ops::activation::Activation;
use crate::ops::recurrent::{CellStep, MOST_GATES};
use crate::ops::rnn::Rnn;

impl FastCell for Rnn {
    #[inline(always)]
    fn forward_lanes<V: Lanes>(f: Activation, [a, ..]: [V; MOST_GATES], _: V, _: V, _: V) -> CellStep<V> {
        let h = if f == Activation::Relu { V::splat(0.0).max(a) } else { tanh(a) };
        CellStep { gates: [h; MOST_GATES], h, extra: h }
    }

    #[inline(always)]
    fn backward_lanes<V: Lanes>(f: Activation, d: V, [h, ..]: [V; MOST_GATES], _: [V; 2], _: V) -> CellStep<V> {
        let one = V::splat(1.0);
        let slope = if f == Activation::Relu {
            // 1 where h is positive, however small.
            let large = V::splat((2.0f32).powi(100));
            one.min(V::splat(0.0).max(h).mul(large).mul(large))
        } else {
            one.sub(h.mul(h))
        };
        let da = d.mul(slope);
        CellStep { gates: [da; MOST_GATES], h: d, extra: d }
    }
}
