//! A register of i32 lanes, each of them also four bytes: what the integer kernels are written
//! with, once for all instruction sets. All of them compute the same bits.
#![allow(unsafe_code, unsafe_op_in_unsafe_fn)]

mod portable;
#[cfg(target_arch = "x86_64")]
mod x86;

pub(crate) use portable::PortableIntegers;
#[cfg(target_arch = "x86_64")]
pub(crate) use x86::{Avx2Integers, Avx512Integers, AvxVnniIntegers, HalfIntegers};

/// Lanes of the widest register.
pub(crate) const MAX_INTEGER_LANES: usize = 16;

/// What becomes of a scaled sum: rounded half to even, plus `zero_point`, within two bytes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Requantize {
    pub(crate) zero_point: u8,
    pub(crate) low: u8,
    pub(crate) high: u8,
    /// Whether scaled sums may be beyond i32.
    pub(crate) far: bool,
}

impl Requantize {
    /// The byte of a scaled sum.
    #[inline(always)]
    pub(crate) fn byte(&self, scaled: f32) -> u8 {
        let zero_point = i32::from(self.zero_point);
        let low = (i32::from(self.low) - zero_point) as f32;
        let high = (i32::from(self.high) - zero_point) as f32;
        let raised = if scaled < low { low } else { scaled };
        let bounded = if raised > high { high } else { raised };
        (round(bounded) + zero_point) as u8
    }

    /// More than any byte is above the zero point, and less than is lost in a conversion.
    pub(crate) const FAR: f32 = 1024.;
}

/// A number far below 2²² rounded half to even: added to 3 · 2²² it has no digits behind the point,
/// and the lowest bits are the whole number. That is no call where the target has no instruction
/// for it, and loops of it become loops over registers.
#[inline(always)]
fn round(value: f32) -> i32 {
    const SHIFT: f32 = 12_582_912.;
    (value + SHIFT).to_bits().wrapping_sub(SHIFT.to_bits()) as i32
}

/// A register of [`Integers::LANES`] i32 values.
///
/// # Safety
/// Every method may run only on a processor that has the implementor's instructions, and only
/// inlined into a function that enables them (else it is merely slow). Pointers must be valid for
/// as many values as the method says; they need no alignment.
pub(crate) trait Integers: Copy {
    /// The same lanes as f32.
    type Floats: Copy;
    /// Values per register; there are four times as many bytes.
    const LANES: usize;

    /// `value` in every lane.
    unsafe fn splat(value: i32) -> Self;
    /// [`Integers::LANES`] values.
    unsafe fn load(from: *const i32) -> Self;
    /// Writes the first `count` values and touches no other memory.
    unsafe fn store_first(self, to: *mut i32, count: usize);
    /// Four times [`Integers::LANES`] bytes.
    unsafe fn load_bytes(from: *const u8) -> Self;
    /// The first `count` bytes, zeros in the others; no other memory is touched.
    unsafe fn load_first_bytes(from: *const u8, count: usize) -> Self;
    /// Writes four times [`Integers::LANES`] bytes.
    unsafe fn store_bytes(self, to: *mut u8);
    /// Writes the first `count` bytes and touches no other memory.
    unsafe fn store_first_bytes(self, to: *mut u8, count: usize);
    /// The same four bytes in every lane.
    unsafe fn splat_quad(from: *const u8) -> Self;
    /// Each lane plus the sum of the products of its four unsigned `bytes` with its four signed
    /// `weights`; the sum wraps and nothing saturates.
    unsafe fn add_dot(self, bytes: Self, weights: Self) -> Self;
    /// Lane `l` of register `v` becomes byte [`byte_of`]`(v, l)` of each of the four rows.
    unsafe fn interleave(rows: [Self; 4]) -> [Self; 4];
    /// [`Integers::LANES`] values.
    unsafe fn load_floats(from: *const f32) -> Self::Floats;
    /// Each lane rounded to f32, times a factor of its own, rounded.
    unsafe fn scaled(self, factors: Self::Floats) -> Self::Floats;
    /// The first `count` bytes as numbers, zeros in the lanes behind; no other memory is touched.
    unsafe fn load_as_lanes(from: *const u8, count: usize) -> Self;
    /// Each lane plus that of `values`, less `zero_point`, times `factor`; the product is rounded
    /// before it is added.
    unsafe fn add_scaled(
        floats: Self::Floats,
        values: Self,
        zero_point: i32,
        factor: f32,
    ) -> Self::Floats;
    /// What `to` says, as the bytes that [`Integers::interleave`] takes its lanes from.
    unsafe fn gathered(floats: [Self::Floats; 4], to: &Requantize) -> Self;
    /// Of bytes that are [gathered](Integers::gathered), writes the first `counts[v]` of register
    /// `v` to `to[v]`, at most as many as lanes, and touches no other memory.
    unsafe fn store_gathered(self, to: [*mut u8; 4], counts: [usize; 4]);
}

/// Which byte of a row goes to a lane of a register: they are exchanged within every 16 bytes,
/// which is what processors do fast.
pub(crate) const fn byte_of(register: usize, lane: usize) -> usize {
    lane / 4 * 16 + register * 4 + lane % 4
}

#[cfg(test)]
mod tests;
