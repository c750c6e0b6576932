//! Sixteen floats at a time: what the kernels need of a vector, and the choice of the instruction set at run time.

/// Floats in a vector, whatever the registers' width: outputs of a weight panel, lanes of a reduction.
pub const LANES: usize = 16;

/// Sixteen f32. All operations round once and lane by lane; every implementation gives the same bits for numbers.
///
/// The types that need more than the target's baseline are private to their modules, and code sees them only as the
/// parameter of [`Kernel::run`], which [`Level::run`] calls after it has found the instructions.
pub trait Lanes: Copy {
    /// Whole numbers of the same instruction set.
    type ParamWords: ParamWords;
    /// How many panels the matrix product takes at once with 0, 1, ... 6 rows, as many as registers hold: 1, 2 or 4.
    const PANELS: [usize; 7];
    /// The same number in each lane.
    fn splat(x: f32) -> Self;
    /// From memory.
    fn load(from: &[f32; LANES]) -> Self;
    /// To memory.
    fn store(self, to: &mut [f32; LANES]);
    /// Asks for the line of memory around an address, which need not be one that may be read.
    #[inline(always)]
    fn request(address: *const f32) {
        let _ = address;
    }
    /// `self * a + b`, rounded once.
    fn mul_add(self, a: Self, b: Self) -> Self;
    /// `self + other`.
    fn add(self, other: Self) -> Self;
    /// `self - other`.
    fn sub(self, other: Self) -> Self;
    /// `self * other`.
    fn mul(self, other: Self) -> Self;
    /// `self / other`.
    fn div(self, other: Self) -> Self;
    /// The square root.
    fn sqrt(self) -> Self;
    /// `self` where it is greater, else `other`: `other` where one of them is NaN.
    fn max(self, other: Self) -> Self;
    /// `self` where it is less, else `other`: `other` where one of them is NaN.
    fn min(self, other: Self) -> Self;
    /// `self` where it is at least 2^-126 in magnitude or NaN, else 0: arithmetic on smaller numbers is slow.
    fn normal_or_zero(self) -> Self;
    /// Without the sign.
    fn abs(self) -> Self;
    /// The magnitude of `self` (not negative) with the sign of `other`.
    fn with_sign_of(self, other: Self) -> Self;
    /// The number whose bits are the bits of `self`, shifted 23 to the left: its low bits become an exponent.
    fn low_bits_as_exponent(self) -> Self;

    /// The leading elements of a slice, and `fill` where it ends before the sixteenth.
    #[inline(always)]
    fn load_padded(from: &[f32], fill: f32) -> Self {
        if let Some(full) = from.first_chunk() {
            return Self::load(full);
        }
        let mut padded = [fill; LANES];
        padded[..from.len()].copy_from_slice(from);
        Self::load(&padded)
    }

    /// Stores as many lanes as the slice has elements, sixteen at most.
    #[inline(always)]
    fn store_cut(self, to: &mut [f32]) {
        if let Some(full) = to.first_chunk_mut() {
            return self.store(full);
        }
        let lanes = self.to_array();
        to.copy_from_slice(&lanes[..to.len()]);
    }

    /// The lanes.
    #[inline(always)]
    fn to_array(self) -> [f32; LANES] {
        let mut lanes = [0.0; LANES];
        self.store(&mut lanes);
        lanes
    }
}

/// Words in a vector of 32-bit words.
pub const WORDS: usize = 8;

/// Eight u64, for products of their low halves.
pub trait ParamWords: Copy {
    /// The same number in each lane.
    fn splat(x: u64) -> Self;
    /// From memory.
    fn load(from: &[u64; WORDS]) -> Self;
    /// To memory.
    fn store(self, to: &mut [u64; WORDS]);
    /// The product of the low 32 bits of both.
    fn mul_low(self, other: Self) -> Self;
    /// The high 32 bits.
    fn high(self) -> Self;
    /// Bit by bit, exclusive or.
    fn xor(self, other: Self) -> Self;
}

/// A computation over any vector type. `run` must be `#[inline(always)]`, as all that it calls on vectors: only then
/// does the whole of it get the instructions of its level.
pub trait Kernel {
    /// The type of its result.
    type Output;
    /// Computes it.
    fn run<V: Lanes>(self) -> Self::Output;
}

