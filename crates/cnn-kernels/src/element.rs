//! The two element types: `f32`, and `f64` as the reference for gradient checks.

use candle_core::WithDType;

use crate::kernel::Kernel;

/// What a kernel needs of its numbers.
pub(crate) trait Element: WithDType + Default {
    fn exp(self) -> Self;
    fn tanh(self) -> Self;
    fn erf(self) -> Self;
    /// The kernel's forward pass for this type.
    fn forward<K: Kernel>(kernel: &K, inputs: &[&[Self]]) -> Vec<Self>;
    /// The kernel's backward pass for this type.
    fn backward<K: Kernel>(
        kernel: &K,
        inputs: &[&[Self]],
        output: &[Self],
        grad: &[Self],
        wanted: &[bool],
    ) -> Vec<Option<Vec<Self>>>;
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
    fn forward<K: Kernel>(kernel: &K, inputs: &[&[Self]]) -> Vec<Self> {
        kernel.forward_f32(inputs)
    }
    fn backward<K: Kernel>(
        kernel: &K,
        inputs: &[&[Self]],
        output: &[Self],
        grad: &[Self],
        wanted: &[bool],
    ) -> Vec<Option<Vec<Self>>> {
        kernel.backward_f32(inputs, output, grad, wanted)
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
    fn forward<K: Kernel>(kernel: &K, inputs: &[&[Self]]) -> Vec<Self> {
        kernel.forward(inputs)
    }
    fn backward<K: Kernel>(
        kernel: &K,
        inputs: &[&[Self]],
        output: &[Self],
        grad: &[Self],
        wanted: &[bool],
    ) -> Vec<Option<Vec<Self>>> {
        kernel.backward(inputs, output, grad, wanted)
    }
}
