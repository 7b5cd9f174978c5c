//! How well the contours of a segmentation follow the true ones.
//!
//! G. Csurka, D. Larlus and F. Perronnin, "What is a good evaluation measure for semantic
//! segmentation?", 2013.

use serde::Serialize;

use super::contours::{Contours, Reach, Size};
use super::distance::DistanceTransform;
use super::masks::{check_classes, check_masks, check_size};
use crate::Error;

/// The tolerance that Csurka et al. use: 0.75 % of the image's diagonal.
pub const DEFAULT_BOUNDARY_TOLERANCE: f64 = 0.0075;

/// Gathers boundary F1 scores (BF) image by image; [`BoundaryF1::result`] may be asked at any time.
///
/// A pixel lies on the boundary of its class if one of its 4-neighbours is of another class; the
/// image's edge makes no boundary. With `B` the pixels on a class's boundary in the prediction, `T`
/// those in the truth, `d` the Euclidean distance between centres of pixels, and
/// `θ = tolerance · √(height² + width²)`, the class's score in an image is
///
/// ```text
/// P = |{b ∈ B : d(b, T) < θ}| / |B|     R = |{t ∈ T : d(t, B) < θ}| / |T|     F1 = 2·P·R / (P + R)
/// ```
///
/// It is 0 where only one of the two has a boundary, or where nothing is within the tolerance, and
/// is left out where neither has one. An image's score is the mean over its classes that have one,
/// and the result the mean over images, since the paper argues for scores per image.
///
/// Ignored pixels are taken out of truth and prediction alike: none lies on a boundary, nor does a
/// pixel for its neighbour being ignored. Where a band of ignored pixels separates the classes, as
/// in PASCAL VOC, the truth has no boundary there, and this is not the measure to use.
///
/// It takes time in proportion to pixels times classes with a boundary in both. MATLAB's `bfscore`
/// takes the same tolerance, but traces boundaries with its own functions.
///
/// ```
/// use cnn_metrics::BoundaryF1;
///
/// let truth = [
///     0, 0, 1, 1, //
///     0, 0, 1, 1,
/// ];
/// let prediction = [
///     0, 0, 1, 1, //
///     0, 1, 1, 1,
/// ];
/// let mut scores = BoundaryF1::new(2)?;
/// scores.update(&prediction, &truth, 2, 4)?;
/// let result = scores.result()?;
/// // The boundary of class 1 is pixels 2 and 6, in the prediction 2 and 5.
/// assert_eq!(result.per_class[1], Some(0.5));
/// # Ok::<(), cnn_metrics::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct BoundaryF1 {
    tolerance: f64,
    samples: u64,
    images: RunningMean,
    per_class: Vec<RunningMean>,
    transform: DistanceTransform,
}

/// The boundary scores of all images so far, in 0..1.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BoundaryF1Result {
    /// How many images there were.
    pub samples: u64,
    /// Mean over images of the mean over the image's classes; none where no image has a boundary.
    pub mean_per_image: Option<f64>,
    /// Of each class, by index, the mean over the images in which it has a boundary, in truth or
    /// prediction; none where it has one in no image.
    pub per_class: Vec<Option<f64>>,
}

#[derive(Clone, Copy, Debug, Default)]
struct RunningMean {
    sum: f64,
    count: u64,
}

impl RunningMean {
    fn add(&mut self, value: f64) {
        self.sum += value;
        self.count += 1;
    }

    fn get(self) -> Option<f64> {
        (self.count > 0).then(|| self.sum / self.count as f64)
    }
}

