//! The generator at one place, and the distributions drawn from it.

use std::collections::HashMap;
use std::convert::Infallible;

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng as _, SeedableRng as _, TryRng};

use crate::Error;

/// A generator of random values, obtained from [`Key::rng`](super::Key::rng).
///
/// It also implements [`rand_core::TryRng`] and so `rand_core::Rng`, for distributions of other
/// crates; their values are theirs to keep stable.
#[derive(Clone, Debug)]
pub struct Rng {
    inner: ChaCha8Rng,
}

impl Rng {
    pub(super) fn from_seed(seed: [u8; 32]) -> Self {
        Self {
            inner: ChaCha8Rng::from_seed(seed),
        }
    }

    /// 32 uniform bits.
    pub fn next_u32(&mut self) -> u32 {
        self.inner.next_u32()
    }

    /// 64 uniform bits.
    pub fn next_u64(&mut self) -> u64 {
        self.inner.next_u64()
    }

    /// Uniform in `[0, 1)`, a multiple of 2⁻⁵³.
    pub fn uniform(&mut self) -> f64 {
        const SCALE: f64 = 1.0 / (1u64 << 53) as f64;
        (self.next_u64() >> 11) as f64 * SCALE
    }

    /// Uniform in `[low, high)`: `low + (high − low)·u`, and `low` where the interval is empty.
    pub fn uniform_in(&mut self, low: f64, high: f64) -> f64 {
        let value = low + (high - low) * self.uniform();
        // Rounding can land on `high` itself.
        if value < high {
            value
        } else {
            high.next_down().max(low)
        }
    }

    /// Uniform in `0..n` without bias (D. Lemire, "Fast random integer generation in an interval",
    /// 2019, algorithm 5).
    ///
    /// `0..0` has no element: `below(0)` returns 0, drawing nothing.
    pub fn below(&mut self, n: u64) -> u64 {
        if n == 0 {
            return 0;
        }
        // Products whose low half is under 2⁶⁴ mod n belong to the values that occur once too
        // often.
        let excess = n.wrapping_neg() % n;
        loop {
            let product = u128::from(self.next_u64()) * u128::from(n);
            if product as u64 >= excess {
                return (product >> 64) as u64;
            }
        }
    }

    /// Standard normal: mean 0, standard deviation 1 (G. E. P. Box and M. E. Muller, "A note on the
    /// generation of random normal deviates", 1958).
    ///
    /// The largest magnitude is √(2·53·ln 2) ≈ 8.57.
    pub fn normal(&mut self) -> f64 {
        self.normal_pair().0
    }

    /// `true` with probability `p`: never for `p ≤ 0` or NaN, always for `p ≥ 1`.
    pub fn bernoulli(&mut self, p: f64) -> bool {
        self.uniform() < p
    }

