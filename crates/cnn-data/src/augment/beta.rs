//! The symmetric beta distribution.

use std::ops::RangeInclusive;

use cnn_core::Rng;

/// The parameters for which [`beta`] is accurate.
pub(super) const ALPHAS: RangeInclusive<f64> = 0.001..=1000.0;

/// A value of Beta(α, α), with α within [`ALPHAS`]: `x / (x + y)` of two gamma variates.
pub(super) fn beta(alpha: f64, rng: &mut Rng) -> f64 {
    let x = log_gamma_variate(alpha, rng);
    let y = log_gamma_variate(alpha, rng);
    1.0 / (1.0 + libm::exp(y - x))
}

/// The logarithm of a value of Gamma(α, 1) (G. Marsaglia and W. W. Tsang, "A simple method for
/// generating gamma variables", 2000). For a small α the value itself would underflow.
fn log_gamma_variate(alpha: f64, rng: &mut Rng) -> f64 {
    // Gamma(α) is Gamma(α + 1) · U^(1/α), and the method needs a shape of at least 1.
    let d = alpha + 1.0 - 1.0 / 3.0;
    let c = 1.0 / (9.0 * d).sqrt();
    let log_larger = loop {
        let x = rng.normal();
        let root = 1.0 + c * x;
        let u = 1.0 - rng.uniform();
        if root > 0.0 {
            let log_v = 3.0 * libm::log(root);
            if libm::log(u) < 0.5 * x * x + d * (1.0 - root * root * root + log_v) {
                break libm::log(d) + log_v;
            }
        }
    };
    log_larger + libm::log(1.0 - rng.uniform()) / alpha
}

#[cfg(test)]
mod tests {
    use super::*;
    use cnn_core::Key;

    // Mean 1/2, variance 1 / (4·(2α + 1)), fourth central moment 3 / (16·(2α + 1)·(2α + 3)).
    #[test]
    fn moments_are_those_of_the_distribution() {
        for alpha in [0.001, 0.1, 0.2, 0.8, 1.0, 4.0, 1000.0] {
            let mut rng = Key::new(0).stream("beta").rng();
            let values: Vec<f64> = (0..40_000).map(|_| beta(alpha, &mut rng)).collect();
            assert!(values.iter().all(|value| (0.0..=1.0).contains(value)));
            let moment = |order: i32| {
                values
                    .iter()
                    .map(|value| (value - 0.5).powi(order))
                    .sum::<f64>()
                    / 40_000.0
            };
            let variance = 0.25 / (2.0 * alpha + 1.0);
            let fourth = 3.0 / 16.0 / ((2.0 * alpha + 1.0) * (2.0 * alpha + 3.0));
            assert!(
                moment(1).abs() < 4.0 * (variance / 40_000.0).sqrt(),
                "α {alpha}: mean − 1/2 is {}",
                moment(1)
            );
            assert!(
                (moment(2) / variance - 1.0).abs() < 0.03,
                "α {alpha}: variance {} for {variance}",
                moment(2)
            );
            assert!(
                (moment(4) / fourth - 1.0).abs() < 0.06,
                "α {alpha}: fourth moment {} for {fourth}",
                moment(4)
            );
        }
    }

    // Beta(1, 1) is uniform, Beta(1/2, 1/2) has the distribution function 2/π · asin √x.
    #[test]
    fn distribution_functions_agree() {
        type Distribution = fn(f64) -> f64;
        let cases: [(f64, Distribution); 2] = [
            (1.0, |x| x),
            (0.5, |x| x.sqrt().asin() * std::f64::consts::FRAC_2_PI),
        ];
        for (alpha, distribution) in cases {
            let mut rng = Key::new(1).stream("beta").rng();
            let mut values: Vec<f64> = (0..20_000).map(|_| beta(alpha, &mut rng)).collect();
            values.sort_by(f64::total_cmp);
            let distance = values
                .iter()
                .enumerate()
                .map(|(rank, &x)| (distribution(x) - rank as f64 / 20_000.0).abs());
            // Kolmogorov and Smirnov: exceeded once in 1000.
            let largest = distance.fold(0.0, f64::max) * 20_000f64.sqrt();
            assert!(largest < 1.95, "α {alpha}: {largest}");
        }
    }
}
