//! Vectors of x86-64: two registers of AVX2 with FMA, or one of AVX-512.
//!
//! Values of these types exist only inside [`run_avx2`] and [`run_avx512`]: the types are private, and nothing else
//! names them. That is the reason of every `unsafe` below: an instruction that a method uses is one that its type's
//! `run` function requires.

use super::simd::{Kernel, LANES, Lanes, ParamWords, WORDS};
use std::arch::x86_64::*;

/// Runs a kernel with AVX2 and FMA.
#[target_feature(enable = "avx2,fma")]
pub fn run_avx2<K: Kernel>(kernel: K) -> K::Output {
    kernel.run::<Avx2>()
}

/// Runs a kernel with AVX-512F.
#[target_feature(enable = "avx512f,avx2,fma")]
pub fn run_avx512<K: Kernel>(kernel: K) -> K::Output {
    kernel.run::<Avx512>()
}

/// Lanes 0 to 7 and 8 to 15.
#[derive(Clone, Copy)]
struct Avx2(__m256, __m256);

/// One register.
#[derive(Clone, Copy)]
struct Avx512(__m512);

/// `f` on both halves of AVX2 vectors.
macro_rules! halves {
    ($f:ident($a:expr, $b:expr)) => {
        // SAFETY: inside `run_avx2` (see the head of the file).
        unsafe { Avx2($f($a.0, $b.0), $f($a.1, $b.1)) }
    };
    ($f:ident($a:expr, $b:expr, $c:expr)) => {
        // SAFETY: inside `run_avx2` (see the head of the file).
        unsafe { Avx2($f($a.0, $b.0, $c.0), $f($a.1, $b.1, $c.1)) }
    };
}

/// All bits set where a is not less than b, or one of them is NaN.
///
/// # Safety
/// Inside `run_avx2`.
#[inline(always)]
unsafe fn not_less(a: __m256, b: __m256) -> __m256 {
    // SAFETY: as said.
    unsafe { _mm256_cmp_ps::<_CMP_NLT_UQ>(a, b) }
}

impl Lanes for Avx2 {
    type ParamWords = Avx2Words;
    const PANELS: [usize; 7] = [1, 4, 2, 1, 1, 1, 1];

    #[inline(always)]
    fn splat(x: f32) -> Avx2 {
        // SAFETY: inside `run_avx2`.
        let half = unsafe { _mm256_set1_ps(x) };
        Avx2(half, half)
    }

    #[inline(always)]
    fn load(from: &[f32; LANES]) -> Avx2 {
        let from = from.as_ptr();
        // SAFETY: inside `run_avx2`; `from` points to sixteen floats.
        unsafe { Avx2(_mm256_loadu_ps(from), _mm256_loadu_ps(from.add(8))) }
    }

    #[inline(always)]
    fn store(self, to: &mut [f32; LANES]) {
        let to = to.as_mut_ptr();
        // SAFETY: inside `run_avx2`; `to` points to sixteen floats.
        unsafe {
            _mm256_storeu_ps(to, self.0);
            _mm256_storeu_ps(to.add(8), self.1);
        }
    }

    #[inline(always)]
    fn request(address: *const f32) {
        // SAFETY: a hint of the baseline, which reads and writes nothing.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(address.cast()) }
    }

    #[inline(always)]
    fn mul_add(self, a: Avx2, b: Avx2) -> Avx2 {
        halves!(_mm256_fmadd_ps(self, a, b))
    }

    #[inline(always)]
    fn add(self, other: Avx2) -> Avx2 {
        halves!(_mm256_add_ps(self, other))
    }

    #[inline(always)]
    fn sub(self, other: Avx2) -> Avx2 {
        halves!(_mm256_sub_ps(self, other))
    }

    #[inline(always)]
    fn mul(self, other: Avx2) -> Avx2 {
        halves!(_mm256_mul_ps(self, other))
    }

    #[inline(always)]
    fn div(self, other: Avx2) -> Avx2 {
        halves!(_mm256_div_ps(self, other))
    }

    #[inline(always)]
    fn sqrt(self) -> Avx2 {
        // SAFETY: inside `run_avx2`.
        unsafe { Avx2(_mm256_sqrt_ps(self.0), _mm256_sqrt_ps(self.1)) }
    }