impl BoundaryF1 {
    /// Nothing gathered yet; the tolerance is [`DEFAULT_BOUNDARY_TOLERANCE`].
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgument`] if `classes` is 0 or above 255.
    pub fn new(classes: usize) -> Result<Self, Error> {
        check_classes(classes)?;
        Ok(Self {
            tolerance: DEFAULT_BOUNDARY_TOLERANCE,
            samples: 0,
            images: RunningMean::default(),
            per_class: vec![RunningMean::default(); classes],
            transform: DistanceTransform::default(),
        })
    }

    /// Sets the tolerance, a share of the image's diagonal above 0, for the images to come.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgument`] if it is not a finite number above 0.
    pub fn with_tolerance(mut self, tolerance: f64) -> Result<Self, Error> {
        if !(tolerance > 0.0 && tolerance.is_finite()) {
            return Err(Error::argument(
                "tolerance",
                tolerance,
                "a finite number above 0, a share of the diagonal",
            ));
        }
        self.tolerance = tolerance;
        Ok(self)
    }

    /// Adds an image: masks of `height` rows of `width` pixels, as
    /// [`SegmentationMetrics`](crate::SegmentationMetrics) takes them.
    ///
    /// # Errors
    ///
    /// [`Error::PixelCount`], [`Error::ImageSize`], [`Error::PixelOutOfRange`]; nothing of the
    /// image is counted then.
    pub fn update(
        &mut self,
        predictions: &[u8],
        targets: &[u8],
        height: usize,
        width: usize,
    ) -> Result<(), Error> {
        check_masks(predictions, targets, self.per_class.len())?;
        check_size(targets.len(), height, width)?;
        let size = Size { height, width };
        let classes = self.per_class.len();
        let truth = Contours::of(targets, targets, classes, size);
        let prediction = Contours::of(predictions, targets, classes, size);
        let tolerance = self.tolerance * (height as f64).hypot(width as f64);
        let mut image = RunningMean::default();
        for class in 0..classes {
            let reach = Reach {
                class: class as u8,
                tolerance,
            };
            if let Some(score) = reach.f1(&prediction, &truth, &mut self.transform) {
                image.add(score);
                self.per_class[class].add(score);
            }
        }
        if let Some(score) = image.get() {
            self.images.add(score);
        }
        self.samples += 1;
        Ok(())
    }

    /// The scores of all images so far.
    ///
    /// # Errors
    ///
    /// [`Error::NoSamples`].
    pub fn result(&self) -> Result<BoundaryF1Result, Error> {
        if self.samples == 0 {
            return Err(Error::NoSamples);
        }
        Ok(BoundaryF1Result {
            samples: self.samples,
            mean_per_image: self.images.get(),
            per_class: self.per_class.iter().map(|mean| mean.get()).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use super::*;
    use crate::IGNORED_TARGET;
    use crate::random::Draws;

    fn scores(prediction: &[u8], target: &[u8], size: Size, tolerance: f64) -> BoundaryF1Result {
        let scores = BoundaryF1::new(4).unwrap();
        let mut scores = scores.with_tolerance(tolerance).unwrap();
        scores
            .update(prediction, target, size.height, size.width)
            .unwrap();
        scores.result().unwrap()
    }

    fn random(seed: u64, size: Size) -> Vec<u8> {
        let mut draws = Draws::new(seed, 0);
        let pixels = 0..size.height * size.width;
        pixels.map(|_| draws.below(4) as u8).collect()
    }

    const SIZE: Size = Size {
        height: 3,
        width: 8,
    };

    /// Class 1 right of a vertical edge, else class 0.
    fn edge(at: usize) -> Vec<u8> {
        let pixels = 0..SIZE.height * SIZE.width;
        pixels
            .map(|pixel| u8::from(pixel % SIZE.width >= at))
            .collect()
    }

    #[test]
    fn an_edge_is_found_within_the_tolerance_and_not_at_it() {
        let diagonal = 73_f64.sqrt();
        let cases = [
            (0, DEFAULT_BOUNDARY_TOLERANCE, 1.0),
            (1, DEFAULT_BOUNDARY_TOLERANCE, 0.0),
            (1, 1.01 / diagonal, 1.0),
            (2, 1.99 / diagonal, 0.0),
            (2, 2.01 / diagonal, 1.0),
            (2, 1e300, 1.0),
        ];
        for (off, tolerance, expected) in cases {
            let result = scores(&edge(4 + off), &edge(4), SIZE, tolerance);
            assert_eq!(
                result.per_class[..2],
                [Some(expected); 2],
                "{off} {tolerance}"
            );
            assert_eq!(result.per_class[2], None);
            assert_eq!(result.mean_per_image, Some(expected));
        }
        // A 3-4-5 triangle: the tolerance is exactly 1 pixel, and a distance of 1 is not below it.
        let row =
            |at: usize| -> Vec<u8> { (0..12).map(|pixel| u8::from(pixel % 4 >= at)).collect() };
        let size = Size {
            height: 3,
            width: 4,
        };
        assert_eq!(
            scores(&row(2), &row(1), size, 0.2).mean_per_image,
            Some(0.0)
        );
    }

    #[test]
    fn a_boundary_on_one_side_alone_scores_zero_and_none_nothing() {
        let plain = [0; 24];
        let result = scores(&plain, &edge(4), SIZE, 1.0);
        assert_eq!(result.per_class[..2], [Some(0.0); 2]);
        let result = scores(&edge(4), &plain, SIZE, 1.0);
        assert_eq!(result.per_class[..2], [Some(0.0); 2]);
        let result = scores(&plain, &plain, SIZE, 1.0);
        assert_eq!(result.per_class, [None; 4]);
        assert_eq!((result.samples, result.mean_per_image), (1, None));
    }

    #[test]
    fn ignored_pixels_have_no_boundary_and_make_none() {
        let mut target = edge(4);
        for row in target.chunks_exact_mut(8) {
            row[3] = IGNORED_TARGET;
        }
        // The true edge lies within the ignored column; the predicted one is seen at column 5 alone.
        assert_eq!(scores(&edge(4), &target, SIZE, 1.0).mean_per_image, None);
        let result = scores(&edge(6), &target, SIZE, 1.0);
        assert_eq!(result.per_class[..2], [Some(0.0); 2]);
    }

    #[test]
    fn scores_are_symmetric_perfect_for_the_truth_and_follow_renamed_classes() {
        let size = Size {
            height: 9,
            width: 14,
        };
        for seed in 0..6 {
            let one = random(seed, size);
            let other = random(seed + 100, size);
            let perfect = scores(&one, &one, size, 1e-9);
            assert_eq!(perfect.mean_per_image, Some(1.0));
            let result = scores(&one, &other, size, 0.07);
            assert_eq!(result, scores(&other, &one, size, 0.07));
            let rename = |mask: &[u8]| -> Vec<u8> { mask.iter().map(|class| 3 - class).collect() };
            let mut renamed = scores(&rename(&one), &rename(&other), size, 0.07).per_class;
            renamed.reverse();
            assert_eq!(renamed, result.per_class);
        }
    }

    #[test]
    fn images_count_the_same_whatever_their_size() {
        let mut scores = BoundaryF1::new(2).unwrap();
        scores.update(&edge(4), &edge(4), 3, 8).unwrap();
        scores.update(&edge(5)[..8], &edge(4)[..8], 1, 8).unwrap();
        scores.update(&[0; 4], &[0; 4], 2, 2).unwrap(); // has no boundary
        let result = scores.result().unwrap();
        assert_eq!(result.mean_per_image, Some(0.5));
        assert_eq!(result.per_class, [Some(0.5); 2]);
        assert_eq!(result.samples, 3);
    }

    #[test]
    fn bad_input_is_an_error_and_counts_nothing() {
        let mut scores = BoundaryF1::new(2).unwrap();
        for (height, width) in [(3, 7), (0, 0), (usize::MAX, 2)] {
            let error = scores.update(&edge(4), &edge(4), height, width);
            let product = height as u128 * width as u128;
            assert_eq!(
                error.unwrap_err().to_string(),
                format!(
                    "24 pixels for a height of {height} and a width of {width}, expected {product}"
                )
            );
        }
        assert!(matches!(
            scores.update(&[2], &[0], 1, 1),
            Err(Error::PixelOutOfRange { class: 2, .. })
        ));
        assert_eq!(scores.result(), Err(Error::NoSamples));
        scores.update(&[], &[], 0, 5).unwrap();
        assert_eq!(scores.result().unwrap().mean_per_image, None);
        assert!(BoundaryF1::new(256).is_err());
        for tolerance in [0.0, -0.1, f64::NAN, f64::INFINITY] {
            let error = BoundaryF1::new(2).unwrap().with_tolerance(tolerance);
            assert_eq!(
                error.err().unwrap().to_string(),
                format!(
                    "tolerance is {tolerance}, expected a finite number above 0, a share of the diagonal"
                )
            );
        }
    }
}
