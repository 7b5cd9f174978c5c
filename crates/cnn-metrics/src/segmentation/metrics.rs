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
