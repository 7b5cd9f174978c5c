//! The receiver operating characteristic of a score (J. Hanley, B. McNeil, "The meaning and use of
//! the area under a receiver operating characteristic (ROC) curve", 1982).

use crate::Error;

/// How well a score tells positives from negatives: for each threshold the share of negatives and
/// of positives whose score reaches it.
///
/// ```
/// use cnn_metrics::RocCurve;
///
/// let curve = RocCurve::new(&[0.1, 0.4, 0.4, 0.7], &[0.4, 0.8])?;
/// // Of eight pairs the positive is above in five, and two are a tie, which counts a half.
/// assert_eq!(curve.auc(), 6. / 8.);
/// assert_eq!(curve.true_positive_rate_at(0.25), 0.5);
/// # Ok::<(), cnn_metrics::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct RocCurve {
    points: Vec<RocPoint>,
    auc: f64,
}

/// What a threshold comes to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RocPoint {
    /// Scores from here on count as positive; infinite at the first point, where none does.
    pub threshold: f64,
    /// The share of the negatives that count as positive.
    pub false_positive_rate: f64,
    /// The share of the positives that do.
    pub true_positive_rate: f64,
}

impl RocCurve {
    /// From the scores of negatives and of positives, in any order.
    ///
    /// # Errors
    ///
    /// [`Error::NoSamples`] if there is none of either, [`Error::InvalidArgument`] if a score is
    /// NaN.
    pub fn new(negatives: &[f64], positives: &[f64]) -> Result<Self, Error> {
        if negatives.is_empty() || positives.is_empty() {
            return Err(Error::NoSamples);
        }
        let labelled = |scores: &[f64], is_positive| -> Vec<(f64, bool)> {
            scores.iter().map(|&score| (score, is_positive)).collect()
        };
        let mut scores = labelled(negatives, false);
        scores.extend(labelled(positives, true));
        if scores.iter().any(|(score, _)| score.is_nan()) {
            return Err(Error::InvalidArgument {
                name: "score",
                found: f64::NAN.to_string(),
                expected: "a number",
            });
        }
        scores.sort_by(|(a, _), (b, _)| b.total_cmp(a));
        let points = points(&scores, negatives.len(), positives.len());
        // Ties of a positive with a negative count a half: the trapezium between two points.
        let area = |pair: &[RocPoint]| {
            let width = pair[1].false_positive_rate - pair[0].false_positive_rate;
            width * (pair[0].true_positive_rate + pair[1].true_positive_rate) / 2.
        };
        Ok(Self {
            auc: points.windows(2).map(area).sum(),
            points,
        })
    }

    /// The points, from the highest threshold to the lowest: from (0, 0) to (1, 1).
    pub fn points(&self) -> &[RocPoint] {
        &self.points
    }

    /// The area under the curve: the probability that a positive has a higher score than a
    /// negative, ties counted half; 0.5 of a score that tells nothing.
    pub fn auc(&self) -> f64 {
        self.auc
    }

    /// The largest share of positives that is found where at most this share of negatives is taken
    /// for them.
    pub fn true_positive_rate_at(&self, false_positive_rate: f64) -> f64 {
        let allowed = self.points.iter();
        let allowed = allowed.filter(|point| point.false_positive_rate <= false_positive_rate);
        allowed
            .map(|point| point.true_positive_rate)
            .fold(0., f64::max)
    }
}

/// One point for each score that differs, and the one before all.
fn points(falling: &[(f64, bool)], negatives: usize, positives: usize) -> Vec<RocPoint> {
    let mut points = vec![RocPoint {
        threshold: f64::INFINITY,
        false_positive_rate: 0.,
        true_positive_rate: 0.,
    }];
    let mut found = 0;
    let mut wrong = 0;
    for tied in falling.chunk_by(|(a, _), (b, _)| a == b) {
        let of_tied = tied.iter().filter(|(_, is_positive)| *is_positive).count();
        found += of_tied;
        wrong += tied.len() - of_tied;
        points.push(RocPoint {
            threshold: tied[0].0,
            false_positive_rate: wrong as f64 / negatives as f64,
            true_positive_rate: found as f64 / positives as f64,
        });
    }
    points
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_hand_computed_curve() {
        let curve = RocCurve::new(&[0.2, 0.5, 0.1, 0.5, 0.3], &[0.5, 0.9, 0.3, 0.05]).unwrap();
        let shares = curve.points().iter();
        let shares: Vec<_> = shares
            .map(|point| (point.false_positive_rate, point.true_positive_rate))
            .collect();
        let expected = [
            (0., 0.),
            (0., 0.25),
            (0.4, 0.5),
            (0.6, 0.75),
            (0.8, 0.75),
            (1., 0.75),
            (1., 1.),
        ];
        assert_eq!(shares, expected);
        // 0.9 is above all five; 0.5 above three, with two ties; 0.3 above two, with one tie; 0.05
        // above none.
        assert!((curve.auc() - (5. + 4. + 2.5) / 20.).abs() < 1e-12);
        assert_eq!(curve.true_positive_rate_at(0.05), 0.25);
        assert_eq!(curve.true_positive_rate_at(0.6), 0.75);
    }

    #[test]
    fn the_ends_of_the_range() {
        let auc = |negatives: &[f64], positives: &[f64]| {
            RocCurve::new(negatives, positives).map(|curve| curve.auc())
        };
        assert_eq!(auc(&[1., 2.], &[3., 4.]), Ok(1.));
        assert_eq!(auc(&[3., 4.], &[1., 2.]), Ok(0.));
        assert_eq!(auc(&[7.; 3], &[7.; 5]), Ok(0.5));
        assert_eq!(auc(&[f64::NEG_INFINITY], &[f64::INFINITY]), Ok(1.));
        assert_eq!(auc(&[], &[1.]), Err(Error::NoSamples));
        assert!(auc(&[f64::NAN], &[1.]).is_err());
    }
}
