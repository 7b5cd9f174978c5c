//! Activations on registers: those that other kernels take in.
#![allow(unsafe_code)]

use crate::Activation;
use crate::activation::values::sigmoid;
use crate::autograd::element::Element;
use crate::machine::register::Register;

/// An activation that is computed together with the operation before it.
pub(crate) trait OnRegisters: Copy + Sync {
    /// Which one it is.
    fn activation(self) -> Activation;

    /// The activation; NaN stays NaN.
    ///
    /// # Safety
    /// That of [`Register`].
    #[inline(always)]
    unsafe fn value<T: Element, R: Register<Value = T>>(self, x: R) -> R {
        // SAFETY: the caller's promise.
        unsafe { self.activation().on_register(x) }
    }

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

impl OnRegisters for Identity {
    #[inline(always)]
    fn activation(self) -> Activation {
        Activation::Identity
    }
    #[inline(always)]
    unsafe fn passed<T: Element, R: Register<Value = T>>(self, grad: R, _: R) -> R {
        grad
    }
}

impl OnRegisters for Relu {
    #[inline(always)]
    fn activation(self) -> Activation {
        Activation::Relu
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

impl OnRegisters for Relu6 {
    #[inline(always)]
    fn activation(self) -> Activation {
        Activation::Relu6
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

impl OnRegisters for LeakyRelu {
    #[inline(always)]
    fn activation(self) -> Activation {
        Activation::LeakyRelu(self.0)
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

/// `x · sigmoid(x)`.
#[derive(Clone, Copy)]
pub(crate) struct Silu;

/// `x · relu6(x + 3) / 6`.
#[derive(Clone, Copy)]
pub(crate) struct HardSwish;

impl OnRegisters for Silu {
    #[inline(always)]
    fn activation(self) -> Activation {
        Activation::Silu
    }
    #[inline(always)]
    unsafe fn passed<T: Element, R: Register<Value = T>>(self, grad: R, x: R) -> R {
        // SAFETY: the caller's promise.
        unsafe {
            let one = R::splat(T::one());
            let gate = sigmoid(x);
            let closed = one.add(negative(gate));
            grad.multiply(gate.multiply(one.add(x.multiply(closed))))
        }
    }
}

impl OnRegisters for HardSwish {
    #[inline(always)]
    fn activation(self) -> Activation {
        Activation::HardSwish
    }
    #[inline(always)]
    unsafe fn passed<T: Element, R: Register<Value = T>>(self, grad: R, x: R) -> R {
        // SAFETY: the caller's promise.
        unsafe {
            let constant = |value| R::splat(T::from_f64(value));
            let inside = constant(2.).multiply(x).add(constant(3.));
            let inside = inside.multiply(constant(1. / 6.));
            let below_three = constant(3.).where_greater(x, inside, constant(1.));
            let slope = x.where_greater(constant(-3.), below_three, constant(0.));
            grad.multiply(slope)
        }
    }
}

/// # Safety
/// That of [`Register`].
#[inline(always)]
unsafe fn negative<T: Element, R: Register<Value = T>>(x: R) -> R {
    // SAFETY: the caller's promise.
    unsafe { x.multiply(R::splat(T::from_f64(-1.))) }
}

/// Whether [`for_each_on_registers`] knows an activation.
pub(crate) fn is_on_registers(activation: Activation) -> bool {
    activation.is_rectifier()
        || matches!(
            activation,
            Activation::Identity | Activation::Silu | Activation::HardSwish
        )
}

/// Evaluates an expression with `$known` for an activation that [`is_on_registers`], so that each is
/// a loop of its own.
macro_rules! for_each_on_registers {
    ($activation:expr, $known:ident => $body:expr) => {
        for_each_on_registers!($activation, $known => $body; Relu Relu6 Silu HardSwish)
    };
    ($activation:expr, $known:ident => $body:expr; $($name:ident)*) => {
        match $activation {
            $($crate::Activation::$name => {
                let $known = $crate::activation::on_registers::$name;
                $body
            })*
            $crate::Activation::LeakyRelu(slope) => {
                let $known = $crate::activation::on_registers::LeakyRelu(slope);
                $body
            }
            _ => {
                let $known = $crate::activation::on_registers::Identity;
                $body
            }
        }
    };
}
pub(crate) use for_each_on_registers;
