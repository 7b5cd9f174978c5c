//! Everything that the evaluation of a detector prints, gathered image by image.

use serde::Serialize;

use super::boxes::{DetectedBox, GroundTruthBox};
use super::coco::CocoResult;
use super::confusion::{ConfusionThresholds, DetectionConfusion};
use super::curves::ScoreCurves;
use super::errors::{DetectionErrors, ErrorThresholds};
use super::images::Images;
use super::voc::{VocInterpolation, VocResult};
use crate::Error;

const MAX_CLASSES: usize = 65_536;
/// How many points each curve of a [`DetectionResult`] has, at most.
const CURVE_POINTS: usize = 101;

/// Gathers boxes image by image; each metric may be asked for at any time.
///
/// All boxes are kept, at 80 bytes for an object and 64 for a detection, since what a detection
/// counts depends on those of all images.
///
/// ```
/// use cnn_metrics::{DetectedBox, DetectionMetrics, GroundTruthBox, Rect};
///
/// let mut metrics = DetectionMetrics::new(2)?;
/// let cat = Rect::from_edges([10.0, 10.0, 60.0, 50.0]);
/// let dog = Rect::from_edges([70.0, 20.0, 90.0, 80.0]);
/// metrics.update(
///     &[GroundTruthBox::new(cat, 0), GroundTruthBox::new(dog, 1)],
///     &[
///         DetectedBox::new(cat, 0, 0.9),
///         DetectedBox::new(dog, 0, 0.4), // takes the dog for a cat
///     ],
/// )?;
///
/// let coco = metrics.coco()?;
/// assert_eq!(coco.per_class[0].ap50, Some(1.0)); // all cats come before the error
/// assert_eq!(coco.per_class[1].ap50, Some(0.0));
/// assert_eq!(coco.ap50, Some(0.5));
///
/// let errors = metrics.errors(&Default::default())?;
/// assert_eq!(errors.classification.count, 1);
/// assert_eq!(errors.classification.ap_gain, Some(0.5));
/// # Ok::<(), cnn_metrics::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct DetectionMetrics {
    classes: usize,
    images: Images,
}

/// What is printed of a detector: all metrics with their defaults.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DetectionResult {
    /// How many images there were.
    pub samples: u64,
    /// How many objects, those included that need not be found.
    pub objects: u64,
    /// How many detections.
    pub detections: u64,
    /// COCO's evaluation.
    pub coco: CocoResult,
    /// VOC's average precision as of 2007, at an IoU of 0.5.
    pub voc_2007: VocResult,
    /// VOC's average precision from 2010 on, at an IoU of 0.5.
    pub voc_2010: VocResult,
    /// Precision, recall and F1 by score at an IoU of 0.5, each curve at most 101 points.
    pub curves: ScoreCurves,
    /// Which class was taken for which, by the default thresholds.
    pub confusion: DetectionConfusion,
    /// The errors by kind, by the default thresholds.
    pub errors: DetectionErrors,
}

impl DetectionMetrics {
    /// Nothing gathered yet.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgument`] if `classes` is 0 or above 65536.
    pub fn new(classes: usize) -> Result<Self, Error> {
        if !(1..=MAX_CLASSES).contains(&classes) {
            return Err(Error::argument("classes", classes, "1 to 65536"));
        }
        Ok(Self {
            classes,
            images: Images::default(),
        })
    }

    /// Adds an image: the objects that are in it, and what was found. Either may be empty, or both.
    ///
    /// Where scores are equal over images, those of the image that was added earlier come first;
    /// pycocotools takes images by rising number.
    ///
    /// # Errors
    ///
    /// [`Error::BoxClassOutOfRange`] if a class is not below the number of classes;
    /// [`Error::InvalidBox`] if an edge is not finite or a side negative; [`Error::InvalidArea`] if
    /// an object's area is negative or not finite; [`Error::InvalidScore`] if a score is not
    /// finite. Nothing of the image is counted then.
    pub fn update(
        &mut self,
        truths: &[GroundTruthBox],
        detections: &[DetectedBox],
    ) -> Result<(), Error> {
        for (index, truth) in truths.iter().enumerate() {
            truth.check(index, self.classes)?;
        }
        for (index, detection) in detections.iter().enumerate() {
            detection.check(index, self.classes)?;
        }
        self.images.push(truths, detections);
        Ok(())
    }