    #[inline(always)]
    fn max(self, other: Avx2) -> Avx2 {
        halves!(_mm256_max_ps(self, other))
    }

    #[inline(always)]
    fn min(self, other: Avx2) -> Avx2 {
        halves!(_mm256_min_ps(self, other))
    }

    #[inline(always)]
    fn normal_or_zero(self) -> Avx2 {
        let least = Avx2::splat(f32::MIN_POSITIVE);
        let magnitude = self.abs();
        // Not less than, or NaN.
        let keep = halves!(not_less(magnitude, least));
        halves!(_mm256_and_ps(self, keep))
    }

    #[inline(always)]
    fn abs(self) -> Avx2 {
        let sign = Avx2::splat(-0.0);
        halves!(_mm256_andnot_ps(sign, self))
    }

    #[inline(always)]
    fn with_sign_of(self, other: Avx2) -> Avx2 {
        let sign = Avx2::splat(-0.0);
        let sign = halves!(_mm256_and_ps(sign, other));
        halves!(_mm256_or_ps(self, sign))
    }

    #[inline(always)]
    fn low_bits_as_exponent(self) -> Avx2 {
        // SAFETY: inside `run_avx2`.
        let shift = |x| unsafe { _mm256_castsi256_ps(_mm256_slli_epi32::<23>(_mm256_castps_si256(x))) };
        Avx2(shift(self.0), shift(self.1))
    }
}

/// Words 0 to 3 and 4 to 7.
#[derive(Clone, Copy)]
struct Avx2Words(__m256i, __m256i);

impl ParamWords for Avx2Words {
    #[inline(always)]
    fn splat(x: u64) -> Avx2Words {
        Self::load(&[x; WORDS])
    }

    #[inline(always)]
    fn load(from: &[u64; WORDS]) -> Avx2Words {
        let from = from.as_ptr().cast::<__m256i>();
        // SAFETY: inside `run_avx2`; `from` points to eight words.
        unsafe { Avx2Words(_mm256_loadu_si256(from), _mm256_loadu_si256(from.add(1))) }
    }

    #[inline(always)]
    fn store(self, to: &mut [u64; WORDS]) {
        let to = to.as_mut_ptr().cast::<__m256i>();
        // SAFETY: inside `run_avx2`; `to` points to eight words.
        unsafe {
            _mm256_storeu_si256(to, self.0);
            _mm256_storeu_si256(to.add(1), self.1);
        }
    }

    #[inline(always)]
    fn mul_low(self, other: Avx2Words) -> Avx2Words {
        // SAFETY: inside `run_avx2`.
        unsafe { Avx2Words(_mm256_mul_epu32(self.0, other.0), _mm256_mul_epu32(self.1, other.1)) }
    }

    #[inline(always)]
    fn high(self) -> Avx2Words {
        // SAFETY: inside `run_avx2`.
        unsafe { Avx2Words(_mm256_srli_epi64::<32>(self.0), _mm256_srli_epi64::<32>(self.1)) }
    }

    #[inline(always)]
    fn xor(self, other: Avx2Words) -> Avx2Words {
        // SAFETY: inside `run_avx2`.
        unsafe { Avx2Words(_mm256_xor_si256(self.0, other.0), _mm256_xor_si256(self.1, other.1)) }
    }
}

/// An operation of AVX-512.
macro_rules! whole {
    ($f:ident($($a:expr),*)) => {
        // SAFETY: inside `run_avx512` (see the head of the file).
        unsafe { Avx512($f($($a.0),*)) }
    };
}

/// Only the sign bits.
const SIGN: i32 = i32::MIN;

impl Lanes for Avx512 {
    type ParamWords = Avx512Words;
    const PANELS: [usize; 7] = [1, 4, 4, 4, 4, 4, 4];

    #[inline(always)]
    fn splat(x: f32) -> Avx512 {
        // SAFETY: inside `run_avx512`.
        Avx512(unsafe { _mm512_set1_ps(x) })
    }

    #[inline(always)]
    fn load(from: &[f32; LANES]) -> Avx512 {
        // SAFETY: inside `run_avx512`; sixteen floats.
        Avx512(unsafe { _mm512_loadu_ps(from.as_ptr()) })
    }

