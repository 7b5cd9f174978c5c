//! The two element types: `f32`, and `f64` as the reference for gradient checks.

use candle_core::WithDType;

/// What a kernel needs of its numbers.
pub(crate) trait Element: WithDType + Default {
    fn exp(self) -> Self;
    fn tanh(self) -> Self;
    fn erf(self) -> Self;
    /// `max(self, 0)`; NaN stays NaN.
    #[inline]
    fn at_least_zero(self) -> Self {
        if self < Self::zero() { Self::zero() } else { self }
    }
    /// `self` within `[low, high]`; NaN stays NaN.
    fn within(self, low: f64, high: f64) -> Self {
        let (low, high) = (Self::from_f64(low), Self::from_f64(high));
        if self < low {
            low
        } else if self > high {
            high
        } else {
            self
        }
    }
}

impl Element for f32 {
    fn exp(self) -> Self {
        libm::expf(self)
    }
    fn tanh(self) -> Self {
        libm::tanhf(self)
    }
    fn erf(self) -> Self {
        libm::erff(self)
    }
}

impl Element for f64 {
    fn exp(self) -> Self {
        libm::exp(self)
    }
    fn tanh(self) -> Self {
        libm::tanh(self)
    }
    fn erf(self) -> Self {
        libm::erf(self)
    }
}
