//! What batch normalisation does to each value and to each gradient, for the kernels that walk over
//! maps.
#![allow(unsafe_code)]

use crate::activation::on_registers::OnRegisters;
use crate::autograd::element::Element;
use crate::machine::register::Register;
use crate::norm::channel_map::Formula;
use crate::norm::channel_sums::Terms;
use crate::norm::moments::Moments;

/// The mean's negative, scale and shift per channel: what is activated is
/// `(x − mean) · scale + shift` in `T`.
pub(crate) fn affine<T: Element>(
    [weight, bias]: [&[T]; 2],
    moments: &Moments,
    eps: f64,
) -> [Vec<f64>; 3] {
    let scale: Vec<f64> = weight
        .iter()
        .zip(inverse_std(moments, eps))
        .map(|(w, s)| w.to_f64() * s)
        .collect();
    // The mean in T is not quite the mean; what it lacks goes into the shift.
    let shift = bias
        .iter()
        .zip(&scale)
        .zip(&moments.mean)
        .map(|((b, s), &m)| b.to_f64() + s * lost::<T>(m))
        .collect();
    let negative_mean = moments.mean.iter().map(|mean| -mean).collect();
    [negative_mean, scale, shift]
}

pub(crate) fn inverse_std(moments: &Moments, eps: f64) -> Vec<f64> {
    moments
        .var
        .iter()
        .map(|var| 1. / (var + eps).sqrt())
        .collect()
}

/// The gradients of weight and bias, `(Σ dy · x̂, Σ dy)` per channel, from the sums of [`Passed`].
pub(crate) fn of_parameters<T: Element>(
    [mut weight, bias]: [Vec<f64>; 2],
    moments: &Moments,
    eps: f64,
) -> [Vec<f64>; 2] {
    for (((sum, bias), &mean), inverse_std) in weight
        .iter_mut()
        .zip(&bias)
        .zip(&moments.mean)
        .zip(inverse_std(moments, eps))
    {
        *sum = (*sum + bias * lost::<T>(mean)) * inverse_std;
    }
    [weight, bias]
}

/// The channels' values of [`Centre`], from those of [`affine`] and the gradients of weight and bias
/// over `count` values.
pub(crate) fn centring(
    [mean, scale, shift]: [Vec<f64>; 3],
    inverse_std: &[f64],
    [of_weight, of_bias]: [&[f64]; 2],
    count: f64,
) -> [Vec<f64>; 5] {
    let through_x = scale
        .iter()
        .zip(inverse_std)
        .zip(of_weight)
        .map(|((scale, inverse_std), sum)| -scale * inverse_std * sum / count)
        .collect();
    let constant = scale
        .iter()
        .zip(of_bias)
        .map(|(scale, sum)| -scale * sum / count)
        .collect();
    [mean, scale, shift, through_x, constant]
}

/// What rounding to `T` adds.
fn lost<T: Element>(exact: f64) -> f64 {
    T::from_f64(exact).to_f64() - exact
}

pub(crate) fn all_rounded<T: Element, const N: usize>(vectors: [Vec<f64>; N]) -> [Vec<T>; N] {
    vectors.map(|vector| vector.into_iter().map(T::from_f64).collect())
}

/// `dy · (x − mean)` and `dy` of what passes a rectifier.
pub(crate) struct Passed<F>(pub(crate) F);

impl<T: Element, F: OnRegisters> Terms<T, 2, 3> for Passed<F> {
    #[inline(always)]
    unsafe fn of<R: Register<Value = T>>(
        &self,
        [x, grad]: [R; 2],
        [mean, scale, shift]: [R; 3],
    ) -> [R; 2] {
        // SAFETY: the caller's promise.
        unsafe {
            let deviation = x.add(mean);
            let passed = self.0.passed(grad, shift.add_product(deviation, scale));
            [passed.multiply(deviation), passed]
        }
    }
}

/// `activation((x − mean) · scale + shift)`, or the same of that sum and a residual.
pub(crate) struct Normalise<F>(pub(crate) F);

impl<T: Element, F: OnRegisters> Formula<T, 1, 3> for Normalise<F> {
    const IN_PLACE: bool = false;

    #[inline(always)]
    unsafe fn of<R: Register<Value = T>>(&self, [x]: [R; 1], [mean, scale, shift]: [R; 3]) -> R {
        // SAFETY: the caller's promise.
        unsafe { self.0.value(shift.add_product(x.add(mean), scale)) }
    }
}

impl<T: Element, F: OnRegisters> Formula<T, 2, 3> for Normalise<F> {
    const IN_PLACE: bool = false;

    #[inline(always)]
    unsafe fn of<R: Register<Value = T>>(
        &self,
        [x, residual]: [R; 2],
        [mean, scale, shift]: [R; 3],
    ) -> R {
        // SAFETY: the caller's promise.
        unsafe {
            let normal = shift.add_product(x.add(mean), scale);
            self.0.value(normal.add(residual))
        }
    }
}

/// `dy · scale` of the `dy` that passes the activation.
pub(crate) struct Scale<F>(pub(crate) F);

impl<T: Element, F: OnRegisters> Formula<T, 2, 3> for Scale<F> {
    const IN_PLACE: bool = true;

    #[inline(always)]
    unsafe fn of<R: Register<Value = T>>(
        &self,
        [x, grad]: [R; 2],
        [mean, scale, shift]: [R; 3],
    ) -> R {
        // SAFETY: the caller's promise.
        unsafe {
            let normal = shift.add_product(x.add(mean), scale);
            self.0.passed(grad, normal).multiply(scale)
        }
    }
}

/// `dy · scale + (x − mean) · through_x + constant` of the `dy` that passes the activation.
pub(crate) struct Centre<F>(pub(crate) F);

impl<T: Element, F: OnRegisters> Formula<T, 2, 5> for Centre<F> {
    const IN_PLACE: bool = true;

    #[inline(always)]
    unsafe fn of<R: Register<Value = T>>(
        &self,
        [x, grad]: [R; 2],
        [mean, scale, shift, through_x, constant]: [R; 5],
    ) -> R {
        // SAFETY: the caller's promise.
        unsafe {
            let deviation = x.add(mean);
            let passed = self.0.passed(grad, shift.add_product(deviation, scale));
            constant
                .add_product(deviation, through_x)
                .add_product(passed, scale)
        }
    }
}
