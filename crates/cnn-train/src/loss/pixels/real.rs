//! The two element types of logits, and the functions that losses need of them.

use candle_core::WithDType;

/// An element type of logits.
///
/// f64 is the reference and calls the standard library. The functions of f32 are polynomials of
/// their own, without branches, so that a loop over them is compiled for several numbers at a time;
/// they are off by two units in the last place at most.
pub(super) trait Real: WithDType {
    /// A number that is greater for greater magnitudes, of which the index can be told again.
    type Rank: Ord + Copy + Send;

    /// `e^x` for `x` up to 0; 0 where that is no normal number. NaN stays NaN.
    fn exp_of_negative(self) -> Self;

    /// `ln(1 + x)` for `x` from 0 to 1, without losing the digits of a small one.
    fn ln_1p_of_share(self) -> Self;

    fn abs(self) -> Self;

    /// The greater one; of a number and NaN either.
    fn larger(self, other: Self) -> Self;

    /// Ranks values above 0, the greatest first, and equal ones by their index.
    fn rank(self, index: u32) -> Self::Rank;

    /// The value and the index.
    fn ranked(rank: Self::Rank) -> (Self, u32);
}

impl Real for f32 {
    type Rank = u64;

    #[inline(always)]
    fn exp_of_negative(self) -> Self {
        const LOWEST: f32 = -87.;
        // Adding and subtracting it rounds to a whole number, which is then in the last bits.
        const ROUND: f32 = 12_582_912.;
        // ln 2 in two parts; products of the first one with whole numbers are exact.
        const LN_2_HIGH: f32 = 0.693_359_4;
        const LN_2_LOW: f32 = -2.121_944_4e-4;
        let x = if self < LOWEST { LOWEST } else { self };
        let shifted = x * std::f32::consts::LOG2_E + ROUND;
        let whole = shifted - ROUND;
        let rest = x - whole * LN_2_HIGH - whole * LN_2_LOW;
        // e^rest for |rest| up to ln 2 / 2 (Cephes' expf).
        let mut series = 1.987_569_1e-4;
        for coefficient in [
            1.398_199_9e-3,
            8.333_452e-3,
            4.166_579_6e-2,
            1.666_666_5e-1,
            0.5,
        ] {
            series = series * rest + coefficient;
        }
        let power = series * rest * rest + rest + 1.;
        let exponent = shifted.to_bits().wrapping_sub(ROUND.to_bits());
        let scale = f32::from_bits(exponent.wrapping_add(127) << 23);
        if self < LOWEST { 0. } else { power * scale }
    }

    #[inline(always)]
    fn ln_1p_of_share(self) -> Self {
        // ln((1 + y) / (1 − y)) = 2 (y + y³/3 + y⁵/5 + …) with y up to 1/3.
        let y = self / (2. + self);
        let square = y * y;
        let mut series = 1. / 15.;
        for odd in [13., 11., 9., 7., 5., 3.] {
            series = series * square + 1. / odd;
        }
        2. * y + 2. * y * square * series
    }

    #[inline(always)]
    fn abs(self) -> Self {
        f32::abs(self)
    }

    #[inline(always)]
    fn larger(self, other: Self) -> Self {
        if self > other { self } else { other }
    }

    #[inline(always)]
    fn rank(self, index: u32) -> u64 {
        u64::from(!self.to_bits()) << 32 | u64::from(index)
    }

    #[inline(always)]
    fn ranked(rank: u64) -> (Self, u32) {
        (f32::from_bits(!((rank >> 32) as u32)), rank as u32)
    }
}

impl Real for f64 {
    type Rank = u128;

    #[inline(always)]
    fn exp_of_negative(self) -> Self {
        self.exp()
    }

    #[inline(always)]
    fn ln_1p_of_share(self) -> Self {
        self.ln_1p()
    }

    #[inline(always)]
    fn abs(self) -> Self {
        f64::abs(self)
    }

    #[inline(always)]
    fn larger(self, other: Self) -> Self {
        if self > other { self } else { other }
    }

    #[inline(always)]
    fn rank(self, index: u32) -> u128 {
        u128::from(!self.to_bits()) << 32 | u128::from(index)
    }

    #[inline(always)]
    fn ranked(rank: u128) -> (Self, u32) {
        (f64::from_bits(!((rank >> 32) as u64)), rank as u32)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// How many units in the last place `found` is off.
    fn units_off(found: f32, exact: f64) -> f64 {
        let unit = f64::from((exact as f32).next_up()) - f64::from(exact as f32);
        (f64::from(found) - exact).abs() / unit
    }

    #[test]
    fn functions_of_f32_are_exact_to_two_units() {
        let mut worst = 0f64;
        for step in 0..=870_000u32 {
            let x = -(step as f32) * 1e-4;
            worst = worst.max(units_off(x.exp_of_negative(), f64::from(x).exp()));
        }
        assert!(worst < 2., "exp is {worst} units off");
        let mut worst = 0f64;
        for step in 0..=100_000u32 {
            let linear = step as f32 * 1e-5;
            let small = (-(step as f32) * 8e-4).exp();
            for x in [linear, small] {
                worst = worst.max(units_off(x.ln_1p_of_share(), f64::from(x).ln_1p()));
            }
        }
        assert!(worst < 2., "ln(1 + x) is {worst} units off");
    }

    #[test]
    fn far_values_and_nan_end_where_they_should() {
        assert_eq!(0f32.exp_of_negative(), 1.);
        assert_eq!((-2e4f32).exp_of_negative(), 0.);
        assert_eq!(f32::NEG_INFINITY.exp_of_negative(), 0.);
        assert!(f32::NAN.exp_of_negative().is_nan());
    }

    #[test]
    fn ranks_sort_the_greatest_first_and_tell_value_and_index() {
        fn check<T: Real>(values: [T; 4]) {
            let mut ranks: Vec<T::Rank> = (0..).zip(values).map(|(i, x)| x.rank(i)).collect();
            ranks.sort_unstable();
            let sorted: Vec<(f64, u32)> = ranks
                .into_iter()
                .map(|rank| (T::ranked(rank).0.to_f64(), T::ranked(rank).1))
                .collect();
            assert_eq!(sorted, [(3., 2), (0.5, 0), (0.5, 3), (0.25, 1)]);
        }
        check([0.5f32, 0.25, 3., 0.5]);
        check([0.5f64, 0.25, 3., 0.5]);
    }
}