/// An instruction set that this machine has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Level(Set);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Set {
    /// Plain Rust: NEON on aarch64, where the compiler makes vectors of it.
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl Level {
    /// The widest set that this machine has. The standard library remembers what it found.
    pub fn best() -> Level {
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx512f") && has_avx2() {
                return Level(Set::Avx512);
            }
            if has_avx2() {
                return Level(Set::Avx2);
            }
        }
        Level(Set::Portable)
    }

    /// Every set that this machine has.
    #[cfg(test)]
    pub fn all() -> Vec<Level> {
        let mut all = vec![Level(Set::Portable)];
        #[cfg(target_arch = "x86_64")]
        {
            all.extend(has_avx2().then_some(Level(Set::Avx2)));
            all.extend((is_x86_feature_detected!("avx512f") && has_avx2()).then_some(Level(Set::Avx512)));
        }
        all
    }

    /// Runs a kernel on this set's vectors.
    pub fn run<K: Kernel>(self, kernel: K) -> K::Output {
        match self.0 {
            Set::Portable => kernel.run::<Plain>(),
            // SAFETY: a level with this set is made only where the machine has AVX2 and FMA.
            #[cfg(target_arch = "x86_64")]
            Set::Avx2 => unsafe { super::x86::run_avx2(kernel) },
            // SAFETY: a level with this set is made only where the machine has AVX-512F, AVX2 and FMA.
            #[cfg(target_arch = "x86_64")]
            Set::Avx512 => unsafe { super::x86::run_avx512(kernel) },
        }
    }
}

#[cfg(target_arch = "x86_64")]
fn has_avx2() -> bool {
    is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")
}

/// Vectors as arrays. Where the target has no fused multiply-add (x86-64 before 2013), each one is a library call:
/// right, and slow.
#[derive(Clone, Copy)]
struct Plain([f32; LANES]);

impl Plain {
    #[inline(always)]
    fn zip(self, other: Plain, f: impl Fn(f32, f32) -> f32) -> Plain {
        let mut result = self.0;
        for (a, b) in result.iter_mut().zip(other.0) {
            *a = f(*a, b);
        }
        Plain(result)
    }
}

impl Lanes for Plain {
    type ParamWords = PlainWords;
    const PANELS: [usize; 7] = [1, 4, 2, 1, 1, 1, 1];

    #[inline(always)]
    fn splat(x: f32) -> Plain {
        Plain([x; LANES])
    }

    #[inline(always)]
    fn load(from: &[f32; LANES]) -> Plain {
        Plain(*from)
    }

    #[inline(always)]
    fn store(self, to: &mut [f32; LANES]) {
        *to = self.0;
    }

    #[inline(always)]
    fn mul_add(self, a: Plain, b: Plain) -> Plain {
        let mut result = b.0;
        for ((b, x), a) in result.iter_mut().zip(self.0).zip(a.0) {
            *b = x.mul_add(a, *b);
        }
        Plain(result)
    }

    #[inline(always)]
    fn add(self, other: Plain) -> Plain {
        self.zip(other, |a, b| a + b)
    }

    #[inline(always)]
    fn sub(self, other: Plain) -> Plain {
        self.zip(other, |a, b| a - b)
    }

    #[inline(always)]
    fn mul(self, other: Plain) -> Plain {
        self.zip(other, |a, b| a * b)
    }

    #[inline(always)]
    fn div(self, other: Plain) -> Plain {
        self.zip(other, |a, b| a / b)
    }

    #[inline(always)]
    fn sqrt(self) -> Plain {
        Plain(self.0.map(f32::sqrt))
    }

    #[inline(always)]
    fn max(self, other: Plain) -> Plain {
        self.zip(other, |a, b| if a > b { a } else { b })
    }

    #[inline(always)]
    fn min(self, other: Plain) -> Plain {
        self.zip(other, |a, b| if a < b { a } else { b })
    }

    #[inline(always)]
    fn normal_or_zero(self) -> Plain {
        Plain(self.0.map(|x| if x.abs() < f32::MIN_POSITIVE { 0.0 } else { x }))
    }

    #[inline(always)]
    fn abs(self) -> Plain {
        Plain(self.0.map(f32::abs))
    }

    #[inline(always)]
    fn with_sign_of(self, other: Plain) -> Plain {
        self.zip(other, f32::copysign)
    }

    #[inline(always)]
    fn low_bits_as_exponent(self) -> Plain {
        Plain(self.0.map(|x| f32::from_bits(x.to_bits() << 23)))
    }
}

/// The words as an array.
#[derive(Clone, Copy)]
struct PlainWords([u64; WORDS]);

impl ParamWords for PlainWords {
    #[inline(always)]
    fn splat(x: u64) -> PlainWords {
        PlainWords([x; WORDS])
    }

    #[inline(always)]
    fn load(from: &[u64; WORDS]) -> PlainWords {
        PlainWords(*from)
    }

    #[inline(always)]
    fn store(self, to: &mut [u64; WORDS]) {
        *to = self.0;
    }

    #[inline(always)]
    fn mul_low(self, other: PlainWords) -> PlainWords {
        const LOW: u64 = 0xffff_ffff;
        PlainWords(std::array::from_fn(|i| (self.0[i] & LOW) * (other.0[i] & LOW)))
    }

    #[inline(always)]
    fn high(self) -> PlainWords {
        PlainWords(self.0.map(|x| x >> 32))
    }

    #[inline(always)]
    fn xor(self, other: PlainWords) -> PlainWords {
        PlainWords(std::array::from_fn(|i| self.0[i] ^ other.0[i]))
    }
}
