//! A register of either element type, so that loops with explicit registers serve f32 and its
//! reference alike.
#![allow(unsafe_code, unsafe_op_in_unsafe_fn)]

use crate::machine::simd::Simd;
use crate::machine::vector_math;

/// A register of [`Register::LANES`] values.
///
/// # Safety
/// As for [`Simd`], which is a register of f32.
pub(crate) trait Register: Copy {
    type Value: Copy;
    /// Values per register.
    const LANES: usize;

    /// `value` in every lane.
    unsafe fn splat(value: Self::Value) -> Self;
    /// [`Register::LANES`] values, which need no alignment.
    unsafe fn load(from: *const Self::Value) -> Self;
    /// The first `count` values, at most as many as lanes, and zeros; no other memory is touched.
    unsafe fn load_first(from: *const Self::Value, count: usize) -> Self;
    /// Writes all values.
    unsafe fn store(self, to: *mut Self::Value);
    /// Writes the first `count` values and touches no other memory.
    unsafe fn store_first(self, to: *mut Self::Value, count: usize);
    /// `self + other`.
    unsafe fn add(self, other: Self) -> Self;
    /// `self · other`.
    unsafe fn multiply(self, other: Self) -> Self;
    /// `self + a · b`.
    unsafe fn add_product(self, a: Self, b: Self) -> Self;
    /// `self / other`.
    unsafe fn divide(self, other: Self) -> Self;
    /// `e^self`.
    unsafe fn exp(self) -> Self;
    /// Hyperbolic tangent.
    unsafe fn tanh(self) -> Self;
    /// The error function.
    unsafe fn erf(self) -> Self;
    /// Each lane within two bounds, of which the first is not the greater; NaN stays NaN.
    unsafe fn within(self, low: Self, high: Self) -> Self;
    /// `yes` where `self > than`, else `no`.
    unsafe fn where_greater(self, than: Self, yes: Self, no: Self) -> Self;
    /// Asks for a cache line to be near soon; any address is fine.
    unsafe fn prefetch(address: *const Self::Value);
    /// Asks for a cache line that will be written; any address is fine.
    unsafe fn prefetch_to_write(address: *const Self::Value);
}

impl<S: Simd> Register for S {
    type Value = f32;
    const LANES: usize = <S as Simd>::LANES;

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        <S as Simd>::splat(value)
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        <S as Simd>::load(from)
    }
    #[inline(always)]
    unsafe fn load_first(from: *const f32, count: usize) -> Self {
        <S as Simd>::load_first(from, count)
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        Simd::store(self, to);
    }
    #[inline(always)]
    unsafe fn store_first(self, to: *mut f32, count: usize) {
        Simd::store_first(self, to, count);
    }
    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        Simd::add(self, other)
    }
    #[inline(always)]
    unsafe fn multiply(self, other: Self) -> Self {
        Simd::multiply(self, other)
    }
    #[inline(always)]
    unsafe fn add_product(self, a: Self, b: Self) -> Self {
        Simd::add_product(self, a, b)
    }
    #[inline(always)]
    unsafe fn divide(self, other: Self) -> Self {
        Simd::divide(self, other)
    }
    #[inline(always)]
    unsafe fn exp(self) -> Self {
        vector_math::exp_of_register(self)
    }
    #[inline(always)]
    unsafe fn tanh(self) -> Self {
        vector_math::tanh_of_register(self)
    }
    #[inline(always)]
    unsafe fn erf(self) -> Self {
        vector_math::erf_of_register(self)
    }
    #[inline(always)]
    unsafe fn within(self, low: Self, high: Self) -> Self {
        Simd::within(self, low, high)
    }
    #[inline(always)]
    unsafe fn where_greater(self, than: Self, yes: Self, no: Self) -> Self {
        Simd::where_greater(self, than, yes, no)
    }
    #[inline(always)]
    unsafe fn prefetch(address: *const f32) {
        <S as Simd>::prefetch(address);
    }
    #[inline(always)]
    unsafe fn prefetch_to_write(address: *const f32) {
        <S as Simd>::prefetch_to_write(address);
    }
}

/// One f64.
#[derive(Clone, Copy)]
pub(crate) struct Double(f64);

impl Register for Double {
    type Value = f64;
    const LANES: usize = 1;

    #[inline(always)]
    unsafe fn splat(value: f64) -> Self {
        Self(value)
    }
    #[inline(always)]
    unsafe fn load(from: *const f64) -> Self {
        Self(*from)
    }
    #[inline(always)]
    unsafe fn load_first(from: *const f64, count: usize) -> Self {
        Self(if count == 0 { 0. } else { *from })
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f64) {
        *to = self.0;
    }
    #[inline(always)]
    unsafe fn store_first(self, to: *mut f64, count: usize) {
        if count > 0 {
            *to = self.0;
        }
    }
    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }
    #[inline(always)]
    unsafe fn multiply(self, other: Self) -> Self {
        Self(self.0 * other.0)
    }
    #[inline(always)]
    unsafe fn add_product(self, a: Self, b: Self) -> Self {
        Self(self.0 + a.0 * b.0)
    }
    #[inline(always)]
    unsafe fn divide(self, other: Self) -> Self {
        Self(self.0 / other.0)
    }
    #[inline(always)]
    unsafe fn exp(self) -> Self {
        Self(libm::exp(self.0))
    }
    #[inline(always)]
    unsafe fn tanh(self) -> Self {
        Self(libm::tanh(self.0))
    }
    #[inline(always)]
    unsafe fn erf(self) -> Self {
        Self(libm::erf(self.0))
    }
    #[inline(always)]
    unsafe fn within(self, low: Self, high: Self) -> Self {
        let raised = if self.0 < low.0 { low.0 } else { self.0 };
        Self(if raised > high.0 { high.0 } else { raised })
    }
    #[inline(always)]
    unsafe fn where_greater(self, than: Self, yes: Self, no: Self) -> Self {
        if self.0 > than.0 { yes } else { no }
    }
    #[inline(always)]
    unsafe fn prefetch(_: *const f64) {}
    #[inline(always)]
    unsafe fn prefetch_to_write(_: *const f64) {}
}

/// A register, or the first `count` values of one if it is not `FULL`.
///
/// # Safety
/// That of [`Register::load`], or of [`Register::load_first`].
#[inline(always)]
pub(crate) unsafe fn load<R: Register, const FULL: bool>(from: *const R::Value, count: usize) -> R {
    if FULL {
        R::load(from)
    } else {
        R::load_first(from, count)
    }
}

/// Writes as [`load`] reads.
///
/// # Safety
/// As [`load`].
#[inline(always)]
pub(crate) unsafe fn store<R: Register, const FULL: bool>(
    value: R,
    to: *mut R::Value,
    count: usize,
) {
    if FULL {
        value.store(to)
    } else {
        value.store_first(to, count)
    }
}
