//! The values of activations, on registers.
#![allow(unsafe_code)]

use crate::Activation;
use crate::activation::{GELU_TANH_CUBIC, GELU_TANH_SCALE, for_each_activation};
use crate::autograd::element::Element;
use crate::machine::isa::{Loop, vectorised};
use crate::machine::register::{Register, load, store};
use crate::machine::simd::Simd;

impl Activation {
    /// The activation of each lane; NaN stays NaN. Callers know the activation when they are
    /// compiled, see [`for_each_activation`].
    ///
    /// # Safety
    /// That of [`Register`].
    #[inline(always)]
    pub(crate) unsafe fn on_register<T: Element, R: Register<Value = T>>(self, x: R) -> R {
        // SAFETY: the caller's promise.
        unsafe {
            let constant = |value: f64| R::splat(T::from_f64(value));
            let zero = constant(0.);
            match self {
                Self::Identity => x,
                Self::Relu => x.within(zero, constant(f64::INFINITY)),
                Self::LeakyRelu(slope) => x.where_greater(zero, x, x.multiply(constant(slope))),
                Self::Relu6 => x.within(zero, constant(6.)),
                Self::Sigmoid => sigmoid(x),
                Self::Silu => x.multiply(sigmoid(x)),
                Self::HardSwish => x
                    .multiply(x.add(constant(3.)).within(zero, constant(6.)))
                    .multiply(constant(1. / 6.)),
                Self::HardSigmoid => x
                    .add(constant(3.))
                    .within(zero, constant(6.))
                    .multiply(constant(1. / 6.)),
                Self::Tanh => x.tanh(),
                Self::Gelu => {
                    let erf = x.multiply(constant(std::f64::consts::FRAC_1_SQRT_2)).erf();
                    halved(x).multiply(erf.add(constant(1.)))
                }
                Self::GeluTanh => {
                    let cube = x.multiply(x).multiply(x);
                    let inner = x.add_product(cube, constant(GELU_TANH_CUBIC));
                    let tanh = inner.multiply(constant(GELU_TANH_SCALE)).tanh();
                    halved(x).multiply(tanh.add(constant(1.)))
                }
            }
        }
    }
}

/// `1 / (1 + e^−x)`.
///
/// # Safety
/// That of [`Register`].
#[inline(always)]
pub(crate) unsafe fn sigmoid<T: Element, R: Register<Value = T>>(x: R) -> R {
    // SAFETY: the caller's promise.
    unsafe {
        let one = R::splat(T::one());
        let negative = x.multiply(R::splat(T::from_f64(-1.)));
        one.divide(one.add(negative.exp()))
    }
}

/// # Safety
/// That of [`Register`].
#[inline(always)]
unsafe fn halved<T: Element, R: Register<Value = T>>(x: R) -> R {
    // SAFETY: the caller's promise.
    unsafe { x.multiply(R::splat(T::from_f64(0.5))) }
}

/// Applies an activation to `channels` values at each of some places, while they are near.
///
/// # Safety
/// Each place and the values behind it can be read and written, and nobody else uses them.
pub(crate) unsafe fn activate_rows(
    activation: Activation,
    start: *mut f32,
    places: impl Iterator<Item = usize>,
    channels: usize,
) {
    vectorised(InRows {
        activation,
        start,
        places,
        channels,
    });
}

/// What [`activate_rows`] does, as a part of another loop.
pub(crate) struct InRows<I> {
    pub(crate) activation: Activation,
    pub(crate) start: *mut f32,
    pub(crate) places: I,
    pub(crate) channels: usize,
}

impl<I: Iterator<Item = usize>> Loop for InRows<I> {
    #[inline(always)]
    fn run<S: Simd>(self) {
        for_each_activation!(self.activation, activation => for place in self.places {
            // SAFETY: whoever made this promised that the values are there; `S` is what the caller
            // is compiled for.
            unsafe {
                let values = self.start.add(place);
                activate::<f32, S>(activation, values, values, self.channels);
            }
        });
    }
}

/// The activations of some values, elsewhere or in their place.
///
/// # Safety
/// So many values can be read and written; and that of [`Register`].
#[inline(always)]
pub(crate) unsafe fn activate<T: Element, R: Register<Value = T>>(
    activation: Activation,
    xs: *const T,
    ys: *mut T,
    count: usize,
) {
    let mut place = 0;
    // SAFETY: the caller's promise; whole registers first, then what is left.
    unsafe {
        while place + R::LANES <= count {
            let x = load::<R, true>(xs.add(place), R::LANES);
            store::<R, true>(activation.on_register(x), ys.add(place), R::LANES);
            place += R::LANES;
        }
        if place < count {
            let x = load::<R, false>(xs.add(place), count - place);
            store::<R, false>(activation.on_register(x), ys.add(place), count - place);
        }
    }
}
