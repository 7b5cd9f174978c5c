//! Exponential, hyperbolic tangent and error function in f32 without branches or tables, so that
//! loops over them vectorise.
//!
//! The rational approximations of tanh and erf are those of Eigen's `GenericPacketMath`. NaN stays
//! NaN.
#![allow(unsafe_code)]

use crate::machine::simd::Simd;

/// `e^x`, to 2 units in the last place; beyond ±88 the value at ±88.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    let x = clamped(x, -87.3, 88.3);
    let rounded = x * std::f32::consts::LOG2_E + ROUND;
    let power = f32::from_bits((rounded.to_bits() << 23).wrapping_add(127 << 23));
    let integer = rounded - ROUND;
    let r = (x - integer * LN_2_HIGH) - integer * LN_2_LOW;
    (horner(r, EXP_TAIL) * r * r + r + 1.) * power
}

const LN_2_HIGH: f32 = 355. / 512.;
const LN_2_LOW: f32 = -2.121_944_4e-4;
/// Adding it rounds to an integer, which then stands in the lowest bits.
const ROUND: f32 = 12_582_912.;
const EXP_TAIL: [f32; 6] = [
    1.987_569_1e-4,
    1.398_199_9e-3,
    8.333_452e-3,
    4.166_579_6e-2,
    0.166_666_66,
    0.5,
];

/// [`exp`] of a register, step by step the same, so that its results are the same to the bit.
///
/// # Safety
/// That of [`Simd`].
#[inline(always)]
pub(crate) unsafe fn exp_of_register<S: Simd>(x: S) -> S {
    // SAFETY: the caller's promise.
    unsafe {
        let constant = |value: f32| S::splat(value);
        let x = x.within(constant(-87.3), constant(88.3));
        let rounded = x
            .multiply(constant(std::f32::consts::LOG2_E))
            .add(constant(ROUND));
        let power = rounded.power_of_two();
        let integer = rounded.add(constant(-ROUND));
        let r = x
            .add(integer.multiply(constant(-LN_2_HIGH)))
            .add(integer.multiply(constant(-LN_2_LOW)));
        let mut tail = constant(EXP_TAIL[0]);
        for coefficient in &EXP_TAIL[1..] {
            tail = tail.multiply(r).add(constant(*coefficient));
        }
        let sum = tail.multiply(r).multiply(r).add(r).add(constant(1.));
        sum.multiply(power)
    }
}

/// Hyperbolic tangent, to 4 units in the last place.
#[inline(always)]
pub(crate) fn tanh(x: f32) -> f32 {
    const ODD: [f32; 7] = [
        -2.760_768_5e-16,
        2.000_188e-13,
        -8.604_672e-11,
        5.122_297_1e-8,
        1.485_722_4e-5,
        6.372_619_3e-4,
        4.893_524_6e-3,
    ];
    const EVEN: [f32; 4] = [1.198_258_4e-6, 1.185_347_1e-4, 2.268_434_6e-3, 4.893_525e-3];
    let x = clamped(x, -7.905_311, 7.905_311);
    x * horner(x * x, ODD) / horner(x * x, EVEN)
}

/// The error function, to 8 units in the last place.
#[inline(always)]
pub(crate) fn erf(x: f32) -> f32 {
    const ODD: [f32; 7] = [
        -2.726_142_3e-10,
        2.770_681_4e-8,
        -2.101_024e-6,
        -5.692_506_4e-5,
        -7.349_906_3e-4,
        -2.954_6e-3,
        -1.609_603_3e-2,
    ];
    const EVEN: [f32; 5] = [
        -1.456_607_2e-5,
        -2.133_740_6e-4,
        -1.682_827e-3,
        -7.373_329e-3,
        -1.426_473_9e-2,
    ];
    let x = clamped(x, -4., 4.);
    x * horner(x * x, ODD) / horner(x * x, EVEN)
}

/// `x` within both bounds; NaN stays NaN.
#[inline(always)]
fn clamped(x: f32, low: f32, high: f32) -> f32 {
    let x = if x < low { low } else { x };
    if x > high { high } else { x }
}

/// A polynomial, the coefficient of the highest power first.
#[inline(always)]
fn horner<const N: usize>(x: f32, coefficients: [f32; N]) -> f32 {
    coefficients
        .into_iter()
        .fold(0., |sum, coefficient| sum * x + coefficient)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::isa::{Loop, vectorised};
    use crate::machine::simd::{MAX_LANES, Portable};

    #[test]
    fn a_register_computes_the_same_bits() {
        struct Exps<'a>(&'a mut Vec<[f32; 2]>);
        impl Loop for Exps<'_> {
            #[inline(always)]
            fn run<S: Simd>(self) {
                for step in -100_000..=100_000 {
                    let x = step as f32 * 1e-3;
                    let mut lanes = [0.; MAX_LANES];
                    // SAFETY: `S` is what the caller is compiled for.
                    unsafe { exp_of_register(S::splat(x)).store(lanes.as_mut_ptr()) };
                    self.0.push([x, lanes[S::LANES - 1]]);
                }
            }
        }
        let mut found = Vec::new();
        vectorised(Exps(&mut found));
        Exps(&mut found).run::<Portable>();
        for [x, found] in found {
            assert_eq!(found.to_bits(), exp(x).to_bits(), "{x}");
        }
    }

    #[test]
    fn functions_are_those_of_libm() {
        type Row = (&'static str, fn(f32) -> f32, fn(f64) -> f64, f32, f64);
        let table: [Row; 3] = [
            ("exp", exp, libm::exp, 87., 2.4e-7),
            ("tanh", tanh, libm::tanh, 12., 5e-7),
            ("erf", erf, libm::erf, 6., 5e-7),
        ];
        for (name, found, expected, range, tolerance) in table {
            for step in -200_000..=200_000 {
                let x = step as f32 * (range / 200_000.);
                let found = f64::from(found(x));
                let expected = expected(f64::from(x));
                assert!(
                    (found - expected).abs() <= tolerance * expected.abs(),
                    "{name}({x}) = {found}, not {expected}"
                );
            }
            assert!(found(f32::NAN).is_nan(), "{name}");
        }
        assert!(exp(f32::INFINITY) > 2e38 && exp(f32::NEG_INFINITY) < 2e-38);
        assert_eq!(
            (tanh(f32::INFINITY), erf(f32::NEG_INFINITY)),
            (tanh(12.), erf(-6.))
        );
    }
}
