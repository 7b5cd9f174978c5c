//! How uncertain an accuracy is.
//!
//! E. B. Wilson, "Probable inference, the law of succession, and statistical inference", 1927; B.
//! Efron, "Bootstrap methods: another look at the jackknife", 1979.

use serde::Serialize;

use crate::Error;

/// Both ends of a confidence interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Interval {
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

/// Wilson's score interval of an accuracy of `correct` out of `samples`, at `confidence` (such as
/// 0.95).
///
/// With `p = correct / samples` and `z` the normal quantile at `(1 + confidence) / 2`, its ends are
/// `(p + z²/2n ± z·√(p(1−p)/n + z²/4n²)) / (1 + z²/n)`, always within 0..1.
///
/// It covers the true accuracy about as often as it says also for small samples and for accuracies
/// near 0 and 1, where the textbook's `p ± z·√(p(1−p)/n)` and the percentile bootstrap (which for
/// an accuracy only resamples a binomial distribution) shrink to a point. Samples are taken to be
/// independent.
///
/// # Errors
///
/// [`Error::NoSamples`]; [`Error::InvalidArgument`] if `correct > samples` or `confidence` is not
/// strictly between 0 and 1.
///
/// ```
/// let interval = cnn_metrics::wilson_interval(9173, 10_000, 0.95)?;
/// assert_eq!((interval.low * 1e4).round(), 9117.0);
/// assert_eq!((interval.high * 1e4).round(), 9225.0);
/// # Ok::<(), cnn_metrics::Error>(())
/// ```
pub fn wilson_interval(correct: u64, samples: u64, confidence: f64) -> Result<Interval, Error> {
    check(correct, samples, confidence)?;
    let n = samples as f64;
    let p = correct as f64 / samples as f64;
    let z = two_sided_quantile(1.0 - confidence);
    let scale = 1.0 + z * z / n;
    let centre = (p + z * z / (2.0 * n)) / scale;
    let reach = z * (p * (1.0 - p) / n + z * z / (4.0 * n * n)).sqrt() / scale;
    // Rounding must not lift the ends off the bounds that they reach exactly.
    let low = if correct == 0 {
        0.0
    } else {
        (centre - reach).max(0.0)
    };
    let high = if correct == samples {
        1.0
    } else {
        (centre + reach).min(1.0)
    };
    Ok(Interval { low, high })
}

/// The percentile bootstrap interval of an accuracy of `correct` out of `samples`, at `confidence`
/// (such as 0.95).
///
/// Resampling right and wrong answers with replacement gives a binomial number of right ones, so
/// the interval that ever more resamples approach needs none: its ends are the binomial quantiles
/// at `(1 ∓ confidence) / 2`, divided by `samples`. The same every time. It is a point where all or
/// no answers are right; see [`wilson_interval`] for those.
///
/// # Errors
///
/// As [`wilson_interval`].
///
/// ```
/// let interval = cnn_metrics::bootstrap_interval(9173, 10_000, 0.95)?;
/// assert_eq!((interval.low, interval.high), (0.9119, 0.9227));
/// # Ok::<(), cnn_metrics::Error>(())
/// ```
pub fn bootstrap_interval(correct: u64, samples: u64, confidence: f64) -> Result<Interval, Error> {
    check(correct, samples, confidence)?;
    let tail = (1.0 - confidence) / 2.0;
    let share = |count: u64| count as f64 / samples as f64;
    // By symmetry the upper quantile is the lower one of the wrong answers, where small sums keep
    // their precision.
    let wrong = samples - correct;
    let low = binomial_lower_quantile(correct, samples, tail);
    let high = samples - binomial_lower_quantile(wrong, samples, tail);
    Ok(Interval {
        low: share(low),
        high: share(high),
    })
}

/// The smallest `k` such that `P(X ≤ k) ≥ tail`, for X binomial with `samples` draws of probability
/// `correct / samples`.
fn binomial_lower_quantile(correct: u64, samples: u64, tail: f64) -> u64 {
    if correct == 0 || correct == samples {
        return correct;
    }
    let n = samples as f64;
    let p = correct as f64 / samples as f64;
    let log_odds = libm::log(p / (1.0 - p));
    let log_wrong = libm::log1p(-p);
    let mut cumulative = 0.0;
    for k in 0..samples {
        let successes = k as f64;
        let ways = libm::lgamma(n + 1.0)
            - libm::lgamma(successes + 1.0)
            - libm::lgamma(n - successes + 1.0);
        cumulative += libm::exp(ways + successes * log_odds + n * log_wrong);
        if cumulative >= tail {
            return k;
        }
    }
    samples
}

pub(crate) fn check(correct: u64, samples: u64, confidence: f64) -> Result<(), Error> {
    if samples == 0 {
        return Err(Error::NoSamples);
    }
    if correct > samples {
        return Err(Error::argument(
            "correct",
            format!("{correct} of {samples}"),
            "at most the number of samples",
        ));
    }
    check_confidence(confidence)
}

/// Fails unless it is strictly between 0 and 1.
pub(crate) fn check_confidence(confidence: f64) -> Result<(), Error> {
    if confidence > 0.0 && confidence < 1.0 {
        Ok(())
    } else {
        Err(Error::argument(
            "confidence",
            confidence,
            "a number above 0 and below 1",
        ))
    }
}

/// The quantiles of `values` at `(1 ∓ confidence) / 2`, between two values linearly, as
/// `numpy.quantile` takes them; none of no values.
pub(crate) fn percentile_interval(mut values: Vec<f64>, confidence: f64) -> Option<Interval> {
    values.sort_by(f64::total_cmp);
    let quantile = |share: f64| {
        let position = share * values.len().checked_sub(1)? as f64;
        let below = *values.get(position.floor() as usize)?;
        let above = *values.get(position.ceil() as usize)?;
        Some(below + (above - below) * position.fract())
    };
    let tail = (1.0 - confidence) / 2.0;
    Some(Interval {
        low: quantile(tail)?,
        high: quantile(1.0 - tail)?,
    })
}