    /// The numbers `0..n` in random order, each of the `n!` orders equally likely (Fisher–Yates).
    pub fn permutation(&mut self, n: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..n).collect();
        self.shuffle(&mut order);
        order
    }

    /// Brings `items` into random order, each equally likely (Fisher–Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.index_below(last + 1));
        }
    }

    /// `k` distinct numbers of `0..n` in random order, each arrangement equally likely, in time and
    /// memory O(k).
    ///
    /// # Errors
    ///
    /// [`Error::ChoiceTooLarge`] if `k > n`.
    pub fn choice(&mut self, n: usize, k: usize) -> Result<Vec<usize>, Error> {
        if k > n {
            return Err(Error::ChoiceTooLarge {
                requested: k,
                available: n,
            });
        }
        // The first k steps of Fisher–Yates on 0..n, of which only the moved places are stored.
        let mut moved = HashMap::new();
        let mut chosen = Vec::with_capacity(k);
        for place in 0..k {
            let drawn = place + self.index_below(n - place);
            chosen.push(moved.get(&drawn).copied().unwrap_or(drawn));
            let displaced = moved.get(&place).copied().unwrap_or(place);
            moved.insert(drawn, displaced);
        }
        Ok(chosen)
    }

    /// Fills `out` with values uniform in `[low, high)`, each from 32 bits: other values than
    /// [`Rng::uniform_in`] gives, from half as many bits.
    pub fn fill_uniform(&mut self, out: &mut [f32], low: f32, high: f32) {
        const SCALE: f64 = 1.0 / (1u64 << 32) as f64;
        let start = f64::from(low);
        let width = f64::from(high) - f64::from(low);
        for value in out {
            let drawn = (start + width * (f64::from(self.next_u32()) * SCALE)) as f32;
            *value = if drawn < high {
                drawn
            } else {
                high.next_down().max(low)
            };
        }
    }

    /// Fills `out` with normal values of this mean and standard deviation, computed in f64, both
    /// halves of each Box–Muller pair being used: other values than repeated [`Rng::normal`] gives,
    /// from half as many draws.
    pub fn fill_normal(&mut self, out: &mut [f32], mean: f32, std: f32) {
        let mean = f64::from(mean);
        let std = f64::from(std);
        for pair in out.chunks_mut(2) {
            let (first, second) = self.normal_pair();
            for (value, z) in pair.iter_mut().zip([first, second]) {
                *value = (mean + std * z) as f32;
            }
        }
    }

    fn normal_pair(&mut self) -> (f64, f64) {
        // 1 − u lies in (0, 1], where the logarithm is finite.
        let radius = (-2.0 * libm::log(1.0 - self.uniform())).sqrt();
        let (sin, cos) = libm::sincos(std::f64::consts::TAU * self.uniform());
        (radius * cos, radius * sin)
    }

    fn index_below(&mut self, n: usize) -> usize {
        self.below(n as u64) as usize
    }
}

impl TryRng for Rng {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        self.inner.try_next_u32()
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        self.inner.try_next_u64()
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        self.inner.try_fill_bytes(bytes)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use std::collections::HashMap;

    use super::*;
    use crate::Key;

    fn rng() -> Rng {
        Key::new(42).stream("augment").at(7).rng()
    }

    fn repeat<T>(count: usize, mut draw: impl FnMut(&mut Rng) -> T) -> Vec<T> {
        let mut rng = rng();
        (0..count).map(|_| draw(&mut rng)).collect()
    }

    /// Pearson's χ² of these counts against equal frequencies.
    fn chi_square(counts: impl ExactSizeIterator<Item = u32> + Clone) -> f64 {
        let expected = f64::from(counts.clone().sum::<u32>()) / counts.len() as f64;
        counts
            .map(|count| (f64::from(count) - expected).powi(2) / expected)
            .sum()
    }

    fn moments(values: &[f64]) -> (f64, f64) {
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        (
            mean,
            values
                .iter()
                .map(|value| (value - mean).powi(2))
                .sum::<f64>()
                / values.len() as f64,
        )
    }

    /// The largest distance between the empirical distribution and this one, times √n; above 1.95
    /// once in 1000.
    fn kolmogorov_smirnov(mut values: Vec<f64>, distribution: impl Fn(f64) -> f64) -> f64 {
        values.sort_by(f64::total_cmp);
        let count = values.len() as f64;
        let distance = |(rank, value): (usize, &f64)| {
            let expected = distribution(*value);
            (expected - rank as f64 / count).max((rank + 1) as f64 / count - expected)
        };
        values.iter().enumerate().map(distance).fold(0.0, f64::max) * count.sqrt()
    }

    fn normal_distribution(value: f64) -> f64 {
        0.5 * libm::erfc(-value / std::f64::consts::SQRT_2)
    }

    // From tests/random_reference.py, an implementation that shares nothing with this one.
    #[test]
    fn values_never_change() {
        let mut bits = rng();
        assert_eq!(bits.next_u32(), 2_511_110_869);
        assert_eq!(bits.next_u64(), 15_522_657_854_962_493_871);
        assert_eq!(
            (0..8).map(|_| bits.next_u64()).last(),
            Some(14_598_974_782_734_048_262)
        );
        assert_eq!(
            repeat(3, Rng::uniform),
            [0.5897127202676291, 0.43862920204212064, 0.10211256658015522]
        );
        assert_eq!(
            repeat(12, |rng| rng.below(10)),
            [5, 4, 1, 8, 5, 1, 0, 9, 3, 2, 8, 9]
        );
        assert_eq!(
            rng().permutation(12),
            [2, 3, 5, 6, 8, 0, 9, 10, 11, 1, 4, 7]
        );
        assert_eq!(
            rng().choice(1000, 6).unwrap(),
            [589, 439, 103, 881, 597, 163]
        );
        assert_eq!(rng().choice(6, 6).unwrap(), [3, 0, 2, 5, 1, 4]);
        let mut uniform = [0.0; 3];
        rng().fill_uniform(&mut uniform, -1.0, 2.0);
        assert_eq!(uniform, [0.75399065, 0.76913816, 1.524455]);
        let mut normal = [0.0; 3];
        rng().fill_normal(&mut normal, 10.0, 2.0);
        assert_eq!(normal, [7.5263524, 11.004116, 10.67997]);
    }

