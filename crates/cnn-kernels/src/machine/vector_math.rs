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

/// [`exp`] of a register, to 2 units in the last place.
///
/// # Safety
/// That of [`Simd`].
#[inline(always)]
pub(crate) unsafe fn exp_of_register<S: Simd>(x: S) -> S {
    // SAFETY: the caller's promise.
    unsafe {
        let constant = |value: f32| S::splat(value);
        let x = x.within(constant(-87.3), constant(88.3));
        let rounded = constant(ROUND).add_product(x, constant(std::f32::consts::LOG2_E));
        let power = rounded.power_of_two();
        let integer = rounded.add(constant(-ROUND));
        let r = x
            .add_product(integer, constant(-LN_2_HIGH))
            .add_product(integer, constant(-LN_2_LOW));
        let tail = horner_of_register(r, EXP_TAIL).multiply(r);
        let sum = r.add(constant(1.)).add_product(tail, r);
        sum.multiply(power)
    }
}

/// [`tanh`] of a register.
///
/// # Safety
/// That of [`Simd`].
#[inline(always)]
pub(crate) unsafe fn tanh_of_register<S: Simd>(x: S) -> S {
    // SAFETY: the caller's promise.
    unsafe { odd_of_register(x, TANH_RANGE, TANH_ODD, TANH_EVEN) }
}

/// [`erf`] of a register.
///
/// # Safety
/// That of [`Simd`].
#[inline(always)]
pub(crate) unsafe fn erf_of_register<S: Simd>(x: S) -> S {
    // SAFETY: the caller's promise.
    unsafe { odd_of_register(x, ERF_RANGE, ERF_ODD, ERF_EVEN) }
}

/// `x · odd(x²) / even(x²)`, with `x` brought within `±range`.
///
/// # Safety
/// That of [`Simd`].
#[inline(always)]
unsafe fn odd_of_register<S: Simd, const N: usize, const M: usize>(
    x: S,
    range: f32,
    odd: [f32; N],
    even: [f32; M],
) -> S {
    // SAFETY: the caller's promise.
    unsafe {
        let x = x.within(S::splat(-range), S::splat(range));
        let square = x.multiply(x);
        x.multiply(horner_of_register(square, odd))
            .divide(horner_of_register(square, even))
    }
}

/// [`horner`] of a register.
///
/// # Safety
/// That of [`Simd`].
#[inline(always)]
unsafe fn horner_of_register<S: Simd, const N: usize>(x: S, coefficients: [f32; N]) -> S {
    // SAFETY: the caller's promise.
    unsafe {
        let mut sum = S::splat(coefficients[0]);
        for coefficient in &coefficients[1..] {
            sum = S::splat(*coefficient).add_product(sum, x);
        }
        sum
    }
}

/// Hyperbolic tangent, to 4 units in the last place.
#[inline(always)]
pub(crate) fn tanh(x: f32) -> f32 {
    let x = clamped(x, -TANH_RANGE, TANH_RANGE);
    x * horner(x * x, TANH_ODD) / horner(x * x, TANH_EVEN)
}

/// Where the tangent is 1 to the last place.
const TANH_RANGE: f32 = 7.905_311;
const TANH_ODD: [f32; 7] = [
    -2.760_768_5e-16,
    2.000_188e-13,
    -8.604_672e-11,
    5.122_297_1e-8,
    1.485_722_4e-5,
    6.372_619_3e-4,
    4.893_524_6e-3,
];
const TANH_EVEN: [f32; 4] = [1.198_258_4e-6, 1.185_347_1e-4, 2.268_434_6e-3, 4.893_525e-3];

/// The error function, to 8 units in the last place.
#[inline(always)]
pub(crate) fn erf(x: f32) -> f32 {
    let x = clamped(x, -ERF_RANGE, ERF_RANGE);
    x * horner(x * x, ERF_ODD) / horner(x * x, ERF_EVEN)
}

/// Where the function is 1 to the last place.
const ERF_RANGE: f32 = 4.;
const ERF_ODD: [f32; 7] = [
    -2.726_142_3e-10,
    2.770_681_4e-8,
    -2.101_024e-6,
    -5.692_506_4e-5,
    -7.349_906_3e-4,
    -2.954_6e-3,
    -1.609_603_3e-2,
];
const ERF_EVEN: [f32; 5] = [
    -1.456_607_2e-5,
    -2.133_740_6e-4,
    -1.682_827e-3,
    -7.373_329e-3,
    -1.426_473_9e-2,
];

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

    /// Values with what a register makes of them: exponential, tangent, error function.
    struct OnRegisters<'a>(&'a mut Vec<(f32, [f32; 3])>);

    impl Loop for OnRegisters<'_> {
        #[inline(always)]
        fn run<S: Simd>(self) {
            for step in -100_000..=100_000 {
                let x = step as f32 * 8.7e-4;
                let mut lanes = [[0.; MAX_LANES]; 3];
                // SAFETY: `S` is what the caller is compiled for.
                unsafe {
                    let x = S::splat(x);
                    exp_of_register(x).store(lanes[0].as_mut_ptr());
                    tanh_of_register(x).store(lanes[1].as_mut_ptr());
                    erf_of_register(x).store(lanes[2].as_mut_ptr());
                }
                self.0.push((x, lanes.map(|lanes| lanes[S::LANES - 1])));
            }
        }
    }

    #[test]
    fn registers_compute_the_same_functions() {
        let functions = [libm::exp, libm::tanh, libm::erf];
        let mut found = Vec::new();
        vectorised(OnRegisters(&mut found));
        OnRegisters(&mut found).run::<Portable>();
        for (x, found) in found {
            for ((found, function), tolerance) in
                found.into_iter().zip(functions).zip([2.4e-7, 5e-7, 5e-7])
            {
                let expected = function(f64::from(x));
                let difference = (f64::from(found) - expected).abs();
                assert!(
                    difference <= tolerance * expected.abs(),
                    "{found} of {x}, not {expected}"
                );
            }
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
