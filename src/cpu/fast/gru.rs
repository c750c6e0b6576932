//! The GRU cell; see [`crate::ops::gru`].

use super::math::{sigmoid, tanh};
use super::recurrent::FastCell;
use super::simd::Lanes;
use crate::ops::activation::Activation;
use crate::ops::gru::Gru;
use crate::ops::recurrent::{CellStep, MOST_GATES};

impl FastCell for Gru {
    #[inline(always)]
    fn forward_lanes<V: Lanes>(_: Activation, [r, z, q, _]: [V; MOST_GATES], input: V, h: V, _: V) -> CellStep<V> {
        let (r, z) = (sigmoid(r), sigmoid(z));
        let n = tanh(r.mul_add(q, input));
        CellStep { gates: [r, z, n, n], h: V::splat(1.0).sub(z).mul_add(n, z.mul(h)), extra: q }
    }

    #[inline(always)]
    fn backward_lanes<V: Lanes>(
        _: Activation,
        d: V,
        [r, z, n, _]: [V; MOST_GATES],
        [before, _]: [V; 2],
        q: V,
    ) -> CellStep<V> {
        let one = V::splat(1.0);
        let dn = d.mul(one.sub(z)).mul(one.sub(n.mul(n)));
        let dr = dn.mul(q).mul(r.mul(one.sub(r)));
        let dz = d.mul(before.sub(n)).mul(z.mul(one.sub(z)));
        CellStep { gates: [dr, dz, dn, dn], h: d.mul(z), extra: dn.mul(r) }
    }
}