    /// Number of classes.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// Number of images so far.
    pub fn samples(&self) -> u64 {
        self.images.count as u64
    }

    /// COCO's evaluation: the twelve numbers, and those of every class.
    ///
    /// # Errors
    ///
    /// [`Error::NoSamples`] if there is no image.
    pub fn coco(&self) -> Result<CocoResult, Error> {
        self.check_samples()?;
        Ok(CocoResult::of(&self.images, self.classes))
    }

    /// VOC's average precision; `min_iou` is 0.5 in VOC.
    ///
    /// # Errors
    ///
    /// [`Error::NoSamples`]; [`Error::InvalidArgument`] if `min_iou` is not above 0 and at most 1.
    pub fn voc(&self, interpolation: VocInterpolation, min_iou: f64) -> Result<VocResult, Error> {
        self.check_samples()?;
        check_min_iou(min_iou)?;
        Ok(VocResult::of(
            &self.images,
            self.classes,
            interpolation,
            min_iou,
        ))
    }

    /// Precision, recall and F1 for every score from which on detections may be kept.
    ///
    /// # Errors
    ///
    /// Those of [`DetectionMetrics::voc`].
    pub fn curves(&self, min_iou: f64) -> Result<ScoreCurves, Error> {
        self.check_samples()?;
        check_min_iou(min_iou)?;
        Ok(ScoreCurves::of(&self.images, self.classes, min_iou))
    }

    /// Which class was taken for which, or for background.
    ///
    /// # Errors
    ///
    /// [`Error::NoSamples`]; [`Error::InvalidArgument`] if `min_iou` is not above 0 and at most 1,
    /// or `min_score` is NaN.
    pub fn confusion(&self, thresholds: &ConfusionThresholds) -> Result<DetectionConfusion, Error> {
        self.check_samples()?;
        check_min_iou(thresholds.min_iou)?;
        if thresholds.min_score.is_nan() {
            return Err(Error::argument("min_score", "NaN", "a number"));
        }
        DetectionConfusion::of(&self.images, self.classes, thresholds)
    }

    /// The errors by kind, and what each kind costs.
    ///
    /// # Errors
    ///
    /// [`Error::NoSamples`]; [`Error::InvalidArgument`] if `min_iou` is not above 0 and at most 1,
    /// or `background_iou` is negative or not below it.
    pub fn errors(&self, thresholds: &ErrorThresholds) -> Result<DetectionErrors, Error> {
        self.check_samples()?;
        check_min_iou(thresholds.min_iou)?;
        if !(0.0..thresholds.min_iou).contains(&thresholds.background_iou) {
            return Err(Error::argument(
                "background_iou",
                thresholds.background_iou,
                "a number from 0 to below min_iou",
            ));
        }
        Ok(DetectionErrors::of(&self.images, self.classes, thresholds))
    }

    /// All metrics with their defaults.
    ///
    /// # Errors
    ///
    /// [`Error::NoSamples`] if there is no image.
    pub fn result(&self) -> Result<DetectionResult, Error> {
        Ok(DetectionResult {
            samples: self.samples(),
            objects: self.images.truths.len() as u64,
            detections: self.images.detections.len() as u64,
            coco: self.coco()?,
            voc_2007: self.voc(VocInterpolation::ElevenPoints, 0.5)?,
            voc_2010: self.voc(VocInterpolation::AllPoints, 0.5)?,
            curves: self.curves(0.5)?.sampled(CURVE_POINTS),
            confusion: self.confusion(&ConfusionThresholds::default())?,
            errors: self.errors(&ErrorThresholds::default())?,
        })
    }

    fn check_samples(&self) -> Result<(), Error> {
        if self.images.count == 0 {
            Err(Error::NoSamples)
        } else {
            Ok(())
        }
    }
}

fn check_min_iou(min_iou: f64) -> Result<(), Error> {
    if min_iou > 0.0 && min_iou <= 1.0 {
        Ok(())
    } else {
        Err(Error::argument(
            "min_iou",
            min_iou,
            "a number above 0 and at most 1",
        ))
    }
}
