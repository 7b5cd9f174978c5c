//! What a number of successes says of their probability, exactly.
//!
//! C. J. Clopper, E. S. Pearson, "The use of confidence or fiducial limits illustrated in the case
//! of the binomial", 1934.

use crate::Error;
use crate::interval::check;

/// The lower end of the one-sided interval of Clopper and Pearson: with `confidence` the
/// probability of a success is at least that, whatever it is.
///
/// It is the `p` with `P(X ≥ correct) = 1 − confidence` for X binomial with `samples` draws of
/// probability `p`, which is a quantile of the beta distribution; 0 without successes.
///
/// # Errors
///
/// [`Error::NoSamples`]; [`Error::InvalidArgument`] if `correct > samples` or `confidence` is not
/// strictly between 0 and 1.
///
/// ```
/// // All of n: the probability is at least the n-th root of 1 − confidence.
/// let low = cnn_metrics::clopper_pearson_lower(100, 100, 0.999)?;
/// assert!((low - 0.001f64.powf(0.01)).abs() < 1e-12);
/// # Ok::<(), cnn_metrics::Error>(())
/// ```
pub fn clopper_pearson_lower(correct: u64, samples: u64, confidence: f64) -> Result<f64, Error> {
    check(correct, samples, confidence)?;
    if correct == 0 {
        return Ok(0.0);
    }
    let tail = 1.0 - confidence;
    let mut low = 0.0;
    let mut high = 1.0;
    for _ in 0..100 {
        let middle = (low + high) / 2.0;
        if at_least(correct, samples, middle) < tail {
            low = middle;
        } else {
            high = middle;
        }
    }
    // The lower one claims less.
    Ok(low)
}

/// The p-value of the hypothesis that both outcomes are equally likely: the probability of a number
/// of successes that is as far from a half as `correct`, in either direction.
///
/// # Errors
///
/// [`Error::NoSamples`]; [`Error::InvalidArgument`] if `correct > samples`.
pub fn even_odds_p_value(correct: u64, samples: u64) -> Result<f64, Error> {
    check(correct, samples, 0.5)?;
    let most = correct.max(samples - correct);
    if 2 * most == samples {
        return Ok(1.0);
    }
    Ok((2.0 * at_least(most, samples, 0.5)).min(1.0))
}

/// `P(X ≥ correct)` for X binomial: the regularised incomplete beta function
/// `I_p(correct, samples − correct + 1)`. `correct` is not 0.
fn at_least(correct: u64, samples: u64, p: f64) -> f64 {
    let [a, b] = [correct as f64, (samples - correct + 1) as f64];
    // The continued fraction converges fast on this side of the mean only.
    if p < (a + 1.0) / (a + b + 2.0) {
        partial_beta(a, b, p)
    } else {
        1.0 - partial_beta(b, a, 1.0 - p)
    }
}

/// `I_x(a, b)` by its continued fraction (DLMF 8.17.22), evaluated by Lentz's method.
fn partial_beta(a: f64, b: f64, x: f64) -> f64 {
    if x <= 0.0 {
        return 0.0;
    }
    let log_beta = libm::lgamma(a) + libm::lgamma(b) - libm::lgamma(a + b);
    let front = libm::exp(a * libm::log(x) + b * libm::log1p(-x) - log_beta) / a;
    let term = |number: u32| {
        let m = f64::from(number / 2);
        let top = if number.is_multiple_of(2) {
            m * (b - m)
        } else {
            -(a + m) * (a + b + m)
        };
        top * x / ((a + f64::from(number) - 1.0) * (a + f64::from(number)))
    };
    // Never exactly 0, so that neither is divided by.
    let nonzero = |value: f64| if value.abs() < 1e-300 { 1e-300 } else { value };
    let mut fraction = 1.0;
    let mut upper = 1.0;
    let mut lower = 0.0;
    for number in 1..100_000 {
        let term = term(number);
        lower = 1.0 / nonzero(1.0 + term * lower);
        upper = nonzero(1.0 + term / upper);
        let change = upper * lower;
        fraction *= change;
        if (change - 1.0).abs() < 1e-15 {
            break;
        }
    }
    front / fraction
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use super::*;

    // scipy.stats.beta.ppf(1 - confidence, correct, samples - correct + 1), scipy 1.17.1
    #[test]
    fn lower_ends_equal_scipy() {
        for (correct, samples, confidence, expected) in LOWER {
            let found = clopper_pearson_lower(correct, samples, confidence).unwrap();
            assert!((found - expected).abs() < 1e-10, "{found} {expected}");
        }
        assert_eq!(clopper_pearson_lower(0, 9, 0.9).unwrap(), 0.0);
        assert!(clopper_pearson_lower(10, 9, 0.9).is_err());
        assert!(clopper_pearson_lower(1, 0, 0.9).is_err());
        assert!(clopper_pearson_lower(1, 9, 1.0).is_err());
    }

    // scipy.stats.binomtest(correct, samples, 0.5).pvalue
    #[test]
    fn p_values_equal_scipy() {
        for (correct, samples, expected) in P_VALUES {
            let found = even_odds_p_value(correct, samples).unwrap();
            let error = (found - expected).abs() / expected;
            assert!(error < 1e-9, "{correct} of {samples}: {found} {expected}");
        }
    }

    const LOWER: [(u64, u64, f64, f64); 12] = [
        (1, 1, 0.95, 0.050000000000000044),
        (3, 10, 0.95, 0.08726443391415035),
        (10, 10, 0.999, 0.5011872336272724),
        (99, 100, 0.999, 0.9113731112960425),
        (60, 100, 0.999, 0.4409842652212994),
        (990, 1000, 0.999, 0.9760361871553114),
        (1000, 1000, 0.999, 0.9931160484209338),
        (550, 1000, 0.9, 0.5292790276369945),
        (99000, 100000, 0.999, 0.9889893403774748),
        (100000, 100000, 0.999, 0.9999309248330094),
        (50123, 100000, 0.999, 0.49633897516366743),
        (1, 1000, 0.99, 1.0050285349045262e-05),
    ];
    const P_VALUES: [(u64, u64, f64); 9] = [
        (1, 2, 1.0),
        (5, 5, 0.0625),
        (3, 10, 0.34375),
        (10, 10, 0.001953125),
        (60, 100, 0.05688793364098089),
        (40, 100, 0.05688793364098089),
        (501, 1000, 0.9747749818216395),
        (700, 1000, 1.7665678007949568e-37),
        (50500, 100000, 0.0015823598788515154),
    ];
}
