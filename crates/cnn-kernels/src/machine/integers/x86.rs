//! Registers of AVX-512 VNNI, of AVX-VNNI and of AVX2 alone.
#![allow(unsafe_code, unsafe_op_in_unsafe_fn)]

use std::arch::x86_64::*;

use crate::machine::integers::{Integers, Requantize};

/// Sixteen lanes, dot products by AVX-512 VNNI.
#[derive(Clone, Copy)]
pub(crate) struct Avx512Integers(__m512i);

/// Eight lanes, dot products by AVX-512 VNNI: half of [`Avx512Integers`], for what is left.
pub(crate) type HalfIntegers = Ymm<AVX512_VNNI>;

/// Eight lanes, dot products by AVX-VNNI.
pub(crate) type AvxVnniIntegers = Ymm<AVX_VNNI>;

/// Eight lanes, dot products by products of 16-bit numbers: nothing saturates.
pub(crate) type Avx2Integers = Ymm<AVX2>;

const AVX512_VNNI: u8 = 0;
const AVX_VNNI: u8 = 1;
const AVX2: u8 = 2;

/// Eight lanes, with the dot products of one of three instruction sets.
#[derive(Clone, Copy)]
pub(crate) struct Ymm<const DOT: u8>(__m256i);

/// The first `count` of up to 64 lanes.
#[inline(always)]
fn mask(count: usize) -> u64 {
    if count >= 64 {
        u64::MAX
    } else {
        (1 << count) - 1
    }
}

impl Integers for Avx512Integers {
    type Floats = __m512;
    const LANES: usize = 16;

    #[inline(always)]
    unsafe fn splat(value: i32) -> Self {
        Self(_mm512_set1_epi32(value))
    }
    #[inline(always)]
    unsafe fn load(from: *const i32) -> Self {
        Self(_mm512_loadu_si512(from.cast()))
    }
    #[inline(always)]
    unsafe fn store_first(self, to: *mut i32, count: usize) {
        _mm512_mask_storeu_epi32(to, mask(count) as __mmask16, self.0);
    }
    #[inline(always)]
    unsafe fn load_bytes(from: *const u8) -> Self {
        Self(_mm512_loadu_si512(from.cast()))
    }
    #[inline(always)]
    unsafe fn load_first_bytes(from: *const u8, count: usize) -> Self {
        Self(_mm512_maskz_loadu_epi8(mask(count), from.cast()))
    }
    #[inline(always)]
    unsafe fn store_bytes(self, to: *mut u8) {
        _mm512_storeu_si512(to.cast(), self.0);
    }
    #[inline(always)]
    unsafe fn store_first_bytes(self, to: *mut u8, count: usize) {
        _mm512_mask_storeu_epi8(to.cast(), mask(count), self.0);
    }
    #[inline(always)]
    unsafe fn splat_quad(from: *const u8) -> Self {
        Self(_mm512_set1_epi32(from.cast::<i32>().read_unaligned()))
    }
    #[inline(always)]
    unsafe fn add_dot(self, bytes: Self, weights: Self) -> Self {
        Self(_mm512_dpbusd_epi32(self.0, bytes.0, weights.0))
    }
    #[inline(always)]
    unsafe fn interleave(rows: [Self; 4]) -> [Self; 4] {
        let [Self(a), Self(b), Self(c), Self(d)] = rows;
        let low = [_mm512_unpacklo_epi8(a, b), _mm512_unpacklo_epi8(c, d)];
        let high = [_mm512_unpackhi_epi8(a, b), _mm512_unpackhi_epi8(c, d)];
        [
            Self(_mm512_unpacklo_epi16(low[0], low[1])),
            Self(_mm512_unpackhi_epi16(low[0], low[1])),
            Self(_mm512_unpacklo_epi16(high[0], high[1])),
            Self(_mm512_unpackhi_epi16(high[0], high[1])),
        ]
    }
    #[inline(always)]
    unsafe fn load_floats(from: *const f32) -> __m512 {
        _mm512_loadu_ps(from)
    }
    #[inline(always)]
    unsafe fn scaled(self, factors: __m512) -> __m512 {
        _mm512_mul_ps(_mm512_cvtepi32_ps(self.0), factors)
    }
    #[inline(always)]
    unsafe fn load_as_lanes(from: *const u8, count: usize) -> Self {
        let bytes = _mm_maskz_loadu_epi8(mask(count) as __mmask16, from.cast());
        Self(_mm512_cvtepu8_epi32(bytes))
    }
    #[inline(always)]
    unsafe fn add_scaled(floats: __m512, values: Self, zero_point: i32, factor: f32) -> __m512 {
        let values = _mm512_sub_epi32(values.0, _mm512_set1_epi32(zero_point));
        let product = _mm512_mul_ps(_mm512_cvtepi32_ps(values), _mm512_set1_ps(factor));
        _mm512_add_ps(floats, product)
    }
    #[inline(always)]
    unsafe fn gathered(floats: [__m512; 4], to: &Requantize) -> Self {
        let far = _mm512_set1_ps(Requantize::FAR);
        // What is far below stays below, whatever it is converted or saturates to.
        let steps = |v: usize| {
            let near = if to.far {
                _mm512_min_ps(floats[v], far)
            } else {
                floats[v]
            };
            _mm512_cvtps_epi32(near)
        };
        let pairs = [
            _mm512_packs_epi32(steps(0), steps(1)),
            _mm512_packs_epi32(steps(2), steps(3)),
        ];
        let zero_point = _mm512_set1_epi16(i16::from(to.zero_point));
        let bytes = _mm512_packus_epi16(
            _mm512_adds_epi16(pairs[0], zero_point),
            _mm512_adds_epi16(pairs[1], zero_point),
        );
        let raised = _mm512_max_epu8(bytes, _mm512_set1_epi8(to.low as i8));
        Self(_mm512_min_epu8(raised, _mm512_set1_epi8(to.high as i8)))
    }
    #[inline(always)]
    unsafe fn store_gathered(self, to: [*mut u8; 4], counts: [usize; 4]) {
        // Byte fours of register `v` lie at `v` of every 16 bytes.
        let order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
        let bytes = _mm512_permutexvar_epi32(order, self.0);
        let parts = [
            _mm512_castsi512_si128(bytes),
            _mm512_extracti32x4_epi32::<1>(bytes),
            _mm512_extracti32x4_epi32::<2>(bytes),
            _mm512_extracti32x4_epi32::<3>(bytes),
        ];
        for (v, part) in parts.into_iter().enumerate() {
            if counts[v] == Self::LANES {
                _mm_storeu_si128(to[v].cast(), part);
            } else {
                _mm_mask_storeu_epi8(to[v].cast(), mask(counts[v]) as __mmask16, part);
            }
        }
    }
}