    // Half of the draws for this bound are rejected. From tests/random_reference.py.
    #[test]
    fn below_rejects_what_would_be_biased() {
        assert_eq!(
            repeat(4, |rng| rng.below((1 << 63) + 1)),
            [
                4_045_640_316_663_220_105,
                941_822_191_206_876_104,
                8_443_345_387_228_707_155,
                3_233_529_570_014_054_711
            ]
        );
    }

    // From tests/random_reference.py, whose logarithm and cosine are the C library's: equal to a
    // few units in the last place, and beside them the exact bits of libm's.
    #[test]
    fn normal_values_never_change() {
        let values = repeat(3, Rng::normal);
        for (value, expected) in
            values
                .iter()
                .zip([-1.2368236998644868, 0.33998472659979606, 0.7290382688953396])
        {
            assert!(
                (value - expected).abs() <= 4.0 * f64::EPSILON,
                "{value} {expected}"
            );
        }
        assert_eq!(
            values
                .iter()
                .map(|value| value.to_bits())
                .collect::<Vec<_>>(),
            [
                13_831_621_014_781_255_421,
                4_599_796_240_270_011_926,
                4_604_741_812_497_548_182
            ]
        );
    }

    #[test]
    fn uniform_is_uniform() {
        let values = repeat(100_000, Rng::uniform);
        assert!(values.iter().all(|value| (0.0..1.0).contains(value)));
        let (mean, variance) = moments(&values);
        assert!(
            (mean - 0.5).abs() < 0.004 && (variance - 1.0 / 12.0).abs() < 0.001,
            "{mean} {variance}"
        );
        assert!(kolmogorov_smirnov(values, |value| value) < 1.95);
    }

    #[test]
    fn normal_is_normal() {
        let values = repeat(100_000, Rng::normal);
        let (mean, variance) = moments(&values);
        assert!(
            mean.abs() < 0.0127 && (variance - 1.0).abs() < 0.018,
            "{mean} {variance}"
        );
        assert!(kolmogorov_smirnov(values, normal_distribution) < 1.95);
    }

    #[test]
    fn fills_follow_their_distributions() {
        let mut values = vec![0f32; 100_001];
        rng().fill_normal(&mut values, -3.0, 0.5);
        let standard = values
            .iter()
            .map(|&value| (f64::from(value) + 3.0) / 0.5)
            .collect();
        assert!(kolmogorov_smirnov(standard, normal_distribution) < 1.95);

        rng().fill_uniform(&mut values, -3.0, 5.0);
        assert!(values.iter().all(|value| (-3.0..5.0).contains(value)));
        let unit = values
            .iter()
            .map(|&value| (f64::from(value) + 3.0) / 8.0)
            .collect();
        assert!(kolmogorov_smirnov(unit, |value| value) < 1.95);
    }

    #[test]
    fn a_shorter_fill_is_the_beginning_of_a_longer_one() {
        for length in [0, 1, 2, 7] {
            let mut short = vec![0f32; length];
            let mut long = vec![0f32; 20];
            rng().fill_normal(&mut short, 0.0, 1.0);
            rng().fill_normal(&mut long, 0.0, 1.0);
            assert_eq!(short, long[..length]);
        }
    }

