//! [`crate::plan::philox`] on sixteen counters at once.

use super::simd::{ParamWords, WORDS};

/// Words that are made at once: sixteen blocks of four.
pub const BITS: usize = 64;

/// The random words of blocks `first`, `first + 1`, ...: counters `[block, rest...]`.
#[inline(always)]
pub fn noise_bits<W: ParamWords>(first: u32, rest: [u32; 3], key: [u32; 2]) -> [u32; BITS] {
    let mut bits = [0; BITS];
    for (half, first) in bits.chunks_exact_mut(4 * WORDS).zip([first, first.wrapping_add(WORDS as u32)]) {
        let block = philox_side_by_side::<W>(first, rest, key);
        for (i, words) in half.chunks_exact_mut(4).enumerate() {
            for j in 0..4 {
                words[j] = block[j][i] as u32;
            }
        }
    }
    bits
}

/// Eight blocks of Philox, counters `first` on: word j of block i in the low half of `[j][i]`. The high halves mean
/// nothing, here as on the way: products take low halves.
#[inline(always)]
fn philox_side_by_side<W: ParamWords>(first: u32, rest: [u32; 3], key: [u32; 2]) -> [[u64; WORDS]; 4] {
    let mut first_word = [u64::from(first); WORDS];
    for (i, word) in first_word.iter_mut().enumerate() {
        *word += i as u64;
    }
    let splat = |word: u32| W::splat(u64::from(word));
    let (mut c0, [mut c1, mut c2, mut c3]) = (W::load(&first_word), rest.map(splat));
    let [mut k0, mut k1] = key;
    for _ in 0..10 {
        let (product0, product1) = (c0.mul_low(splat(0xD251_1F53)), c2.mul_low(splat(0xCD9E_8D57)));
        c0 = product1.high().xor(c1).xor(splat(k0));
        c2 = product0.high().xor(c3).xor(splat(k1));
        (c1, c3) = (product1, product0);
        k0 = k0.wrapping_add(0x9E37_79B9);
        k1 = k1.wrapping_add(0xBB67_AE85);
    }
    let mut block = [[0; WORDS]; 4];
    for (words, c) in block.iter_mut().zip([c0, c1, c2, c3]) {
        c.store(words);
    }
    block
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::fast::simd::{Kernel, Lanes, Level};
    use crate::plan::philox;

    struct Noise(u32, [u32; 3], [u32; 2]);

    impl Kernel for Noise {
        type Output = [u32; BITS];
        #[inline(always)]
        fn run<V: Lanes>(self) -> [u32; BITS] {
            noise_bits::<V::ParamWords>(self.0, self.1, self.2)
        }
    }

    #[test]
    fn noise_bits_are_the_words_of_philox() {
        let (rest, key) = ([77, 9, 5], [0x0000_0001, 0xdead_beef]);
        for (level, first) in Level::all().into_iter().flat_map(|level| [0, 16, 12_544].map(|first| (level, first))) {
            for (block, words) in (first..).zip(level.run(Noise(first, rest, key)).chunks(4)) {
                assert_eq!(words, philox([block, 77, 9, 5], key), "{level:?}");
            }
        }
    }
}