impl<const DOT: u8> Integers for Ymm<DOT> {
    type Floats = __m256;
    const LANES: usize = 8;

    #[inline(always)]
    unsafe fn splat(value: i32) -> Self {
        Self(_mm256_set1_epi32(value))
    }
    #[inline(always)]
    unsafe fn load(from: *const i32) -> Self {
        Self(_mm256_loadu_si256(from.cast()))
    }
    #[inline(always)]
    unsafe fn store_first(self, to: *mut i32, count: usize) {
        let lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
        let mask = _mm256_cmpgt_epi32(_mm256_set1_epi32(count as i32), lanes);
        _mm256_maskstore_epi32(to, mask, self.0);
    }
    #[inline(always)]
    unsafe fn load_bytes(from: *const u8) -> Self {
        Self(_mm256_loadu_si256(from.cast()))
    }
    #[inline(always)]
    unsafe fn load_first_bytes(from: *const u8, count: usize) -> Self {
        if count >= 32 {
            return Self::load_bytes(from);
        }
        let mut bytes = [0u8; 32];
        std::ptr::copy_nonoverlapping(from, bytes.as_mut_ptr(), count);
        Self::load_bytes(bytes.as_ptr())
    }
    #[inline(always)]
    unsafe fn store_bytes(self, to: *mut u8) {
        _mm256_storeu_si256(to.cast(), self.0);
    }
    #[inline(always)]
    unsafe fn store_first_bytes(self, to: *mut u8, count: usize) {
        if count >= 32 {
            return self.store_bytes(to);
        }
        let mut bytes = [0u8; 32];
        self.store_bytes(bytes.as_mut_ptr());
        std::ptr::copy_nonoverlapping(bytes.as_ptr(), to, count);
    }
    #[inline(always)]
    unsafe fn splat_quad(from: *const u8) -> Self {
        Self(_mm256_set1_epi32(from.cast::<i32>().read_unaligned()))
    }
    #[inline(always)]
    unsafe fn add_dot(self, bytes: Self, weights: Self) -> Self {
        if DOT == AVX512_VNNI {
            return Self(_mm256_dpbusd_epi32(self.0, bytes.0, weights.0));
        }
        if DOT == AVX_VNNI {
            return Self(_mm256_dpbusd_avx_epi32(self.0, bytes.0, weights.0));
        }
        // The first and third, then the second and fourth byte of each lane as 16-bit numbers.
        let even = _mm256_and_si256(bytes.0, _mm256_set1_epi32(0x00FF_00FF));
        let odd = _mm256_srli_epi16::<8>(bytes.0);
        let even_weights = _mm256_srai_epi16::<8>(_mm256_slli_epi16::<8>(weights.0));
        let odd_weights = _mm256_srai_epi16::<8>(weights.0);
        let sum = _mm256_add_epi32(self.0, _mm256_madd_epi16(even, even_weights));
        Self(_mm256_add_epi32(sum, _mm256_madd_epi16(odd, odd_weights)))
    }
    #[inline(always)]
    unsafe fn interleave(rows: [Self; 4]) -> [Self; 4] {
        let [Self(a), Self(b), Self(c), Self(d)] = rows;
        let low = [_mm256_unpacklo_epi8(a, b), _mm256_unpacklo_epi8(c, d)];
        let high = [_mm256_unpackhi_epi8(a, b), _mm256_unpackhi_epi8(c, d)];
        [
            Self(_mm256_unpacklo_epi16(low[0], low[1])),
            Self(_mm256_unpackhi_epi16(low[0], low[1])),
            Self(_mm256_unpacklo_epi16(high[0], high[1])),
            Self(_mm256_unpackhi_epi16(high[0], high[1])),
        ]
    }
    #[inline(always)]
    unsafe fn load_floats(from: *const f32) -> __m256 {
        _mm256_loadu_ps(from)
    }
    #[inline(always)]
    unsafe fn scaled(self, factors: __m256) -> __m256 {
        _mm256_mul_ps(_mm256_cvtepi32_ps(self.0), factors)
    }
    #[inline(always)]
    unsafe fn load_as_lanes(from: *const u8, count: usize) -> Self {
        let bytes = if count >= Self::LANES {
            _mm_loadl_epi64(from.cast())
        } else {
            let mut bytes = [0u8; 8];
            std::ptr::copy_nonoverlapping(from, bytes.as_mut_ptr(), count);
            _mm_loadl_epi64(bytes.as_ptr().cast())
        };
        Self(_mm256_cvtepu8_epi32(bytes))
    }
    #[inline(always)]
    unsafe fn add_scaled(floats: __m256, values: Self, zero_point: i32, factor: f32) -> __m256 {
        let values = _mm256_sub_epi32(values.0, _mm256_set1_epi32(zero_point));
        let product = _mm256_mul_ps(_mm256_cvtepi32_ps(values), _mm256_set1_ps(factor));
        _mm256_add_ps(floats, product)
    }
    #[inline(always)]
    unsafe fn gathered(floats: [__m256; 4], to: &Requantize) -> Self {
        let far = _mm256_set1_ps(Requantize::FAR);
        // What is far below stays below, whatever it is converted or saturates to.
        let steps = |v: usize| {
            let near = if to.far {
                _mm256_min_ps(floats[v], far)
            } else {
                floats[v]
            };
            _mm256_cvtps_epi32(near)
        };
        let pairs = [
            _mm256_packs_epi32(steps(0), steps(1)),
            _mm256_packs_epi32(steps(2), steps(3)),
        ];
        let zero_point = _mm256_set1_epi16(i16::from(to.zero_point));
        let bytes = _mm256_packus_epi16(
            _mm256_adds_epi16(pairs[0], zero_point),
            _mm256_adds_epi16(pairs[1], zero_point),
        );
        let raised = _mm256_max_epu8(bytes, _mm256_set1_epi8(to.low as i8));
        Self(_mm256_min_epu8(raised, _mm256_set1_epi8(to.high as i8)))
    }
    #[inline(always)]
    unsafe fn store_gathered(self, to: [*mut u8; 4], counts: [usize; 4]) {
        // Byte fours of register `v` lie at `v` of every 16 bytes.
        let order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
        let bytes = _mm256_permutevar8x32_epi32(self.0, order);
        let halves = [
            _mm256_castsi256_si128(bytes),
            _mm256_extracti128_si256::<1>(bytes),
        ];
        let parts = [
            halves[0],
            _mm_unpackhi_epi64(halves[0], halves[0]),
            halves[1],
            _mm_unpackhi_epi64(halves[1], halves[1]),
        ];
        for (v, part) in parts.into_iter().enumerate() {
            if counts[v] == Self::LANES {
                _mm_storel_epi64(to[v].cast(), part);
            } else {
                let mut all = [0u8; 8];
                _mm_storel_epi64(all.as_mut_ptr().cast(), part);
                std::ptr::copy_nonoverlapping(all.as_ptr(), to[v], counts[v]);
            }
        }
    }
}
