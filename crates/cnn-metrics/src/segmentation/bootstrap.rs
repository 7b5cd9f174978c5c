//! How uncertain the scores of a segmentation are: the bootstrap over images.
//!
//! B. Efron, "Bootstrap methods: another look at the jackknife", 1979; B. Efron and R. J.
//! Tibshirani, "An introduction to the bootstrap", 1993, chapter 13 (percentile intervals).

use serde::Serialize;

use super::overlap::{Images, Overlap};
use crate::interval::{check_confidence, percentile_interval};
use crate::mean::mean;
use crate::random::Draws;
use crate::{Error, Interval};

const MAX_RESAMPLES: usize = 100_000;

/// How intervals are computed by resampling images.
///
/// Pixels of an image are anything but independent, images are: each resample draws as many images
/// as there are, with replacement, and computes the scores of their pixels together. An interval
/// lies between the quantiles at `(1 ∓ confidence) / 2` of a score's values over the resamples,
/// between two values linearly. It says how much the score depends on which images were drawn, not
/// how much on the training; of one image it is a point.
///
/// Images whose pixels are all ignored are not drawn.
///
/// ```
/// use cnn_metrics::{Bootstrap, SegmentationMetrics};
///
/// let mut metrics = SegmentationMetrics::new(2)?;
/// for wrong in [0, 1, 1, 2, 3, 4, 4, 5] {
///     let mut prediction = [1; 10];
///     prediction[..wrong].fill(0);
///     metrics.update(&prediction, &[1; 10])?;
/// }
/// let intervals = metrics.intervals(&Bootstrap::default())?;
/// let iou = intervals.per_class_iou[1].expect("the class occurs");
/// assert!(iou.low < 0.75 && 0.75 < iou.high); // 60 of 80 pixels
/// assert_eq!(metrics.intervals(&Bootstrap::default())?, intervals);
/// # Ok::<(), cnn_metrics::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bootstrap {
    /// How often images are drawn anew, at most 100000. Default: 1000.
    pub resamples: usize,
    /// The share of resamples within the interval, between 0 and 1. Default: 0.95.
    pub confidence: f64,
    /// The same seed gives the same intervals on every platform. Default: 0.
    pub seed: u64,
}

impl Default for Bootstrap {
    fn default() -> Self {
        Self {
            resamples: 1000,
            confidence: 0.95,
            seed: 0,
        }
    }
}

/// Intervals of the scores that are counted over all pixels.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SegmentationIntervals {
    /// Of [`SegmentationResult::mean_iou`](crate::SegmentationResult::mean_iou), in each resample
    /// over the classes that occur in it.
    pub mean_iou: Interval,
    /// Of each class's `iou`, by index, over the resamples in which the class occurs; none where
    /// it occurs in none.
    pub per_class_iou: Vec<Option<Interval>>,
}

impl Bootstrap {
    pub(super) fn intervals(
        &self,
        images: &Images,
        classes: usize,
    ) -> Result<SegmentationIntervals, Error> {
        check_confidence(self.confidence)?;
        if !(1..=MAX_RESAMPLES).contains(&self.resamples) {
            return Err(Error::argument("resamples", self.resamples, "1 to 100000"));
        }
        let mut means = Vec::with_capacity(self.resamples);
        let mut of_classes = vec![Vec::new(); classes];
        for resample in 0..self.resamples {
            let overlaps = self.resample(resample as u64, images, classes);
            means.extend(mean(overlaps.iter().map(|overlap| overlap.iou())));
            for (values, overlap) in of_classes.iter_mut().zip(&overlaps) {
                values.extend(overlap.iou());
            }
        }
        Ok(SegmentationIntervals {
            mean_iou: percentile_interval(means, self.confidence).ok_or(Error::NoSamples)?,
            per_class_iou: of_classes
                .into_iter()
                .map(|values| percentile_interval(values, self.confidence))
                .collect(),
        })
    }

    /// The overlaps of all classes, summed over as many images as there are, drawn with
    /// replacement.
    fn resample(&self, resample: u64, images: &Images, classes: usize) -> Vec<Overlap> {
        let mut draws = Draws::new(self.seed, resample);
        let mut overlaps = vec![Overlap::default(); classes];
        for _ in 0..images.len() {
            let image = draws.below(images.len() as u64) as usize;
            for &(class, overlap) in images.get(image) {
                overlaps[usize::from(class)] += overlap;
            }
        }
        overlaps
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use super::*;
    use crate::SegmentationMetrics;

    /// Images of ten pixels of class 1, of which 0 to 10 are found, all numbers as likely.
    fn gathered(seed: u64, images: usize) -> SegmentationMetrics {
        let mut draws = Draws::new(seed, 1 << 40);
        let mut metrics = SegmentationMetrics::new(3).unwrap();
        for _ in 0..images {
            let mut prediction = [0; 10];
            prediction[..draws.below(11) as usize].fill(1);
            metrics.update(&prediction, &[1; 10]).unwrap();
        }
        metrics
    }

    #[test]
    fn intervals_cover_as_often_as_they_say() {
        let bootstrap = Bootstrap {
            resamples: 200,
            confidence: 0.9,
            seed: 0,
        };
        // The expectation of the class's IoU is 0.5, since the union is always the whole image.
        let covered = (0..400).filter(|&seed| {
            let intervals = gathered(seed, 40).intervals(&bootstrap).unwrap();
            let iou = intervals.per_class_iou[1].unwrap();
            iou.low <= 0.5 && 0.5 <= iou.high
        });
        // Four standard deviations of a binomial count around 360.
        let covered = covered.count();
        assert!((336..=384).contains(&covered), "{covered} of 400");
    }

    #[test]
    fn intervals_lie_around_the_score_and_depend_on_the_seed_alone() {
        let metrics = gathered(3, 25);
        let result = metrics.result().unwrap();
        let of_seed = |seed| {
            let bootstrap = Bootstrap {
                seed,
                ..Bootstrap::default()
            };
            metrics.intervals(&bootstrap).unwrap()
        };
        let intervals = of_seed(5);
        assert_eq!(intervals, of_seed(5));
        assert_ne!(intervals, of_seed(6));
        assert!(intervals.mean_iou.low < result.mean_iou);
        assert!(result.mean_iou < intervals.mean_iou.high);
        assert_eq!(intervals.per_class_iou[2], None);
    }

    #[test]
    fn of_one_image_an_interval_is_a_point() {
        let mut metrics = SegmentationMetrics::new(2).unwrap();
        metrics.update(&[0, 1, 1], &[0, 1, 0]).unwrap();
        metrics.update(&[0, 1, 1], &[255; 3]).unwrap(); // is not drawn
        let intervals = metrics.intervals(&Bootstrap::default()).unwrap();
        assert_eq!(
            (intervals.mean_iou.low, intervals.mean_iou.high),
            (0.5, 0.5)
        );
    }

    #[test]
    fn bad_arguments_are_errors() {
        let metrics = gathered(0, 2);
        for resamples in [0, 100_001, usize::MAX] {
            let bootstrap = Bootstrap {
                resamples,
                ..Bootstrap::default()
            };
            assert_eq!(
                metrics.intervals(&bootstrap).unwrap_err().to_string(),
                format!("resamples is {resamples}, expected 1 to 100000")
            );
        }
        let bootstrap = Bootstrap {
            confidence: f64::NAN,
            ..Bootstrap::default()
        };
        assert_eq!(
            metrics.intervals(&bootstrap).unwrap_err().to_string(),
            "confidence is NaN, expected a number above 0 and below 1"
        );
    }
}