    #[inline(always)]
    fn store(self, to: &mut [f32; LANES]) {
        // SAFETY: inside `run_avx512`; sixteen floats.
        unsafe { _mm512_storeu_ps(to.as_mut_ptr(), self.0) }
    }

    #[inline(always)]
    fn request(address: *const f32) {
        // SAFETY: a hint of the baseline, which reads and writes nothing.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(address.cast()) }
    }

    #[inline(always)]
    fn mul_add(self, a: Avx512, b: Avx512) -> Avx512 {
        whole!(_mm512_fmadd_ps(self, a, b))
    }

    #[inline(always)]
    fn add(self, other: Avx512) -> Avx512 {
        whole!(_mm512_add_ps(self, other))
    }

    #[inline(always)]
    fn sub(self, other: Avx512) -> Avx512 {
        whole!(_mm512_sub_ps(self, other))
    }

    #[inline(always)]
    fn mul(self, other: Avx512) -> Avx512 {
        whole!(_mm512_mul_ps(self, other))
    }

    #[inline(always)]
    fn div(self, other: Avx512) -> Avx512 {
        whole!(_mm512_div_ps(self, other))
    }

    #[inline(always)]
    fn sqrt(self) -> Avx512 {
        whole!(_mm512_sqrt_ps(self))
    }

    #[inline(always)]
    fn max(self, other: Avx512) -> Avx512 {
        whole!(_mm512_max_ps(self, other))
    }

    #[inline(always)]
    fn min(self, other: Avx512) -> Avx512 {
        whole!(_mm512_min_ps(self, other))
    }

    #[inline(always)]
    fn normal_or_zero(self) -> Avx512 {
        // SAFETY: inside `run_avx512`.
        unsafe {
            let least = _mm512_set1_ps(f32::MIN_POSITIVE);
            let keep = _mm512_cmp_ps_mask::<_CMP_NLT_UQ>(_mm512_abs_ps(self.0), least);
            Avx512(_mm512_maskz_mov_ps(keep, self.0))
        }
    }

    #[inline(always)]
    fn abs(self) -> Avx512 {
        whole!(_mm512_abs_ps(self))
    }

    #[inline(always)]
    fn with_sign_of(self, other: Avx512) -> Avx512 {
        // SAFETY: inside `run_avx512`. (And and or of floats need AVX-512DQ, of integers AVX-512F.)
        unsafe {
            let sign = _mm512_and_si512(_mm512_castps_si512(other.0), _mm512_set1_epi32(SIGN));
            Avx512(_mm512_castsi512_ps(_mm512_or_si512(_mm512_castps_si512(self.0), sign)))
        }
    }

    #[inline(always)]
    fn low_bits_as_exponent(self) -> Avx512 {
        // SAFETY: inside `run_avx512`.
        unsafe { Avx512(_mm512_castsi512_ps(_mm512_slli_epi32::<23>(_mm512_castps_si512(self.0)))) }
    }
}

/// One register of words.
#[derive(Clone, Copy)]
struct Avx512Words(__m512i);

impl ParamWords for Avx512Words {
    #[inline(always)]
    fn splat(x: u64) -> Avx512Words {
        Self::load(&[x; WORDS])
    }

    #[inline(always)]
    fn load(from: &[u64; WORDS]) -> Avx512Words {
        // SAFETY: inside `run_avx512`; eight words.
        Avx512Words(unsafe { _mm512_loadu_si512(from.as_ptr().cast()) })
    }

    #[inline(always)]
    fn store(self, to: &mut [u64; WORDS]) {
        // SAFETY: inside `run_avx512`; eight words.
        unsafe { _mm512_storeu_si512(to.as_mut_ptr().cast(), self.0) }
    }

    #[inline(always)]
    fn mul_low(self, other: Avx512Words) -> Avx512Words {
        // SAFETY: inside `run_avx512`.
        Avx512Words(unsafe { _mm512_mul_epu32(self.0, other.0) })
    }

    #[inline(always)]
    fn high(self) -> Avx512Words {
        // SAFETY: inside `run_avx512`.
        Avx512Words(unsafe { _mm512_srli_epi64::<32>(self.0) })
    }

    #[inline(always)]
    fn xor(self, other: Avx512Words) -> Avx512Words {
        // SAFETY: inside `run_avx512`.
        Avx512Words(unsafe { _mm512_xor_si512(self.0, other.0) })
    }
}
