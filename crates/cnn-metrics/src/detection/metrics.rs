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
/// All boxes are kept, at 72 bytes for an object and 64 for a detection, since how much a detection
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use super::*;
    use crate::Rect;

    const RECT: Rect = Rect {
        x: 1.0,
        y: 2.0,
        width: 30.0,
        height: 40.0,
    };

    #[test]
    fn a_bad_image_is_an_error_and_counts_nothing() {
        let mut metrics = DetectionMetrics::new(2).unwrap();
        let truth = GroundTruthBox::new(RECT, 1);
        let detection = DetectedBox::new(RECT, 1, 0.5);
        metrics.update(&[truth], &[detection]).unwrap();
        let before = metrics.result().unwrap();
        let with = |x, width| Rect { x, width, ..RECT };
        let huge = Rect::new(0.0, 0.0, 1e200, 1e200);
        let truths = [
            (
                GroundTruthBox::new(RECT, 2),
                "class 2 of ground truth 1 is out of range, expected a class below 2",
            ),
            (
                GroundTruthBox::new(with(f64::NAN, 3.0), 0),
                "box (x NaN, y 2, width 3, height 40) of ground truth 1, expected finite edges and area and no negative side",
            ),
            (
                truth.with_area(-1.0),
                "area -1 of ground truth 1, expected a finite number from 0 on",
            ),
            (
                truth.with_area(f64::NAN),
                "area NaN of ground truth 1, expected a finite number from 0 on",
            ),
        ];
        for (bad, expected) in truths {
            let error = metrics.update(&[truth, bad], &[detection]).unwrap_err();
            assert_eq!(error.to_string(), expected);
        }
        let detections = [
            (
                DetectedBox::new(RECT, usize::MAX, 0.5),
                "class 18446744073709551615 of detection 0 is out of range, expected a class below 2",
            ),
            (
                DetectedBox::new(with(0.0, -1.0), 0, 0.5),
                "box (x 0, y 2, width -1, height 40) of detection 0, expected finite edges and area and no negative side",
            ),
            (
                DetectedBox::new(RECT, 0, f64::NAN),
                "score NaN of detection 0, expected a finite number",
            ),
            (
                DetectedBox::new(RECT, 0, f64::INFINITY),
                "score inf of detection 0, expected a finite number",
            ),
        ];
        for (bad, expected) in detections {
            let error = metrics.update(&[truth], &[bad]).unwrap_err();
            assert_eq!(error.to_string(), expected);
        }
        for bad in [with(1e308, 1e308), with(f64::NEG_INFINITY, 1.0), huge] {
            let error = metrics.update(&[], &[DetectedBox::new(bad, 0, 0.5)]);
            assert!(matches!(error, Err(Error::InvalidBox { .. })));
        }
        assert_eq!(metrics.result().unwrap(), before);
    }

    #[test]
    fn arguments_out_of_range_are_errors() {
        for classes in [0, 65_537, usize::MAX] {
            assert_eq!(
                DetectionMetrics::new(classes).err().unwrap().to_string(),
                format!("classes is {classes}, expected 1 to 65536")
            );
        }
        let mut metrics = DetectionMetrics::new(1).unwrap();
        assert_eq!(metrics.result(), Err(Error::NoSamples));
        assert_eq!(metrics.curves(0.5), Err(Error::NoSamples));
        metrics.update(&[], &[]).unwrap();
        for min_iou in [0.0, -0.5, 1.5, f64::NAN] {
            let expected = format!("min_iou is {min_iou}, expected a number above 0 and at most 1");
            let voc = metrics.voc(VocInterpolation::AllPoints, min_iou);
            assert_eq!(voc.unwrap_err().to_string(), expected);
            let curves = metrics.curves(min_iou);
            assert_eq!(curves.unwrap_err().to_string(), expected);
            let confusion = metrics.confusion(&ConfusionThresholds {
                min_iou,
                ..ConfusionThresholds::default()
            });
            assert_eq!(confusion.unwrap_err().to_string(), expected);
        }
        let errors = metrics.errors(&ErrorThresholds {
            min_iou: 0.3,
            background_iou: 0.3,
        });
        assert_eq!(
            errors.unwrap_err().to_string(),
            "background_iou is 0.3, expected a number from 0 to below min_iou"
        );
        let confusion = metrics.confusion(&ConfusionThresholds {
            min_score: f64::NAN,
            ..ConfusionThresholds::default()
        });
        assert_eq!(
            confusion.unwrap_err().to_string(),
            "min_score is NaN, expected a number"
        );
    }

    #[test]
    fn images_without_boxes_have_no_scores() {
        let mut metrics = DetectionMetrics::new(2).unwrap();
        metrics.update(&[], &[]).unwrap();
        metrics
            .update(&[], &[DetectedBox::new(RECT, 1, 0.5)])
            .unwrap();
        let result = metrics.result().unwrap();
        assert_eq!(
            (result.samples, result.objects, result.detections),
            (2, 0, 1)
        );
        assert_eq!(result.coco.summary(), [None; 12]);
        assert_eq!(result.voc_2010.mean_ap, None);
        assert_eq!(result.errors.background.count, 1);
        assert_eq!(result.errors.background.ap_gain, None);
        assert_eq!(result.confusion.matrix.count(2, 1), 1);
    }

    #[test]
    fn the_result_is_written_as_json() {
        let mut metrics = DetectionMetrics::new(2).unwrap();
        let truth = GroundTruthBox::new(RECT, 0);
        metrics
            .update(&[truth], &[DetectedBox::new(RECT, 0, 0.5)])
            .unwrap();
        let result = serde_json::to_value(metrics.result().unwrap()).unwrap();
        assert_eq!(result["samples"], 1);
        assert_eq!(result["coco"]["ap_small"], serde_json::Value::Null);
        assert_eq!(
            result["coco"]["per_class"][1]["ap"],
            serde_json::Value::Null
        );
        assert_eq!(result["voc_2007"]["interpolation"], "eleven_points");
        assert_eq!(result["curves"]["overall"]["best"]["f1"], 1.0);
        assert_eq!(
            result["confusion"]["matrix"],
            serde_json::json!([[1, 0, 0], [0, 0, 0], [0, 0, 0]])
        );
        assert_eq!(result["errors"]["missed"]["count"], 0);
    }
}
