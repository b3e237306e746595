//! Vector registers by name, for the few loops that must not depend on what
//! the compiler makes of them: tiles of products that live in registers.
//!
//! The plainer [`super::simd`] lets the compiler choose instructions; with
//! tiles of accumulators it chose tenfold slower ones now and then.

/// One register of numbers.
pub trait Vector: Copy {
    /// Numbers in it.
    const LEN: usize;
    /// Rows of accumulators, two registers each, that fit into the register
    /// file beside what they are made of.
    const ROWS: usize;

    fn splat(value: f32) -> Self;

    /// # Safety
    /// `from` must be valid for [`Self::LEN`] numbers, aligned or not.
    unsafe fn load(from: *const f32) -> Self;

    /// # Safety
    /// As [`Self::load`], to write.
    unsafe fn store(self, to: *mut f32);

    fn add(self, other: Self) -> Self;

    /// `self + a * b`, rounded once where the machine can.
    fn fma(self, a: Self, b: Self) -> Self;

    /// The larger of both, place by place.
    fn max(self, other: Self) -> Self;

    /// One bit for each place where it is larger.
    fn above(self, threshold: Self) -> u32;
}

/// Work that is compiled once for each kind of register. `call` and what it
/// calls must be `#[inline(always)]`: only code that is inlined into the copy
/// is compiled for the copy's instructions.
pub trait VectorJob {
    type Output;

    fn call<V: Vector>(self) -> Self::Output;
}

/// Runs a job with the widest registers there are.
pub fn run<J: VectorJob>(job: J) -> J::Output {
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx512f") {
            // SAFETY: the machine was just asked.
            return unsafe { x86::avx512(job) };
        }
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            // SAFETY: as above.
            return unsafe { x86::avx2(job) };
        }
    }
    job.call::<Four>()
}

/// Four numbers: one register of every machine of today.
#[derive(Clone, Copy)]
pub struct Four([f32; 4]);

impl Four {
    #[inline(always)]
    fn zip(self, other: Self, f: impl Fn(f32, f32) -> f32) -> Self {
        Self(std::array::from_fn(|i| f(self.0[i], other.0[i])))
    }
}

impl Vector for Four {
    const LEN: usize = 4;
    const ROWS: usize = 4;

    #[inline(always)]
    fn splat(value: f32) -> Self {
        Self([value; 4])
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the caller's promise; an array of numbers is their run.
        Self(unsafe { from.cast::<[f32; 4]>().read_unaligned() })
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: as in `load`.
        unsafe { to.cast::<[f32; 4]>().write_unaligned(self.0) }
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        self.zip(other, |a, b| a + b)
    }

    #[inline(always)]
    fn fma(self, a: Self, b: Self) -> Self {
        let products = a.zip(b, |a, b| a * b);
        if cfg!(target_arch = "aarch64") {
            return Self(std::array::from_fn(|i| a.0[i].mul_add(b.0[i], self.0[i])));
        }
        self.add(products)
    }

    #[inline(always)]
    fn max(self, other: Self) -> Self {
        self.zip(other, |a, b| if a > b { a } else { b })
    }

    #[inline(always)]
    fn above(self, threshold: Self) -> u32 {
        let bit = |i: usize| u32::from(self.0[i] > threshold.0[i]) << i;
        bit(0) | bit(1) | bit(2) | bit(3)
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{Vector, VectorJob};
    use std::arch::x86_64::*;

    #[target_feature(enable = "avx512f")]
    pub unsafe fn avx512<J: VectorJob>(job: J) -> J::Output {
        job.call::<Avx512>()
    }

    #[target_feature(enable = "avx2,fma")]
    pub unsafe fn avx2<J: VectorJob>(job: J) -> J::Output {
        job.call::<Avx2>()
    }

    /// Made only in [`avx512`], after the machine was asked.
    #[derive(Clone, Copy)]
    struct Avx512(__m512);

    /// Made only in [`avx2`], after the machine was asked.
    #[derive(Clone, Copy)]
    struct Avx2(__m256);

    // SAFETY of every block: the instructions are there, see the types.
    impl Vector for Avx512 {
        const LEN: usize = 16;
        const ROWS: usize = 8;

        #[inline(always)]
        fn splat(value: f32) -> Self {
            Self(unsafe { _mm512_set1_ps(value) })
        }

        #[inline(always)]
        unsafe fn load(from: *const f32) -> Self {
            Self(unsafe { _mm512_loadu_ps(from) })
        }

        #[inline(always)]
        unsafe fn store(self, to: *mut f32) {
            unsafe { _mm512_storeu_ps(to, self.0) }
        }

        #[inline(always)]
        fn add(self, other: Self) -> Self {
            Self(unsafe { _mm512_add_ps(self.0, other.0) })
        }

        #[inline(always)]
        fn fma(self, a: Self, b: Self) -> Self {
            Self(unsafe { _mm512_fmadd_ps(a.0, b.0, self.0) })
        }

        #[inline(always)]
        fn max(self, other: Self) -> Self {
            Self(unsafe { _mm512_max_ps(self.0, other.0) })
        }

        #[inline(always)]
        fn above(self, threshold: Self) -> u32 {
            u32::from(unsafe { _mm512_cmp_ps_mask::<_CMP_GT_OQ>(self.0, threshold.0) })
        }
    }

    impl Vector for Avx2 {
        const LEN: usize = 8;
        const ROWS: usize = 4;

        #[inline(always)]
        fn splat(value: f32) -> Self {
            Self(unsafe { _mm256_set1_ps(value) })
        }

        #[inline(always)]
        unsafe fn load(from: *const f32) -> Self {
            Self(unsafe { _mm256_loadu_ps(from) })
        }

        #[inline(always)]
        unsafe fn store(self, to: *mut f32) {
            unsafe { _mm256_storeu_ps(to, self.0) }
        }

        #[inline(always)]
        fn add(self, other: Self) -> Self {
            Self(unsafe { _mm256_add_ps(self.0, other.0) })
        }

        #[inline(always)]
        fn fma(self, a: Self, b: Self) -> Self {
            Self(unsafe { _mm256_fmadd_ps(a.0, b.0, self.0) })
        }

        #[inline(always)]
        fn max(self, other: Self) -> Self {
            Self(unsafe { _mm256_max_ps(self.0, other.0) })
        }

        #[inline(always)]
        fn above(self, threshold: Self) -> u32 {
            let larger = unsafe { _mm256_cmp_ps::<_CMP_GT_OQ>(self.0, threshold.0) };
            (unsafe { _mm256_movemask_ps(larger) }) as u32
        }
    }
}
