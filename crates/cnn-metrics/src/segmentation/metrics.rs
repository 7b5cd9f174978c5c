//! Everything that the evaluation of a segmenter prints, gathered image by image.
//!
//! Intersection over union: P. Jaccard, "The distribution of the flora in the alpine zone", 1912;
//! its mean over classes: M. Everingham et al., "The PASCAL visual object classes (VOC) challenge",
//! 2010. Mean accuracy and frequency-weighted IoU: J. Long, E. Shelhamer and T. Darrell, "Fully
//! convolutional networks for semantic segmentation", 2015.

use super::IGNORED_TARGET;
use super::bootstrap::{Bootstrap, SegmentationIntervals};
use super::masks::{check_classes, check_masks};
use super::overlap::Images;
use super::result::{Counted, SegmentationResult, overlaps};
use crate::{ConfusedPair, ConfusionMatrix, Error};

/// Gathers masks image by image; [`SegmentationMetrics::result`] may be asked at any time.
///
/// A mask is a slice with the class of every pixel, row by row; a target of [`IGNORED_TARGET`] counts
/// nowhere, whatever is predicted there.
///
/// Of every image 32 bytes for each class that occurs in it are kept, for the scores per image and
/// for resampling: at most 700 bytes for 21 classes. They are the row and column sums and the
/// diagonal of its confusion matrix, which is all that these read.
///
/// ```
/// use cnn_metrics::SegmentationMetrics;
///
/// let mut metrics = SegmentationMetrics::new(3)?;
/// metrics.update(&[0, 0, 1, 1], &[0, 0, 0, 1])?; // a pixel of class 0 taken for class 1
/// metrics.update(&[0, 0, 0], &[0, 0, 255])?; // right where it counts
///
/// let result = metrics.result()?;
/// assert_eq!((result.samples, result.pixels, result.ignored_pixels), (2, 6, 1));
/// assert_eq!(result.per_class[0].iou, Some(4.0 / 5.0));
/// assert_eq!(result.per_class[1].iou, Some(1.0 / 2.0));
/// assert_eq!(result.per_class[2].iou, None); // occurs nowhere
/// assert_eq!(result.mean_iou, (4.0 / 5.0 + 1.0 / 2.0) / 2.0);
/// assert_eq!(result.mean_iou_per_image, ((2.0 / 3.0 + 1.0 / 2.0) / 2.0 + 1.0) / 2.0);
/// # Ok::<(), cnn_metrics::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct SegmentationMetrics {
    samples: u64,
    ignored_pixels: u64,
    confusion: ConfusionMatrix,
    images: Images,
}

impl SegmentationMetrics {
    /// Nothing gathered yet.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgument`] if `classes` is 0 or above 255.
    pub fn new(classes: usize) -> Result<Self, Error> {
        check_classes(classes)?;
        Ok(Self {
            samples: 0,
            ignored_pixels: 0,
            confusion: ConfusionMatrix::new(classes)?,
            images: Images::default(),
        })
    }

    /// Adds an image of any size. One without pixels is allowed, as one whose pixels are all
    /// ignored: it counts in `samples` alone.
    ///
    /// # Errors
    ///
    /// [`Error::PixelCount`] if there are not as many predictions as targets;
    /// [`Error::PixelOutOfRange`] if a prediction is not below the number of classes, also where
    /// the target is ignored, or if a target is neither below it nor [`IGNORED_TARGET`]. Nothing of the
    /// image is counted then.
    pub fn update(&mut self, predictions: &[u8], targets: &[u8]) -> Result<(), Error> {
        check_masks(predictions, targets, self.confusion.classes())?;
        let image = image_confusion(predictions, targets, self.confusion.classes())?;
        for pair in image.pairs() {
            self.confusion.add(pair);
        }
        self.images.push(&overlaps(&image));
        self.samples += 1;
        self.ignored_pixels += targets.len() as u64 - image.samples();
        Ok(())
    }

    /// Which class was taken for which, in pixels.
    pub fn confusion(&self) -> &ConfusionMatrix {
        &self.confusion
    }

