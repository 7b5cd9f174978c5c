//! Rectifiers on registers: the activations that other kernels take in.
#![allow(unsafe_code)]

use crate::autograd::element::Element;
use crate::machine::register::Register;

/// An activation that is computed together with the operation before it.
pub(crate) trait Rectifier: Copy + Sync {
    /// The activation; NaN stays NaN.
    ///
    /// # Safety
    /// That of [`Register`].
    unsafe fn value<T: Element, R: Register<Value = T>>(self, x: R) -> R;

    /// The gradient of `x` by that of the output.
    ///
    /// # Safety
    /// That of [`Register`].
    unsafe fn passed<T: Element, R: Register<Value = T>>(self, grad: R, x: R) -> R;
}

/// None.
#[derive(Clone, Copy)]
pub(crate) struct Identity;

/// `max(x, 0)`.
#[derive(Clone, Copy)]
pub(crate) struct Relu;

/// `min(max(x, 0), 6)`.
#[derive(Clone, Copy)]
pub(crate) struct Relu6;

/// `x` where positive, else the slope times `x`.
#[derive(Clone, Copy)]
pub(crate) struct LeakyRelu(pub(crate) f64);

impl Rectifier for Identity {
    #[inline(always)]
    unsafe fn value<T: Element, R: Register<Value = T>>(self, x: R) -> R {
        x
    }
    #[inline(always)]
    unsafe fn passed<T: Element, R: Register<Value = T>>(self, grad: R, _: R) -> R {
        grad
    }
}

impl Rectifier for Relu {
    #[inline(always)]
    unsafe fn value<T: Element, R: Register<Value = T>>(self, x: R) -> R {
        // SAFETY: the caller's promise.
        unsafe { x.within(R::splat(T::zero()), R::splat(T::from_f64(f64::INFINITY))) }
    }
    #[inline(always)]
    unsafe fn passed<T: Element, R: Register<Value = T>>(self, grad: R, x: R) -> R {
        // SAFETY: the caller's promise.
        unsafe {
            let zero = R::splat(T::zero());
            x.where_greater(zero, grad, zero)
        }
    }
}

impl Rectifier for Relu6 {
    #[inline(always)]
    unsafe fn value<T: Element, R: Register<Value = T>>(self, x: R) -> R {
        // SAFETY: the caller's promise.
        unsafe { x.within(R::splat(T::zero()), R::splat(T::from_f64(6.))) }
    }
    #[inline(always)]
    unsafe fn passed<T: Element, R: Register<Value = T>>(self, grad: R, x: R) -> R {
        // SAFETY: the caller's promise.
        unsafe {
            let zero = R::splat(T::zero());
            let six = R::splat(T::from_f64(6.));
            six.where_greater(x, x.where_greater(zero, grad, zero), zero)
        }
    }
}

impl Rectifier for LeakyRelu {
    #[inline(always)]
    unsafe fn value<T: Element, R: Register<Value = T>>(self, x: R) -> R {
        // SAFETY: the caller's promise.
        unsafe {
            x.where_greater(
                R::splat(T::zero()),
                x,
                x.multiply(R::splat(T::from_f64(self.0))),
            )
        }
    }
    #[inline(always)]
    unsafe fn passed<T: Element, R: Register<Value = T>>(self, grad: R, x: R) -> R {
        // SAFETY: the caller's promise.
        unsafe {
            x.where_greater(
                R::splat(T::zero()),
                grad,
                grad.multiply(R::splat(T::from_f64(self.0))),
            )
        }
    }
}

/// Evaluates an expression with `$rectifier` for an activation that is one, or none, so that each
/// is a loop of its own.
macro_rules! for_each_rectifier {
    ($activation:expr, $rectifier:ident => $body:expr) => {
        match $activation {
            $crate::Activation::Relu => {
                let $rectifier = $crate::activation::rectifier::Relu;
                $body
            }
            $crate::Activation::Relu6 => {
                let $rectifier = $crate::activation::rectifier::Relu6;
                $body
            }
            $crate::Activation::LeakyRelu(slope) => {
                let $rectifier = $crate::activation::rectifier::LeakyRelu(slope);
                $body
            }
            _ => {
                let $rectifier = $crate::activation::rectifier::Identity;
                $body
            }
        }
    };
}
pub(crate) use for_each_rectifier;
