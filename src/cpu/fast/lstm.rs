//! The LSTM cell; see [`crate::ops::lstm`].

use super::math::{sigmoid, tanh};
use super::recurrent::FastCell;
use super::simd::Lanes;
use crate::ops::activation::Activation;
use crate::ops::lstm::Lstm;
use crate::ops::recurrent::{CellStep, MOST_GATES};

impl FastCell for Lstm {
    #[inline(always)]
    fn forward_lanes<V: Lanes>(_: Activation, [i, f, g, o]: [V; MOST_GATES], _: V, _: V, c: V) -> CellStep<V> {
        let (i, f, g, o) = (sigmoid(i), sigmoid(f), tanh(g), sigmoid(o));
        let c = f.mul_add(c, i.mul(g));
        CellStep { gates: [i, f, g, o], h: o.mul(tanh(c)), extra: c }
    }

    #[inline(always)]
    fn backward_lanes<V: Lanes>(
        _: Activation,
        d: V,
        [i, f, g, o]: [V; MOST_GATES],
        [before, after]: [V; 2],
        dc: V,
    ) -> CellStep<V> {
        let one = V::splat(1.0);
        let t = tanh(after);
        let total = d.mul(o).mul_add(one.sub(t.mul(t)), dc);
        let gates = [
            total.mul(g).mul(i.mul(one.sub(i))),
            total.mul(before).mul(f.mul(one.sub(f))),
            total.mul(i).mul(one.sub(g.mul(g))),
            d.mul(t).mul(o.mul(one.sub(o))),
        ];
        CellStep { gates, h: d, extra: total.mul(f) }
    }
}
