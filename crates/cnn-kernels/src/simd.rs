//! A register of f32 lanes: the one thing that differs between instruction sets, so that each kernel is written once.
#![allow(unsafe_code, unsafe_op_in_unsafe_fn)]

/// A register of [`Simd::LANES`] values.
///
/// # Safety
/// Every method may run only on a processor that has the implementor's instructions, and only inlined into a function that enables
/// them (else it is merely slow). Pointers must be valid for as many values as the method says.
pub(crate) trait Simd: Copy {
    /// Values per register.
    const LANES: usize;

    /// `value` in every lane.
    unsafe fn splat(value: f32) -> Self;
    /// [`Simd::LANES`] values from `from`, which needs no alignment.
    unsafe fn load(from: *const f32) -> Self;
    /// The first `count` values from `from`, zeros in the other lanes; no other memory is touched. `count` is at most the lanes.
    unsafe fn load_first(from: *const f32, count: usize) -> Self;
    /// Writes [`Simd::LANES`] values.
    unsafe fn store(self, to: *mut f32);
    /// Writes the first `count` values and touches no other memory.
    unsafe fn store_first(self, to: *mut f32, count: usize);
    /// `self + other`.
    unsafe fn add(self, other: Self) -> Self;
    /// `self + a · b`, rounded once where the processor can.
    unsafe fn add_product(self, a: Self, b: Self) -> Self;
}

/// Plain arrays, which the compiler turns into whatever the target guarantees (SSE2, NEON).
#[derive(Clone, Copy)]
pub(crate) struct Portable([f32; 4]);

impl Simd for Portable {
    const LANES: usize = 4;

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        Self([value; 4])
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        Self(from.cast::<[f32; 4]>().read_unaligned())
    }
    #[inline(always)]
    unsafe fn load_first(from: *const f32, count: usize) -> Self {
        let mut values = [0.; 4];
        std::ptr::copy_nonoverlapping(from, values.as_mut_ptr(), count);
        Self(values)
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        to.cast::<[f32; 4]>().write_unaligned(self.0);
    }
    #[inline(always)]
    unsafe fn store_first(self, to: *mut f32, count: usize) {
        std::ptr::copy_nonoverlapping(self.0.as_ptr(), to, count);
    }
    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        Self(std::array::from_fn(|lane| self.0[lane] + other.0[lane]))
    }
    #[inline(always)]
    unsafe fn add_product(self, a: Self, b: Self) -> Self {
        Self(std::array::from_fn(|lane| self.0[lane] + a.0[lane] * b.0[lane]))
    }
}

#[cfg(target_arch = "x86_64")]
pub(crate) use x86::{Avx2, Avx512};

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::Simd;

    /// AVX2 with fused multiply-add.
    #[derive(Clone, Copy)]
    pub(crate) struct Avx2(__m256);

    impl Avx2 {
        /// All bits set in the first `count` of eight lanes.
        #[inline(always)]
        unsafe fn mask(count: usize) -> __m256i {
            let lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
            _mm256_cmpgt_epi32(_mm256_set1_epi32(count as i32), lanes)
        }
    }

    impl Simd for Avx2 {
        const LANES: usize = 8;

        #[inline(always)]
        unsafe fn splat(value: f32) -> Self {
            Self(_mm256_set1_ps(value))
        }
        #[inline(always)]
        unsafe fn load(from: *const f32) -> Self {
            Self(_mm256_loadu_ps(from))
        }
        #[inline(always)]
        unsafe fn load_first(from: *const f32, count: usize) -> Self {
            Self(_mm256_maskload_ps(from, Self::mask(count)))
        }
        #[inline(always)]
        unsafe fn store(self, to: *mut f32) {
            _mm256_storeu_ps(to, self.0);
        }
        #[inline(always)]
        unsafe fn store_first(self, to: *mut f32, count: usize) {
            _mm256_maskstore_ps(to, Self::mask(count), self.0);
        }
        #[inline(always)]
        unsafe fn add(self, other: Self) -> Self {
            Self(_mm256_add_ps(self.0, other.0))
        }
        #[inline(always)]
        unsafe fn add_product(self, a: Self, b: Self) -> Self {
            Self(_mm256_fmadd_ps(a.0, b.0, self.0))
        }
    }

    /// AVX-512, its foundation is enough.
    #[derive(Clone, Copy)]
    pub(crate) struct Avx512(__m512);

    /// The first `count` of sixteen lanes.
    #[inline(always)]
    fn mask(count: usize) -> __mmask16 {
        ((1u32 << count) - 1) as __mmask16
    }

    impl Simd for Avx512 {
        const LANES: usize = 16;

        #[inline(always)]
        unsafe fn splat(value: f32) -> Self {
            Self(_mm512_set1_ps(value))
        }
        #[inline(always)]
        unsafe fn load(from: *const f32) -> Self {
            Self(_mm512_loadu_ps(from))
        }
        #[inline(always)]
        unsafe fn load_first(from: *const f32, count: usize) -> Self {
            Self(_mm512_maskz_loadu_ps(mask(count), from))
        }
        #[inline(always)]
        unsafe fn store(self, to: *mut f32) {
            _mm512_storeu_ps(to, self.0);
        }
        #[inline(always)]
        unsafe fn store_first(self, to: *mut f32, count: usize) {
            _mm512_mask_storeu_ps(to, mask(count), self.0);
        }
        #[inline(always)]
        unsafe fn add(self, other: Self) -> Self {
            Self(_mm512_add_ps(self.0, other.0))
        }
        #[inline(always)]
        unsafe fn add_product(self, a: Self, b: Self) -> Self {
            Self(_mm512_fmadd_ps(a.0, b.0, self.0))
        }
    }
}
