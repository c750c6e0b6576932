//! The probes that measure this machine's limits; see [`crate::bench::limits`].

use super::parts::{Shared, range};
use super::simd::{Kernel, LANES, Lanes, Level};
use crate::cpu::FastArgs;

/// Tasks for each thread: as many as keep threads busy that others disturb.
const TASKS: usize = 4;

/// `y = x`, 4 N floats each.
pub fn copy(args: &mut FastArgs<'_>) {
    let [quads] = args.sizes();
    let [x, y] = &mut args.operands[..] else { unreachable!("copy has two operands") };
    let (x, y) = (&x.real()[..4 * quads], Shared::new(&mut y.real_mut()[..4 * quads]));
    let parts = TASKS * args.pool.threads();
    args.pool.run(parts, &|part| {
        let some = range(part, parts, x.len());
        // SAFETY: this part's elements.
        unsafe { y.part(some.start, some.len()) }.copy_from_slice(&x[some]);
    });
}

/// `y[i] = sum_j s_j`, each of 16 chains `s_j = s_j a + b` taken `rounds` times from `x[i] + j`; x and y `[N]`.
pub fn multiply_add(args: &mut FastArgs<'_>) {
    let [count, rounds] = args.sizes();
    let [x, y] = &mut args.operands[..] else { unreachable!("multiply_add has two operands") };
    let (x, y) = (&x.real()[..count], Shared::new(&mut y.real_mut()[..count]));
    let level = Level::best();
    let (vectors, parts) = (count.div_ceil(LANES), TASKS * args.pool.threads());
    args.pool.run(parts, &|part| {
        for i in range(part, parts, vectors) {
            let some = i * LANES..count.min((i + 1) * LANES);
            // SAFETY: this part's elements.
            let y = unsafe { y.part(some.start, some.len()) };
            level.run(Chains { x: &x[some], rounds, y });
        }
    });
}

struct Chains<'a> {
    x: &'a [f32],
    rounds: usize,
    y: &'a mut [f32],
}

/// Chains that an output sums.
const CHAINS: usize = 16;

impl Chains<'_> {
    /// Chains `first ..  first + N`, in registers.
    #[inline(always)]
    fn some<V: Lanes, const N: usize>(&self, first: usize) -> V {
        let x = V::load_padded(self.x, 0.0);
        let (a, b) = (V::splat(1023.0 / 1024.0), V::splat(1.0 / 1024.0));
        let mut chains: [V; N] = std::array::from_fn(|j| x.add(V::splat((first + j) as f32)));
        for _ in 0..self.rounds {
            for chain in &mut chains {
                *chain = chain.mul_add(a, b);
            }
        }
        chains[1..].iter().fold(chains[0], |sum, chain| sum.add(*chain))
    }
}

impl Kernel for Chains<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Lanes>(self) {
        // As many chains at once as registers hold.
        let sum = if V::PANELS[6] > 1 {
            self.some::<V, CHAINS>(0)
        } else {
            self.some::<V, 6>(0).add(self.some::<V, 5>(6)).add(self.some::<V, 5>(11))
        };
        sum.store_cut(self.y);
    }
}