    #[test]
    fn uniform_intervals_exclude_their_end() {
        // Between these neighbours every second draw would round up to the end.
        let low = 1.0;
        let high = 1.0f64.next_up();
        assert!(
            repeat(1000, |rng| rng.uniform_in(low, high))
                .iter()
                .all(|&value| value == low)
        );
        let mut values = [0f32; 1000];
        rng().fill_uniform(&mut values, 1.0, 1.0f32.next_up());
        assert!(values.iter().all(|&value| value == 1.0));
        for (low, high) in [(2.0, 2.0), (3.0, -1.0)] {
            assert_eq!(rng().uniform_in(low, high), low);
            rng().fill_uniform(&mut values, low as f32, high as f32);
            assert!(values.iter().all(|&value| value == low as f32));
        }
        let spread = repeat(1000, |rng| rng.uniform_in(-2.0, 6.0));
        assert!(spread.iter().all(|value| (-2.0..6.0).contains(value)));
        assert!(
            spread.iter().any(|&value| value < -1.0) && spread.iter().any(|&value| value > 5.0)
        );
    }

    #[test]
    fn below_is_unbiased() {
        let mut counts = [0; 10];
        for value in repeat(100_000, |rng| rng.below(10)) {
            counts[value as usize] += 1;
        }
        // 9 degrees of freedom, exceeded once in 1000.
        assert!(chi_square(counts.into_iter()) < 27.88, "{counts:?}");
        assert_eq!(repeat(3, |rng| rng.below(1)), [0; 3]);
        assert_eq!(repeat(3, |rng| rng.below(0)), [0; 3]);
    }

    #[test]
    fn bernoulli_has_its_frequency() {
        for (p, expected) in [
            (-0.1, 0.0),
            (0.0, 0.0),
            (0.3, 0.3),
            (1.0, 1.0),
            (2.0, 1.0),
            (f64::NAN, 0.0),
        ] {
            let hits = repeat(10_000, |rng| rng.bernoulli(p))
                .into_iter()
                .filter(|&hit| hit)
                .count();
            let tolerance = 4.0 * (expected * (1.0 - expected) / 10_000.0f64).sqrt();
            assert!(
                (hits as f64 / 10_000.0 - expected).abs() <= tolerance,
                "{p}: {hits}"
            );
        }
    }

    #[test]
    fn permutations_are_equally_likely() {
        let mut counts = HashMap::new();
        for order in repeat(24_000, |rng| rng.permutation(4)) {
            *counts.entry(order).or_insert(0) += 1;
        }
        assert_eq!(counts.len(), 24);
        // 23 degrees of freedom, exceeded once in 1000.
        assert!(chi_square(counts.values().copied()) < 49.73, "{counts:?}");
        assert_eq!(rng().permutation(0), [0; 0]);
        assert_eq!(rng().permutation(1), [0]);
    }

    #[test]
    fn choices_are_distinct_and_equally_likely() {
        let mut counts = HashMap::new();
        for chosen in repeat(20_000, |rng| rng.choice(5, 2).unwrap()) {
            *counts.entry(chosen).or_insert(0) += 1;
        }
        assert_eq!(counts.len(), 20);
        assert!(
            counts
                .keys()
                .all(|chosen| chosen[0] != chosen[1] && chosen.iter().all(|&index| index < 5))
        );
        // 19 degrees of freedom, exceeded once in 1000.
        assert!(chi_square(counts.values().copied()) < 43.82, "{counts:?}");
        assert_eq!(rng().choice(0, 0).unwrap(), [0; 0]);
        assert_eq!(rng().choice(usize::MAX, 2).unwrap().len(), 2);
    }

    #[test]
    fn choosing_too_many_is_an_error() {
        let error = rng().choice(3, 4).unwrap_err();
        assert_eq!(
            error.to_string(),
            "cannot choose 4 distinct elements out of 3, at most 3"
        );
    }

    #[test]
    fn other_crates_see_the_same_bits() {
        let mut ours = rng();
        let mut theirs = rng();
        let mut bytes = [0; 8];
        rand_core::Rng::fill_bytes(&mut theirs, &mut bytes);
        assert_eq!(u64::from_le_bytes(bytes), ours.next_u64());
        assert_eq!(rand_core::Rng::next_u64(&mut theirs), ours.next_u64());
        assert_eq!(rand_core::Rng::next_u32(&mut theirs), ours.next_u32());
    }
}