/// The `z` that a standard normal value exceeds in magnitude with probability `outside`, by
/// bisection of `erfc(z/√2)`; 0 if that is 1 or more, 40 if it is 0 or less.
///
/// ```
/// let z = cnn_metrics::two_sided_quantile(0.05);
/// assert!((z - 1.959963984540054).abs() < 1e-12);
/// ```
pub fn two_sided_quantile(outside: f64) -> f64 {
    let mut low = 0.0;
    let mut high = 40.0;
    // Halves the interval down to neighbouring numbers: 2⁻¹⁰⁰ of 40 is below the spacing of any
    // quantile above 10⁻¹³.
    for _ in 0..100 {
        let middle = (low + high) / 2.0;
        if libm::erfc(middle / std::f64::consts::SQRT_2) > outside {
            low = middle;
        } else {
            high = middle;
        }
    }
    (low + high) / 2.0
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use super::*;

    // scipy.stats.binomtest(correct, samples).proportion_ci(confidence, "wilson"), scipy 1.17.1
    #[test]
    fn equals_scipy() {
        let cases = [
            (0, 10, 0.95, 0.0, 0.27753279986288926),
            (10, 10, 0.95, 0.7224672001371109, 1.0),
            (7, 10, 0.95, 0.39677814746114526, 0.892208732593699),
            (9173, 10_000, 0.95, 0.9117401216863086, 0.9225393932735246),
            (37, 40, 0.99, 0.7482310238479385, 0.9808367446706149),
            (1, 3, 0.5, 0.18281725015861316, 0.5277418231406089),
            (500, 1000, 0.999999, 0.4235654663579616, 0.5764345336420384),
        ];
        for (correct, samples, confidence, low, high) in cases {
            let interval = wilson_interval(correct, samples, confidence).unwrap();
            assert!(
                (interval.low - low).abs() < 1e-11 && (interval.high - high).abs() < 1e-11,
                "{interval:?} {low} {high}"
            );
        }
    }

    // scipy.stats.binom.ppf([(1 - c) / 2, (1 + c) / 2], samples, correct / samples) / samples,
    // scipy 1.17.1
    #[test]
    fn the_bootstrap_equals_binomial_quantiles() {
        let cases = [
            (0, 10, 0.95, 0.0, 0.0),
            (10, 10, 0.95, 10.0, 10.0),
            (7, 10, 0.95, 4.0, 10.0),
            (9173, 10000, 0.95, 9119.0, 9227.0),
            (37, 40, 0.99, 32.0, 40.0),
            (1, 3, 0.5, 0.0, 2.0),
            (1500, 100000, 0.9, 1437.0, 1563.0),
        ];
        for (correct, samples, confidence, low, high) in cases {
            let interval = bootstrap_interval(correct, samples, confidence).unwrap();
            assert_eq!(
                (interval.low, interval.high),
                (low / samples as f64, high / samples as f64),
                "{correct} of {samples}"
            );
        }
    }

    // 2 * scipy.stats.norm.sf(z) for z = 1.959963984540054, 2.5758293035489004, 0.2533471031357997
    #[test]
    fn quantiles_are_those_of_the_normal_distribution() {
        for (outside, z) in [
            (0.05, 1.959963984540054),
            (0.01, 2.5758293035489004),
            (0.8, 0.2533471031357997),
        ] {
            assert!((two_sided_quantile(outside) - z).abs() < 1e-14, "{outside}");
        }
    }

    #[test]
    fn ends_stay_within_bounds_and_around_the_accuracy() {
        for samples in 1..60 {
            for correct in 0..=samples {
                for confidence in [1e-9, 0.5, 0.95, 1.0 - f64::EPSILON] {
                    let Interval { low, high } =
                        wilson_interval(correct, samples, confidence).unwrap();
                    let accuracy = correct as f64 / samples as f64;
                    assert!(
                        0.0 <= low
                            && low <= accuracy + 1e-15
                            && accuracy <= high + 1e-15
                            && high <= 1.0
                    );
                }
            }
        }
    }

    // numpy.quantile(values, [(1 - c) / 2, (1 + c) / 2])
    #[test]
    fn percentiles_equal_numpy() {
        let values = [0.5, 0.25, 1.0, 0.75, 0.0];
        let cases = [
            (vec![0.5], 0.95, 0.5, 0.5),
            (values.to_vec(), 0.5, 0.25, 0.75),
            (values.to_vec(), 0.9, 0.05, 0.95),
            (vec![3.0, 1.0], 0.8, 1.2, 2.8),
        ];
        for (values, confidence, low, high) in cases {
            let interval = percentile_interval(values, confidence).unwrap();
            assert!(
                (interval.low - low).abs() < 1e-15 && (interval.high - high).abs() < 1e-15,
                "{interval:?} {low} {high}"
            );
        }
        assert_eq!(percentile_interval(Vec::new(), 0.95), None);
    }

    #[test]
    fn bad_arguments_are_errors() {
        assert_eq!(wilson_interval(0, 0, 0.95), Err(Error::NoSamples));
        assert_eq!(
            wilson_interval(5, 4, 0.95).unwrap_err().to_string(),
            "correct is 5 of 4, expected at most the number of samples"
        );
        for confidence in [0.0, 1.0, -0.5, 95.0, f64::NAN] {
            let message = wilson_interval(1, 2, confidence).unwrap_err().to_string();
            assert_eq!(
                message,
                format!("confidence is {confidence}, expected a number above 0 and below 1")
            );
        }
    }
}
