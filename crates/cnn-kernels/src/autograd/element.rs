//! The two element types: `f32`, and `f64` as the reference for gradient checks.

use std::sync::Arc;

use candle_core::WithDType;

use crate::autograd::gradient::Sum;
use crate::autograd::kernel::{Backward, Inputs, Kernel};
use crate::machine::recycle::Buffer;
use crate::machine::register::{Double, Register};
use crate::machine::simd::Simd;
use crate::machine::vector_math;

/// What a kernel needs of its numbers.
pub(crate) trait Element: WithDType + Default {
    /// Registers of this type where those of f32 are `S`.
    type Register<S: Simd>: Register<Value = Self>;
    fn exp(self) -> Self;
    fn tanh(self) -> Self;
    fn erf(self) -> Self;
    /// The kernel's forward pass for this type.
    fn forward<K: Kernel>(kernel: &K, inputs: Inputs<'_, Self>) -> Vec<Self>;
    /// The kernel's backward pass for this type.
    fn backward<K: Kernel>(kernel: &K, pass: Backward<'_, Self>) -> Vec<Option<Arc<Buffer<Self>>>>;
    fn into_sum(values: Arc<Buffer<Self>>) -> Sum;
    /// The values of a sum of this type.
    fn of_sum(sum: Sum) -> Option<Arc<Buffer<Self>>>;
    /// `max(self, 0)`; NaN stays NaN.
    #[inline(always)]
    fn at_least_zero(self) -> Self {
        if self < Self::zero() {
            Self::zero()
        } else {
            self
        }
    }
}

impl Element for f32 {
    type Register<S: Simd> = S;

    #[inline(always)]
    fn exp(self) -> Self {
        vector_math::exp(self)
    }
    #[inline(always)]
    fn tanh(self) -> Self {
        vector_math::tanh(self)
    }
    #[inline(always)]
    fn erf(self) -> Self {
        vector_math::erf(self)
    }
    fn forward<K: Kernel>(kernel: &K, inputs: Inputs<'_, Self>) -> Vec<Self> {
        kernel.forward_f32(inputs)
    }
    fn backward<K: Kernel>(kernel: &K, pass: Backward<'_, Self>) -> Vec<Option<Arc<Buffer<Self>>>> {
        kernel.backward_f32(pass)
    }
    fn into_sum(values: Arc<Buffer<Self>>) -> Sum {
        Sum::F32(values)
    }
    fn of_sum(sum: Sum) -> Option<Arc<Buffer<Self>>> {
        match sum {
            Sum::F32(values) => Some(values),
            _ => None,
        }
    }
}

impl Element for f64 {
    type Register<S: Simd> = Double;

    fn exp(self) -> Self {
        libm::exp(self)
    }
    fn tanh(self) -> Self {
        libm::tanh(self)
    }
    fn erf(self) -> Self {
        libm::erf(self)
    }
    fn forward<K: Kernel>(kernel: &K, inputs: Inputs<'_, Self>) -> Vec<Self> {
        kernel.forward(inputs)
    }
    fn backward<K: Kernel>(kernel: &K, pass: Backward<'_, Self>) -> Vec<Option<Arc<Buffer<Self>>>> {
        kernel.backward(pass)
    }
    fn into_sum(values: Arc<Buffer<Self>>) -> Sum {
        Sum::F64(values)
    }
    fn of_sum(sum: Sum) -> Option<Arc<Buffer<Self>>> {
        match sum {
            Sum::F64(values) => Some(values),
            _ => None,
        }
    }
}
