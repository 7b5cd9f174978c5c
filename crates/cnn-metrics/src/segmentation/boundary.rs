//! How well the contours of a segmentation follow the true ones.
//!
//! G. Csurka, D. Larlus and F. Perronnin, "What is a good evaluation measure for semantic
//! segmentation?", 2013.

use serde::Serialize;

use super::IGNORED_TARGET;
use super::distance::DistanceTransform;
use super::masks::{check_classes, check_masks, check_size, neighbours};
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
/// and the result the mean over images, as in the paper.
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
        let truth = Boundaries::of(targets, targets, classes, size);
        let prediction = Boundaries::of(predictions, targets, classes, size);
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

#[derive(Clone, Copy)]
struct Size {
    height: usize,
    width: usize,
}

/// The boundaries of all classes in one mask.
struct Boundaries {
    /// The class on whose boundary a pixel lies; [`IGNORED_TARGET`] off all boundaries.
    classes: Vec<u8>,
    /// The pixels on the boundary of each class.
    pixels: Vec<Vec<usize>>,
    size: Size,
}

impl Boundaries {
    fn of(mask: &[u8], targets: &[u8], class_count: usize, size: Size) -> Self {
        let mut classes = vec![IGNORED_TARGET; mask.len()];
        let mut pixels = vec![Vec::new(); class_count];
        for (pixel, &class) in mask.iter().enumerate() {
            if targets[pixel] == IGNORED_TARGET {
                continue;
            }
            let parts = |other: usize| targets[other] != IGNORED_TARGET && mask[other] != class;
            if neighbours(pixel, size.height, size.width).any(parts) {
                classes[pixel] = class;
                pixels[usize::from(class)].push(pixel);
            }
        }
        Self {
            classes,
            pixels,
            size,
        }
    }
}

/// A class, and how far a boundary may be off, in pixels.
struct Reach {
    class: u8,
    tolerance: f64,
}

impl Reach {
    fn f1(
        &self,
        prediction: &Boundaries,
        truth: &Boundaries,
        transform: &mut DistanceTransform,
    ) -> Option<f64> {
        let predicted = &prediction.pixels[usize::from(self.class)];
        let target = &truth.pixels[usize::from(self.class)];
        if predicted.is_empty() && target.is_empty() {
            return None;
        }
        if predicted.is_empty() || target.is_empty() {
            return Some(0.0);
        }
        let precision = self.share_near(predicted, truth, transform);
        let recall = self.share_near(target, prediction, transform);
        let sum = precision + recall;
        Some(if sum > 0.0 {
            2.0 * precision * recall / sum
        } else {
            0.0
        })
    }

    /// The share of pixels that are nearer to the class's boundary than the tolerance.
    fn share_near(
        &self,
        pixels: &[usize],
        boundaries: &Boundaries,
        transform: &mut DistanceTransform,
    ) -> f64 {
        let size = boundaries.size;
        let on_boundary = |pixel: usize| boundaries.classes[pixel] == self.class;
        let squared = transform.squared(size.height, size.width, on_boundary);
        let near = |pixel: &&usize| squared[**pixel].sqrt() < self.tolerance;
        pixels.iter().filter(near).count() as f64 / pixels.len() as f64
    }
}
