//! A register of f32 lanes: the one thing that differs between instruction sets, so that each
//! kernel is written once.
#![allow(unsafe_code, unsafe_op_in_unsafe_fn)]

/// Lanes of the widest register.
pub(crate) const MAX_LANES: usize = 16;

/// A register of [`Simd::LANES`] values.
///
/// # Safety
/// Every method may run only on a processor that has the implementor's instructions, and only
/// inlined into a function that enables them (else it is merely slow). Pointers must be valid for
/// as many values as the method says.
pub(crate) trait Simd: Copy {
    /// Values per register.
    const LANES: usize;

    /// `value` in every lane.
    unsafe fn splat(value: f32) -> Self;
    /// [`Simd::LANES`] values from `from`, which needs no alignment.
    unsafe fn load(from: *const f32) -> Self;
    /// The first `count` values from `from`, zeros in the other lanes; no other memory is touched.
    /// `count` is at most the lanes.
    unsafe fn load_first(from: *const f32, count: usize) -> Self;
    /// Writes [`Simd::LANES`] values.
    unsafe fn store(self, to: *mut f32);
    /// Writes the first `count` values and touches no other memory.
    unsafe fn store_first(self, to: *mut f32, count: usize);
    /// `self + other`.
    unsafe fn add(self, other: Self) -> Self;
    /// `self + a · b`, rounded once where the processor can.
    unsafe fn add_product(self, a: Self, b: Self) -> Self;
    /// `self · other`.
    unsafe fn multiply(self, other: Self) -> Self;
    /// `self / other`.
    unsafe fn divide(self, other: Self) -> Self;
    /// `2^n` in each lane, where the lowest bits of the lane hold `n` as an integer, from -126 to
    /// 127.
    unsafe fn power_of_two(self) -> Self;
    /// `yes` where `self > than`, else `no`.
    unsafe fn where_greater(self, than: Self, yes: Self, no: Self) -> Self;
    /// Each lane within two bounds, of which the first is not the greater; NaN stays NaN.
    unsafe fn within(self, low: Self, high: Self) -> Self;
    /// Where `value` is greater than `self`, or the first NaN of the two, `value` and
    /// `value_place`; elsewhere `self` and `place`.
    unsafe fn larger(self, place: Self, value: Self, value_place: Self) -> (Self, Self);
    /// `value` where `self` equals `other`, zero elsewhere.
    unsafe fn where_equal(self, other: Self, value: Self) -> Self;
    /// The first `count` bytes from `from` as numbers, anything in the other lanes; no other memory
    /// is touched. `count` is at most the lanes.
    unsafe fn load_bytes(from: *const u8, count: usize) -> Self;
    /// Writes the first `count` values, whole numbers below 256, as bytes and touches no other
    /// memory.
    unsafe fn store_bytes(self, to: *mut u8, count: usize);
    /// Exchanges rows and columns of the first [`Simd::LANES`] registers.
    unsafe fn transpose(rows: &mut [Self; MAX_LANES]);
    /// Asks for a cache line to be in the second-level cache soon; any address is fine.
    unsafe fn prefetch(address: *const f32);
    /// Asks for a cache line that will be written; any address is fine.
    unsafe fn prefetch_to_write(address: *const f32);
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
        Self(std::array::from_fn(|lane| {
            self.0[lane] + a.0[lane] * b.0[lane]
        }))
    }
    #[inline(always)]
    unsafe fn multiply(self, other: Self) -> Self {
        Self(std::array::from_fn(|lane| self.0[lane] * other.0[lane]))
    }
    #[inline(always)]
    unsafe fn divide(self, other: Self) -> Self {
        Self(std::array::from_fn(|lane| self.0[lane] / other.0[lane]))
    }
    #[inline(always)]
    unsafe fn power_of_two(self) -> Self {
        let one = 1f32.to_bits();
        Self(
            self.0
                .map(|value| f32::from_bits((value.to_bits() << 23).wrapping_add(one))),
        )
    }
    #[inline(always)]
    unsafe fn where_greater(self, than: Self, yes: Self, no: Self) -> Self {
        Self(std::array::from_fn(|lane| {
            if self.0[lane] > than.0[lane] {
                yes.0[lane]
            } else {
                no.0[lane]
            }
        }))
    }
    #[inline(always)]
    unsafe fn within(self, low: Self, high: Self) -> Self {
        let at_least = |x: f32, low: f32| if x < low { low } else { x };
        let at_most = |x: f32, high: f32| if x > high { high } else { x };
        Self(std::array::from_fn(|lane| {
            at_most(at_least(self.0[lane], low.0[lane]), high.0[lane])
        }))
    }
    #[inline(always)]
    unsafe fn larger(self, place: Self, value: Self, value_place: Self) -> (Self, Self) {
        let wins: [bool; 4] = std::array::from_fn(|lane| {
            let best = self.0[lane];
            let value = value.0[lane];
            value > best || (value.is_nan() && !best.is_nan())
        });
        let chosen = |yes: Self, no: Self| {
            Self(std::array::from_fn(|lane| {
                if wins[lane] { yes.0[lane] } else { no.0[lane] }
            }))
        };
        (chosen(value, self), chosen(value_place, place))
    }
    #[inline(always)]
    unsafe fn where_equal(self, other: Self, value: Self) -> Self {
        Self(std::array::from_fn(|lane| {
            if self.0[lane] == other.0[lane] {
                value.0[lane]
            } else {
                0.
            }
        }))
    }
    #[inline(always)]
    unsafe fn load_bytes(from: *const u8, count: usize) -> Self {
        Self(std::array::from_fn(|lane| {
            if lane < count {
                f32::from(*from.add(lane))
            } else {
                0.
            }
        }))
    }
    #[inline(always)]
    unsafe fn store_bytes(self, to: *mut u8, count: usize) {
        self.0
            .iter()
            .take(count)
            .enumerate()
            .for_each(|(lane, &value)| *to.add(lane) = value as u8);
    }
    #[inline(always)]
    unsafe fn transpose(rows: &mut [Self; MAX_LANES]) {
        let columns: [Self; 4] =
            std::array::from_fn(|i| Self(std::array::from_fn(|j| rows[j].0[i])));
        rows[..4].copy_from_slice(&columns);
    }
    #[inline(always)]
    unsafe fn prefetch(_: *const f32) {}
    #[inline(always)]
    unsafe fn prefetch_to_write(_: *const f32) {}
}

