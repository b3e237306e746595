//! The instruction sets of x86.

use super::{Isa, Lane};
use std::arch::asm;
use std::arch::x86_64::*;

/// AVX2 with FMA. A value of it is only made by [`super::run`], where the
/// machine has both.
#[derive(Clone, Copy)]
pub struct Avx2;

impl Isa for Avx2 {
    const FMA: bool = true;

    const TILE: (usize, usize) = (4, 1);

    type Vector = [__m256; 2];

    #[inline(always)]
    fn zero() -> [__m256; 2] {
        Self::splat(0.0)
    }

    #[inline(always)]
    fn splat(value: f32) -> [__m256; 2] {
        // SAFETY: the machine has these instructions, as in all of this.
        unsafe { [_mm256_set1_ps(value); 2] }
    }

    #[inline(always)]
    fn load(lane: &Lane) -> [__m256; 2] {
        let start = lane.0.as_ptr();
        // SAFETY: a lane holds two vectors, aligned.
        unsafe { [_mm256_load_ps(start), _mm256_load_ps(start.add(8))] }
    }

    #[inline(always)]
    fn store(vector: [__m256; 2], lane: &mut Lane) {
        let start = lane.0.as_mut_ptr();
        // SAFETY: as in `load`.
        unsafe {
            _mm256_store_ps(start, vector[0]);
            _mm256_store_ps(start.add(8), vector[1]);
        }
    }

    #[inline(always)]
    fn madd(a: [__m256; 2], b: [__m256; 2], c: [__m256; 2]) -> [__m256; 2] {
        // SAFETY: as in `splat`.
        unsafe {
            [
                _mm256_fmadd_ps(a[0], b[0], c[0]),
                _mm256_fmadd_ps(a[1], b[1], c[1]),
            ]
        }
    }

    #[inline(always)]
    fn add(a: [__m256; 2], b: [__m256; 2]) -> [__m256; 2] {
        // SAFETY: as in `splat`.
        unsafe { [_mm256_add_ps(a[0], b[0]), _mm256_add_ps(a[1], b[1])] }
    }

    #[inline(always)]
    fn sub(a: [__m256; 2], b: [__m256; 2]) -> [__m256; 2] {
        // SAFETY: as in `splat`.
        unsafe { [_mm256_sub_ps(a[0], b[0]), _mm256_sub_ps(a[1], b[1])] }
    }

    #[inline(always)]
    fn mul(a: [__m256; 2], b: [__m256; 2]) -> [__m256; 2] {
        // SAFETY: as in `splat`.
        unsafe { [_mm256_mul_ps(a[0], b[0]), _mm256_mul_ps(a[1], b[1])] }
    }

    #[inline(always)]
    fn div(a: [__m256; 2], b: [__m256; 2]) -> [__m256; 2] {
        // SAFETY: as in `splat`.
        unsafe { [_mm256_div_ps(a[0], b[0]), _mm256_div_ps(a[1], b[1])] }
    }

    #[inline(always)]
    fn sqrt(a: [__m256; 2]) -> [__m256; 2] {
        // SAFETY: as in `splat`.
        a.map(|a| unsafe { _mm256_sqrt_ps(a) })
    }

    #[inline(always)]
    fn sum(a: [__m256; 2]) -> f32 {
        // SAFETY: as in `splat`.
        unsafe { sum_of_eight(_mm256_add_ps(a[0], a[1])) }
    }

    #[inline(always)]
    fn relu(a: [__m256; 2]) -> [__m256; 2] {
        // SAFETY: as in `splat`. Of a NaN and zero, this takes the zero.
        a.map(|a| unsafe { _mm256_max_ps(a, _mm256_setzero_ps()) })
    }

    #[inline(always)]
    fn above(a: [__m256; 2], b: [__m256; 2]) -> u32 {
        // SAFETY: as in `splat`.
        let bits = |i: usize| unsafe {
            _mm256_movemask_ps(_mm256_cmp_ps::<_CMP_GT_OQ>(a[i], b[i])) as u32
        };
        bits(0) | bits(1) << 8
    }

    #[inline(always)]
    unsafe fn load_racing(from: *const Lane) -> [__m256; 2] {
        let from = from.cast::<__m256>();
        // SAFETY: a lane holds two vectors; the rest is the caller's promise.
        unsafe { [load_racing_256(from), load_racing_256(from.add(1))] }
    }

    #[inline(always)]
    unsafe fn store_racing(vector: [__m256; 2], to: *mut Lane) {
        let to = to.cast::<__m256>();
        // SAFETY: as above.
        unsafe {
            store_racing_256(vector[0], to);
            store_racing_256(vector[1], to.add(1));
        }
    }
}

/// Whether the machine has all that [`Avx512`] takes.
pub fn has_avx512() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("fma")
}

/// AVX-512F. As [`Avx2`], only where the machine has it.
#[derive(Clone, Copy)]
pub struct Avx512;

impl Isa for Avx512 {
    const FMA: bool = true;

    const TILE: (usize, usize) = (8, 2);

    type Vector = __m512;

    #[inline(always)]
    fn zero() -> __m512 {
        Self::splat(0.0)
    }

    #[inline(always)]
    fn splat(value: f32) -> __m512 {
        // SAFETY: the machine has these instructions, as in all of this.
        unsafe { _mm512_set1_ps(value) }
    }

