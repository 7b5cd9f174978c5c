//! What a byte stands for, and the way from numbers to bytes and back.

use crate::Activation;
use crate::error::{Checked, Error};
use crate::machine::integers::Requantize;

/// How bytes stand for numbers, the same for all values of a map: `x = scale · (q − zero_point)`
/// (Jacob et al. 2018, equation 1). The zero point stands for 0 exactly, so padding costs nothing.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Quantization {
    scale: f32,
    zero_point: u8,
}

impl Quantization {
    /// A scale above zero, and the byte that stands for 0.
    ///
    /// # Errors
    /// If the scale is not a normal positive number.
    pub fn new(scale: f32, zero_point: u8) -> Result<Self, Error> {
        if !(scale.is_normal() && scale > 0.) {
            return Err(Error::Argument {
                op: "quantization",
                what: "the scale",
                found: scale.to_string(),
                expected: "a normal number above 0".to_string(),
            });
        }
        Ok(Self { scale, zero_point })
    }

    /// The finest quantisation whose bytes reach from `low` to `high`, widened to contain 0:
    /// `scale = (high − low) / 255`, `zero_point = −low / scale` rounded half to even.
    ///
    /// # Errors
    /// If a bound is not finite, `low > high`, or the range is too small for a scale.
    pub fn of_range(low: f32, high: f32) -> Result<Self, Error> {
        if !(low.is_finite() && high.is_finite() && low <= high) {
            return Err(Error::Argument {
                op: "quantization",
                what: "the range",
                found: format!("{low} to {high}"),
                expected: "two finite bounds, the lower one first".to_string(),
            });
        }
        let [low, high] = [f64::from(low.min(0.)), f64::from(high.max(0.))];
        let scale = (high - low) / 255.;
        let zero_point = (-low / scale).round_ties_even().clamp(0., 255.);
        Self::new(scale as f32, zero_point as u8)
    }

    /// The distance between the numbers of neighbouring bytes.
    pub fn scale(&self) -> f32 {
        self.scale
    }

    /// The byte that stands for 0.
    pub fn zero_point(&self) -> u8 {
        self.zero_point
    }

    /// The byte for a number: `x / scale` in f32, rounded half to even, plus the zero point,
    /// brought within 0 and 255. NaN becomes the zero point.
    #[inline(always)]
    pub fn quantize(&self, x: f32) -> u8 {
        let steps = x / self.scale;
        let all = Requantize {
            zero_point: self.zero_point,
            low: 0,
            high: u8::MAX,
            far: true,
        };
        all.byte(if steps.is_nan() { 0. } else { steps })
    }

    /// The number of a byte: the difference to the zero point, times the scale in f32.
    #[inline(always)]
    pub fn dequantize(&self, q: u8) -> f32 {
        (i32::from(q) - i32::from(self.zero_point)) as f32 * self.scale
    }

    /// The least and the largest byte that `activation` gives, if it is one that only bounds.
    pub(crate) fn bounds(&self, op: &'static str, activation: Activation) -> Checked<[u8; 2]> {
        match activation {
            Activation::Identity => Ok([0, 255]),
            Activation::Relu => Ok([self.zero_point, 255]),
            Activation::Relu6 => Ok([self.zero_point, self.quantize(6.)]),
            other => Err(Error::Argument {
                op,
                what: "the activation",
                found: format!("{other:?}"),
                expected: "Identity, Relu or Relu6; others are an ActivationTable".to_string(),
            }),
        }
    }

    /// How a sum becomes a byte of this quantisation.
    pub(crate) fn requantize(
        &self,
        op: &'static str,
        activation: Activation,
    ) -> Checked<Requantize> {
        let [low, high] = self.bounds(op, activation)?;
        Ok(Requantize {
            zero_point: self.zero_point,
            low,
            high,
            far: true,
        })
    }
}

/// Beyond this, one step of an input is more than all steps of an output, and sums of such steps
/// could leave f32: 2⁶⁴.
const MOST_FACTOR: f64 = 18_446_744_073_709_551_616.;

/// `numerator / denominator` in f64, rounded to f32 once.
///
/// # Errors
/// If the quotient is beyond 2⁶⁴.
pub(crate) fn factor(op: &'static str, numerator: f64, denominator: f64) -> Checked<f32> {
    let factor = numerator / denominator;
    if factor <= MOST_FACTOR {
        return Ok(factor as f32);
    }
    Err(Error::Argument {
        op,
        what: "the factor between the scales",
        found: format!("{numerator:e} / {denominator:e}"),
        expected: format!("at most {MOST_FACTOR:e}"),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn numbers_are_rounded_half_to_even_and_kept_within_bytes() {
        let quantization = Quantization::new(0.5, 3).unwrap();
        let table = [
            (0., 3),
            (0.25, 3),
            (0.75, 5),
            (-0.75, 1),
            (1.25, 5),
            (-100., 0),
            (126., 255),
            (126.3, 255),
            (f32::INFINITY, 255),
            (f32::NEG_INFINITY, 0),
            (f32::NAN, 3),
            (1e30, 255),
        ];
        for (x, q) in table {
            assert_eq!(quantization.quantize(x), q, "{x}");
        }
        for q in 0..=255 {
            assert_eq!(quantization.quantize(quantization.dequantize(q)), q);
        }
    }

    #[test]
    fn ranges_contain_zero_and_bad_ones_are_refused() {
        let quantization = Quantization::of_range(-1., 3.).unwrap();
        assert_eq!(quantization, Quantization::new(4. / 255., 64).unwrap());
        let positive = Quantization::of_range(1., 3.).unwrap();
        assert_eq!((positive.zero_point(), positive.scale()), (0, 3. / 255.));
        let negative = Quantization::of_range(-3., -1.).unwrap();
        assert_eq!(negative.zero_point(), 255);
        for (low, high) in [(0., 0.), (1., -1.), (f32::NAN, 1.), (0., f32::INFINITY)] {
            assert!(Quantization::of_range(low, high).is_err(), "{low} {high}");
        }
        let message = Quantization::new(-1., 0).unwrap_err().to_string();
        assert!(
            message.contains("the scale is -1, expected a normal number"),
            "{message}"
        );
    }
}