#[cfg(target_arch = "x86_64")]
pub(crate) use x86::{Avx2, Avx512};

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::{MAX_LANES, Simd};

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
        #[inline(always)]
        unsafe fn multiply(self, other: Self) -> Self {
            Self(_mm256_mul_ps(self.0, other.0))
        }
        #[inline(always)]
        unsafe fn divide(self, other: Self) -> Self {
            Self(_mm256_div_ps(self.0, other.0))
        }
        #[inline(always)]
        unsafe fn power_of_two(self) -> Self {
            let exponent = _mm256_slli_epi32::<23>(_mm256_castps_si256(self.0));
            let one = _mm256_castps_si256(_mm256_set1_ps(1.));
            Self(_mm256_castsi256_ps(_mm256_add_epi32(exponent, one)))
        }
        #[inline(always)]
        unsafe fn where_greater(self, than: Self, yes: Self, no: Self) -> Self {
            Self(_mm256_blendv_ps(
                no.0,
                yes.0,
                _mm256_cmp_ps::<_CMP_GT_OQ>(self.0, than.0),
            ))
        }
        // Of a NaN and a number, these instructions give the second operand.
        #[inline(always)]
        unsafe fn within(self, low: Self, high: Self) -> Self {
            Self(_mm256_min_ps(high.0, _mm256_max_ps(low.0, self.0)))
        }
        #[inline(always)]
        unsafe fn larger(self, place: Self, value: Self, value_place: Self) -> (Self, Self) {
            let not_below = _mm256_cmp_ps::<_CMP_NLE_UQ>(value.0, self.0);
            let wins = _mm256_and_ps(not_below, _mm256_cmp_ps::<_CMP_ORD_Q>(self.0, self.0));
            let place = _mm256_blendv_ps(place.0, value_place.0, wins);
            (Self(_mm256_blendv_ps(self.0, value.0, wins)), Self(place))
        }
        #[inline(always)]
        unsafe fn where_equal(self, other: Self, value: Self) -> Self {
            Self(_mm256_and_ps(
                _mm256_cmp_ps::<_CMP_EQ_OQ>(self.0, other.0),
                value.0,
            ))
        }
        #[inline(always)]
        unsafe fn load_bytes(from: *const u8, count: usize) -> Self {
            let bytes = if count >= Self::LANES {
                _mm_loadl_epi64(from.cast())
            } else {
                let mut bytes = [0u8; 8];
                std::ptr::copy_nonoverlapping(from, bytes.as_mut_ptr(), count);
                _mm_loadl_epi64(bytes.as_ptr().cast())
            };
            Self(_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(bytes)))
        }
        #[inline(always)]
        unsafe fn store_bytes(self, to: *mut u8, count: usize) {
            let numbers = _mm256_cvtps_epi32(self.0);
            let halves = _mm_packs_epi32(
                _mm256_castsi256_si128(numbers),
                _mm256_extracti128_si256::<1>(numbers),
            );
            let bytes = _mm_packus_epi16(halves, halves);
            if count >= Self::LANES {
                _mm_storel_epi64(to.cast(), bytes);
            } else {
                let mut all = [0u8; 8];
                _mm_storel_epi64(all.as_mut_ptr().cast(), bytes);
                std::ptr::copy_nonoverlapping(all.as_ptr(), to, count);
            }
        }
        #[inline(always)]
        unsafe fn transpose(rows: &mut [Self; MAX_LANES]) {
            // Pairs of rows, then fours, then the halves of registers.
            let mut block = [_mm256_setzero_ps(); 8];
            for i in 0..4 {
                block[2 * i] = _mm256_unpacklo_ps(rows[2 * i].0, rows[2 * i + 1].0);
                block[2 * i + 1] = _mm256_unpackhi_ps(rows[2 * i].0, rows[2 * i + 1].0);
            }
            let mut fours = [_mm256_setzero_ps(); 8];
            for i in 0..2 {
                for j in 0..2 {
                    let a = block[4 * i + j];
                    let b = block[4 * i + 2 + j];
                    fours[4 * i + 2 * j] = _mm256_shuffle_ps::<0b01_00_01_00>(a, b);
                    fours[4 * i + 2 * j + 1] = _mm256_shuffle_ps::<0b11_10_11_10>(a, b);
                }
            }
            for i in 0..4 {
                rows[i].0 = _mm256_permute2f128_ps::<0x20>(fours[i], fours[4 + i]);
                rows[4 + i].0 = _mm256_permute2f128_ps::<0x31>(fours[i], fours[4 + i]);
            }
        }
        #[inline(always)]
        unsafe fn prefetch(address: *const f32) {
            _mm_prefetch::<_MM_HINT_T1>(address.cast());
        }
        #[inline(always)]
        unsafe fn prefetch_to_write(address: *const f32) {
            _mm_prefetch::<_MM_HINT_ET0>(address.cast());
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
        #[inline(always)]
        unsafe fn multiply(self, other: Self) -> Self {
            Self(_mm512_mul_ps(self.0, other.0))
        }
        #[inline(always)]
        unsafe fn divide(self, other: Self) -> Self {
            Self(_mm512_div_ps(self.0, other.0))
        }
        #[inline(always)]
        unsafe fn power_of_two(self) -> Self {
            let exponent = _mm512_slli_epi32::<23>(_mm512_castps_si512(self.0));
            let one = _mm512_castps_si512(_mm512_set1_ps(1.));
            Self(_mm512_castsi512_ps(_mm512_add_epi32(exponent, one)))
        }
        #[inline(always)]
        unsafe fn where_greater(self, than: Self, yes: Self, no: Self) -> Self {
            Self(_mm512_mask_blend_ps(
                _mm512_cmp_ps_mask::<_CMP_GT_OQ>(self.0, than.0),
                no.0,
                yes.0,
            ))
        }
        // Of a NaN and a number, these instructions give the second operand.
        #[inline(always)]
        unsafe fn within(self, low: Self, high: Self) -> Self {
            Self(_mm512_min_ps(high.0, _mm512_max_ps(low.0, self.0)))
        }
        #[inline(always)]
        unsafe fn larger(self, place: Self, value: Self, value_place: Self) -> (Self, Self) {
            let is_number = _mm512_cmp_ps_mask::<_CMP_ORD_Q>(self.0, self.0);
            let wins = _mm512_mask_cmp_ps_mask::<_CMP_NLE_UQ>(is_number, value.0, self.0);
            let place = _mm512_mask_blend_ps(wins, place.0, value_place.0);
            (
                Self(_mm512_mask_blend_ps(wins, self.0, value.0)),
                Self(place),
            )
        }
        #[inline(always)]
        unsafe fn where_equal(self, other: Self, value: Self) -> Self {
            Self(_mm512_maskz_mov_ps(
                _mm512_cmp_ps_mask::<_CMP_EQ_OQ>(self.0, other.0),
                value.0,
            ))
        }
        #[inline(always)]
        unsafe fn load_bytes(from: *const u8, count: usize) -> Self {
            let bytes = _mm_maskz_loadu_epi8(mask(count), from.cast());
            Self(_mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(bytes)))
        }
        #[inline(always)]
        unsafe fn store_bytes(self, to: *mut u8, count: usize) {
            _mm512_mask_cvtepi32_storeu_epi8(to.cast(), mask(count), _mm512_cvtps_epi32(self.0));
        }
        #[inline(always)]
        unsafe fn transpose(rows: &mut [Self; MAX_LANES]) {
            // Pairs of rows, then fours within each quarter of a register, then the quarters.
            let mut pairs = [_mm512_setzero_ps(); 16];
            for i in 0..8 {
                pairs[2 * i] = _mm512_unpacklo_ps(rows[2 * i].0, rows[2 * i + 1].0);
                pairs[2 * i + 1] = _mm512_unpackhi_ps(rows[2 * i].0, rows[2 * i + 1].0);
            }
            let mut fours = [_mm512_setzero_ps(); 16];
            for i in 0..4 {
                for j in 0..2 {
                    let a = pairs[4 * i + j];
                    let b = pairs[4 * i + 2 + j];
                    fours[4 * i + 2 * j] = _mm512_shuffle_ps::<0b01_00_01_00>(a, b);
                    fours[4 * i + 2 * j + 1] = _mm512_shuffle_ps::<0b11_10_11_10>(a, b);
                }
            }
            for i in 0..4 {
                let [a, b, c, d] = [fours[i], fours[4 + i], fours[8 + i], fours[12 + i]];
                let ab_low = _mm512_shuffle_f32x4::<0x44>(a, b);
                let ab_high = _mm512_shuffle_f32x4::<0xEE>(a, b);
                let cd_low = _mm512_shuffle_f32x4::<0x44>(c, d);
                let cd_high = _mm512_shuffle_f32x4::<0xEE>(c, d);
                rows[i].0 = _mm512_shuffle_f32x4::<0x88>(ab_low, cd_low);
                rows[4 + i].0 = _mm512_shuffle_f32x4::<0xDD>(ab_low, cd_low);
                rows[8 + i].0 = _mm512_shuffle_f32x4::<0x88>(ab_high, cd_high);
                rows[12 + i].0 = _mm512_shuffle_f32x4::<0xDD>(ab_high, cd_high);
            }
        }
        #[inline(always)]
        unsafe fn prefetch(address: *const f32) {
            _mm_prefetch::<_MM_HINT_T1>(address.cast());
        }
        #[inline(always)]
        unsafe fn prefetch_to_write(address: *const f32) {
            _mm_prefetch::<_MM_HINT_ET0>(address.cast());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Loads, transposes and stores a matrix whose element (i, j) is 100 i + j.
    unsafe fn check<S: Simd>() {
        let matrix: Vec<f32> = (0..S::LANES * S::LANES)
            .map(|e| (100 * (e / S::LANES) + e % S::LANES) as f32)
            .collect();
        let mut rows = [S::splat(0.); MAX_LANES];
        for (row, values) in rows.iter_mut().zip(matrix.chunks(S::LANES)) {
            *row = S::load(values.as_ptr());
        }
        S::transpose(&mut rows);
        for (i, row) in rows[..S::LANES].iter().enumerate() {
            let mut values = [0.; MAX_LANES];
            row.store(values.as_mut_ptr());
            for (j, &value) in values[..S::LANES].iter().enumerate() {
                assert_eq!(
                    value,
                    (100 * j + i) as f32,
                    "({i}, {j}) of {} lanes",
                    S::LANES
                );
            }
        }
        for count in 1..=S::LANES {
            let mut values = [-1.; MAX_LANES];
            S::load_first(matrix.as_ptr(), count)
                .add(S::splat(1.))
                .store_first(values.as_mut_ptr(), count);
            assert!(
                values[..count]
                    .iter()
                    .zip(&matrix)
                    .all(|(value, from)| *value == from + 1.)
            );
            assert!(values[count..].iter().all(|&value| value == -1.));
        }
    }

    #[test]
    fn blocks_are_transposed_and_tails_masked() {
        // SAFETY: each set is checked to be there.
        unsafe {
            check::<Portable>();
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx2,fma")]
                unsafe fn avx2() {
                    check::<Avx2>();
                }
                #[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw,avx2,fma")]
                unsafe fn avx512() {
                    check::<Avx512>();
                }
                if crate::InstructionSet::Avx2.is_supported() {
                    avx2();
                }
                if crate::InstructionSet::Avx512.is_supported() {
                    avx512();
                }
            }
        }
    }
}