    #[inline(always)]
    fn load(lane: &Lane) -> __m512 {
        // SAFETY: a lane is one vector, aligned.
        unsafe { _mm512_load_ps(lane.0.as_ptr()) }
    }

    #[inline(always)]
    fn store(vector: __m512, lane: &mut Lane) {
        // SAFETY: as in `load`.
        unsafe { _mm512_store_ps(lane.0.as_mut_ptr(), vector) }
    }

    #[inline(always)]
    fn madd(a: __m512, b: __m512, c: __m512) -> __m512 {
        // SAFETY: as in `splat`.
        unsafe { _mm512_fmadd_ps(a, b, c) }
    }

    #[inline(always)]
    fn add(a: __m512, b: __m512) -> __m512 {
        // SAFETY: as in `splat`.
        unsafe { _mm512_add_ps(a, b) }
    }

    #[inline(always)]
    fn sub(a: __m512, b: __m512) -> __m512 {
        // SAFETY: as in `splat`.
        unsafe { _mm512_sub_ps(a, b) }
    }

    #[inline(always)]
    fn mul(a: __m512, b: __m512) -> __m512 {
        // SAFETY: as in `splat`.
        unsafe { _mm512_mul_ps(a, b) }
    }

    #[inline(always)]
    fn div(a: __m512, b: __m512) -> __m512 {
        // SAFETY: as in `splat`.
        unsafe { _mm512_div_ps(a, b) }
    }

    #[inline(always)]
    fn sqrt(a: __m512) -> __m512 {
        // SAFETY: as in `splat`.
        unsafe { _mm512_sqrt_ps(a) }
    }

    #[inline(always)]
    fn sum(a: __m512) -> f32 {
        // SAFETY: as in `splat`; the upper half takes AVX-512DQ, which `run`
        // asks for too.
        unsafe {
            let (low, high) = (_mm512_castps512_ps256(a), _mm512_extractf32x8_ps::<1>(a));
            sum_of_eight(_mm256_add_ps(low, high))
        }
    }

    #[inline(always)]
    fn relu(a: __m512) -> __m512 {
        // SAFETY: as in `splat`. Of a NaN and zero, this takes the zero.
        unsafe { _mm512_max_ps(a, _mm512_setzero_ps()) }
    }

    #[inline(always)]
    fn above(a: __m512, b: __m512) -> u32 {
        // SAFETY: as in `splat`.
        u32::from(unsafe { _mm512_cmp_ps_mask::<_CMP_GT_OQ>(a, b) })
    }

    #[inline(always)]
    unsafe fn load_racing(from: *const Lane) -> __m512 {
        // SAFETY: a lane is one vector; the rest is the caller's promise.
        unsafe { load_racing_512(from.cast()) }
    }

    #[inline(always)]
    unsafe fn store_racing(vector: __m512, to: *mut Lane) {
        // SAFETY: as above.
        unsafe { store_racing_512(vector, to.cast()) }
    }
}

// The language has no atomic vectors, so the instructions are written out: each
// of them moves whole aligned words, as relaxed atomics would.

/// # Safety
/// The machine has AVX, and `from` is valid and aligned; others may write it.
#[inline]
#[target_feature(enable = "avx")]
unsafe fn load_racing_256(from: *const __m256) -> __m256 {
    let vector;
    // SAFETY: reads what the caller says is valid.
    unsafe {
        asm!(
            "vmovaps {vector}, ymmword ptr [{from}]",
            vector = out(ymm_reg) vector,
            from = in(reg) from,
            options(nostack, preserves_flags, readonly),
        );
    }
    vector
}

/// # Safety
/// As [`load_racing_256`], to write.
#[inline]
#[target_feature(enable = "avx")]
unsafe fn store_racing_256(vector: __m256, to: *mut __m256) {
    // SAFETY: writes what the caller says is valid.
    unsafe {
        asm!(
            "vmovaps ymmword ptr [{to}], {vector}",
            vector = in(ymm_reg) vector,
            to = in(reg) to,
            options(nostack, preserves_flags),
        );
    }
}

/// # Safety
/// As [`load_racing_256`], with AVX-512F.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn load_racing_512(from: *const __m512) -> __m512 {
    let vector;
    // SAFETY: reads what the caller says is valid.
    unsafe {
        asm!(
            "vmovaps {vector}, zmmword ptr [{from}]",
            vector = out(zmm_reg) vector,
            from = in(reg) from,
            options(nostack, preserves_flags, readonly),
        );
    }
    vector
}

/// # Safety
/// As [`load_racing_512`], to write.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn store_racing_512(vector: __m512, to: *mut __m512) {
    // SAFETY: writes what the caller says is valid.
    unsafe {
        asm!(
            "vmovaps zmmword ptr [{to}], {vector}",
            vector = in(zmm_reg) vector,
            to = in(reg) to,
            options(nostack, preserves_flags),
        );
    }
}

/// Each half onto the other until one number is left.
///
/// # Safety
/// The machine has AVX2.
#[inline(always)]
unsafe fn sum_of_eight(a: __m256) -> f32 {
    // SAFETY: passed on to the caller.
    unsafe {
        let four = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps::<1>(a));
        let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
        _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps::<1>(two, two)))
    }
}