    /// The metrics of all images so far.
    ///
    /// # Errors
    ///
    /// [`Error::NoSamples`]; [`Error::NoPixels`] if all pixels are ignored.
    pub fn result(&self) -> Result<SegmentationResult, Error> {
        SegmentationResult::of(Counted {
            samples: self.samples,
            ignored_pixels: self.ignored_pixels,
            confusion: &self.confusion,
            images: &self.images,
        })
    }

    /// How uncertain `mean_iou` and the classes' `iou` are, by resampling images: see
    /// [`Bootstrap`].
    ///
    /// # Errors
    ///
    /// Those of [`SegmentationMetrics::result`]; [`Error::InvalidArgument`] if `resamples` is not
    /// in 1 to 100000 or `confidence` not strictly between 0 and 1.
    pub fn intervals(&self, bootstrap: &Bootstrap) -> Result<SegmentationIntervals, Error> {
        self.result()?;
        bootstrap.intervals(&self.images, self.confusion.classes())
    }
}

/// The confusion matrix of one image, whose masks have been checked.
fn image_confusion(
    predictions: &[u8],
    targets: &[u8],
    classes: usize,
) -> Result<ConfusionMatrix, Error> {
    // Every pixel finds its count by an index; the sparse matrix then takes each pair once.
    let mut counts = vec![0_u64; classes * classes];
    for (&prediction, &target) in predictions.iter().zip(targets) {
        if target != IGNORED_TARGET {
            counts[usize::from(target) * classes + usize::from(prediction)] += 1;
        }
    }
    let mut confusion = ConfusionMatrix::new(classes)?;
    for (index, &samples) in counts
        .iter()
        .enumerate()
        .filter(|(_, samples)| **samples > 0)
    {
        confusion.add(ConfusedPair {
            label: index / classes,
            prediction: index % classes,
            samples,
        });
    }
    Ok(confusion)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use serde_json::json;

    use super::*;
    use crate::random::Draws;

    fn masks(seed: u64, pixels: usize, classes: u64) -> (Vec<u8>, Vec<u8>) {
        let mut draws = Draws::new(seed, 0);
        let mut prediction = Vec::new();
        let mut target = Vec::new();
        for _ in 0..pixels {
            let class = draws.below(classes) as u8;
            target.push(match draws.below(10) {
                0 => IGNORED_TARGET,
                _ => class,
            });
            prediction.push(match draws.below(4) {
                0 => draws.below(classes) as u8,
                _ => class,
            });
        }
        (prediction, target)
    }

    #[test]
    fn a_perfect_prediction_scores_one() {
        for classes in [1, 2, 21, 255] {
            let mut metrics = SegmentationMetrics::new(classes).unwrap();
            for seed in 0..3 {
                let (prediction, mut target) = masks(seed, 300, classes as u64);
                for (target, &right) in target.iter_mut().zip(&prediction) {
                    if *target != IGNORED_TARGET {
                        *target = right;
                    }
                }
                metrics.update(&prediction, &target).unwrap();
            }
            let result = metrics.result().unwrap();
            for score in [
                result.mean_iou,
                result.mean_dice,
                result.pixel_accuracy,
                result.mean_accuracy,
                result.frequency_weighted_iou,
                result.micro_iou,
                result.mean_iou_per_image,
                result.mean_dice_per_image,
                result.micro_iou_per_image,
                result.pixel_accuracy_per_image,
            ] {
                assert!((score - 1.0).abs() < 1e-15, "{result:?}");
            }
            let interval = metrics.intervals(&Bootstrap::default()).unwrap().mean_iou;
            assert_eq!((interval.low, interval.high), (1.0, 1.0));
        }
    }

    #[test]
    fn renaming_the_classes_moves_their_scores_alone() {
        let renamed = [4_u8, 2, 0, 1, 3];
        let rename = |mask: &[u8]| -> Vec<u8> {
            let new = |class: u8| renamed.get(usize::from(class)).copied();
            mask.iter()
                .map(|&class| new(class).unwrap_or(class))
                .collect()
        };
        let mut plain = SegmentationMetrics::new(5).unwrap();
        let mut moved = SegmentationMetrics::new(5).unwrap();
        for seed in 0..4 {
            let (prediction, target) = masks(seed, 90, 2 + seed.min(2));
            plain.update(&prediction, &target).unwrap();
            moved
                .update(&rename(&prediction), &rename(&target))
                .unwrap();
        }
        let plain = plain.result().unwrap();
        let moved = moved.result().unwrap();
        for (class, &new) in renamed.iter().enumerate() {
            let mut expected = plain.per_class[class];
            expected.class = usize::from(new);
            assert_eq!(moved.per_class[usize::from(new)], expected);
        }
        for (one, other) in [
            (plain.mean_iou, moved.mean_iou),
            (plain.mean_accuracy, moved.mean_accuracy),
            (plain.frequency_weighted_iou, moved.frequency_weighted_iou),
            (plain.mean_iou_per_image, moved.mean_iou_per_image),
            (plain.mean_dice_per_image, moved.mean_dice_per_image),
        ] {
            assert!((one - other).abs() < 1e-14, "{one} {other}");
        }
        assert_eq!(plain.micro_iou_per_image, moved.micro_iou_per_image);
    }

    #[test]
    fn a_bad_image_is_an_error_and_counts_nothing() {
        let mut metrics = SegmentationMetrics::new(3).unwrap();
        metrics.update(&[0, 1], &[0, 2]).unwrap();
        let before = metrics.result();
        let cases: [(&[u8], &[u8], &str); 5] = [
            (
                &[0, 1],
                &[0],
                "2 predicted pixels for 1 of the truth, expected as many of either",
            ),
            (
                &[0, 1],
                &[0, 3],
                "target 3 of pixel 1 is out of range, expected a class below 3 or 255, which is ignored",
            ),
            (
                &[0, 1],
                &[254, 1],
                "target 254 of pixel 0 is out of range, expected a class below 3 or 255, which is ignored",
            ),
            (
                &[0, 255],
                &[0, 1],
                "prediction 255 of pixel 1 is out of range, expected a class below 3",
            ),
            (
                &[3, 1],
                &[255, 1],
                "prediction 3 of pixel 0 is out of range, expected a class below 3",
            ),
        ];
        for (predictions, targets, expected) in cases {
            let error = metrics.update(predictions, targets).unwrap_err();
            assert_eq!(error.to_string(), expected);
        }
        assert_eq!(metrics.result(), before);
        assert_eq!(metrics.images.len(), 1);
        for (classes, found) in [(0, "0"), (256, "256"), (usize::MAX, "18446744073709551615")] {
            assert_eq!(
                SegmentationMetrics::new(classes).err().unwrap().to_string(),
                format!("classes is {found}, expected 1 to 255")
            );
        }
    }

    #[test]
    fn nothing_that_counts_is_an_error() {
        let mut metrics = SegmentationMetrics::new(2).unwrap();
        assert_eq!(metrics.result(), Err(Error::NoSamples));
        let intervals = metrics.intervals(&Bootstrap::default());
        assert_eq!(intervals, Err(Error::NoSamples));
        metrics.update(&[], &[]).unwrap();
        metrics.update(&[0, 1], &[255, 255]).unwrap();
        assert_eq!(
            metrics.result().unwrap_err().to_string(),
            "no pixel counts, 2 are ignored, expected at least 1 with a class"
        );
        let intervals = metrics.intervals(&Bootstrap::default());
        assert_eq!(intervals, Err(Error::NoPixels { ignored: 2 }));
        metrics.update(&[0, 1], &[0, 0]).unwrap();
        let result = metrics.result().unwrap();
        assert_eq!((result.samples, result.pixels), (3, 2));
        assert_eq!(result.mean_iou_per_image, 0.25); // of the one image that counts
    }

    #[test]
    fn the_result_is_written_as_json() {
        let mut metrics = SegmentationMetrics::new(2).unwrap();
        metrics.update(&[0, 0], &[0, 255]).unwrap();
        let result = serde_json::to_value(metrics.result().unwrap()).unwrap();
        assert_eq!(result["confusion"], json!([[1, 0], [0, 0]]));
        assert_eq!(
            result["per_class"][1],
            json!({"class": 1, "pixels": 0, "predicted_pixels": 0, "iou": null, "dice": null, "accuracy": null})
        );
    }
}
