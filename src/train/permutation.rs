//! A random order of any number of things, without a list of them.

use crate::plan::philox;

/// Rounds of the network; more than four of them make even small domains look random.
const ROUNDS: u32 = 6;

/// A permutation of 0 to n - 1, keyed by a seed, an epoch and a purpose. It takes no memory: a Feistel network permutes
/// the numbers of an even number of bits, and is applied again where it leads beyond n.
#[derive(Clone, Copy, Debug)]
pub(super) struct Permutation {
    n: u64,
    half_bits: u32,
    seed: u64,
    epoch: u32,
    purpose: u32,
}

impl Permutation {
    pub fn new(n: u64, seed: u64, epoch: u64, purpose: u64) -> Permutation {
        let bits = u64::BITS - n.saturating_sub(1).leading_zeros();
        Permutation { n, half_bits: bits.div_ceil(2).max(1), seed, epoch: epoch as u32, purpose: purpose as u32 }
    }

    /// Where `at` goes; it must be below n.
    pub fn get(&self, at: u64) -> u64 {
        assert!(at < self.n, "{at} of {}", self.n);
        let mut to = self.once(at);
        while to >= self.n {
            to = self.once(to);
        }
        to
    }

    fn once(&self, at: u64) -> u64 {
        let mask = (1 << self.half_bits) - 1;
        let key = [self.seed as u32, (self.seed >> 32) as u32];
        let (mut left, mut right) = (at >> self.half_bits, at & mask);
        for round in 0..ROUNDS {
            let word = philox([right as u32, round, self.epoch, self.purpose], key)[0];
            (left, right) = (right, left ^ (u64::from(word) & mask));
        }
        left << self.half_bits | right
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_number_comes_once_and_few_stay() {
        for n in [1u64, 2, 3, 5, 64, 65, 1000, 4097] {
            let order = |epoch| (0..n).map(|i| Permutation::new(n, 9, epoch, 0).get(i)).collect::<Vec<u64>>();
            let (first, second) = (order(0), order(1));
            let mut sorted = first.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, (0..n).collect::<Vec<u64>>());
            if n >= 64 {
                let same = |a: &[u64], b: &[u64]| a.iter().zip(b).filter(|(a, b)| a == b).count();
                assert!(same(&first, &(0..n).collect::<Vec<_>>()) < 8, "{n}: hardly shuffled");
                assert!(same(&first, &second) < 8, "{n}: two epochs alike");
            }
        }
    }
}
