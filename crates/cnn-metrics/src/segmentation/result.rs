//! What the evaluation of a segmenter prints.

use serde::Serialize;

use super::overlap::{Images, Overlap, Scores};
use crate::mean::mean;
use crate::{ConfusionMatrix, Error};

/// How well one class is segmented, over the pixels of all images together; shares are in 0..1.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct ClassOverlap {
    /// The class index.
    pub class: usize,
    /// How many pixels have the class.
    pub pixels: u64,
    /// How many pixels are predicted as it.
    pub predicted_pixels: u64,
    /// Intersection over union, `TP / (TP + FP + FN)`, also called Jaccard index; none where the
    /// class occurs neither in truth nor in prediction.
    pub iou: Option<f64>,
    /// `2·TP / (2·TP + FP + FN)`, also called F1; none where `iou` is.
    pub dice: Option<f64>,
    /// The share of its pixels that are predicted as it, `TP / (TP + FN)`, also called recall; none
    /// where no pixel has the class.
    pub accuracy: Option<f64>,
}

/// The metrics of all images so far; shares are in 0..1.
///
/// Fields whose name ends in `_per_image` are computed for each image alone, over the classes that
/// occur in it (in its truth or its prediction), and then averaged over images; images whose pixels
/// are all ignored are left out. All others are computed once from the counts of all images'
/// pixels, so that large images weigh more than small ones.
///
/// # As other libraries call them
///
/// torchvision's reference `ConfusionMatrix` prints `pixel_accuracy` as "global correct", the
/// classes' `accuracy` as "average row correct", and the classes' `iou`; its "mean IoU" is NaN if a
/// class occurs nowhere, where `mean_iou` leaves the class out.
///
/// The reductions of `segmentation_models_pytorch.metrics`, in mode `multiclass` with
/// `ignore_index=255`:
///
/// | `reduction` | of `iou_score` | of `f1_score` |
/// |---|---|---|
/// | `micro` | `micro_iou` | `pixel_accuracy` |
/// | `macro` | `mean_iou` | `mean_dice` |
/// | `micro-imagewise` | `micro_iou_per_image` | `pixel_accuracy_per_image` |
/// | `macro-imagewise` | `mean_iou_per_image` | `mean_dice_per_image` |
/// | `weighted`, weights the classes' `pixels` | `frequency_weighted_iou` | not here |
/// | `weighted-imagewise` | not here | not here |
///
/// They are equal where every class occurs in all that one score is computed of. Where one does
/// not, that library takes `zero_division` for its score (1.0 unless set) and averages it with the
/// others, which makes rare classes look solved; here such a class is left out of the mean, and so
/// is an image whose pixels are all ignored. A class that is predicted where there is none scores 0
/// in both. `accuracy` of that library counts true negatives and is none of these.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SegmentationResult {
    /// How many images there were.
    pub samples: u64,
    /// How many pixels were counted.
    pub pixels: u64,
    /// How many pixels were ignored.
    pub ignored_pixels: u64,
    /// Counts of pixels: rows are the truth, columns the prediction.
    pub confusion: ConfusionMatrix,
    /// Every class, by index.
    pub per_class: Vec<ClassOverlap>,
    /// Mean of the classes' `iou` (mIoU), over the classes that occur in truth or prediction.
    pub mean_iou: f64,
    /// Mean of the classes' `dice`, over the same classes.
    pub mean_dice: f64,
    /// The share of pixels that are predicted as what they are.
    pub pixel_accuracy: f64,
    /// Mean of the classes' `accuracy`, over the classes that occur in the truth.
    pub mean_accuracy: f64,
    /// Mean of the classes' `iou`, weighted by their number of pixels in the truth.
    pub frequency_weighted_iou: f64,
    /// Intersection over union of the sums over classes, `ΣTP / Σ(TP + FP + FN)`: a function of the
    /// pixel accuracy `a`, `a / (2 − a)`.
    pub micro_iou: f64,
    /// Mean over images of each image's `mean_iou`.
    pub mean_iou_per_image: f64,
    /// Mean over images of each image's `mean_dice`.
    pub mean_dice_per_image: f64,
    /// Mean over images of each image's `micro_iou`.
    pub micro_iou_per_image: f64,
    /// Mean over images of each image's `pixel_accuracy`.
    pub pixel_accuracy_per_image: f64,
}

/// What has been counted.
pub(super) struct Counted<'a> {
    pub(super) samples: u64,
    pub(super) ignored_pixels: u64,
    pub(super) confusion: &'a ConfusionMatrix,
    pub(super) images: &'a Images,
}

impl SegmentationResult {
    pub(super) fn of(counted: Counted<'_>) -> Result<Self, Error> {
        if counted.samples == 0 {
            return Err(Error::NoSamples);
        }
        let overlaps = overlaps(counted.confusion);
        let whole = Scores::of(overlaps.iter().copied());
        let images: Vec<Scores> = counted
            .images
            .iter()
            .map(|image| Scores::of(image.iter().map(|&(_, overlap)| overlap)))
            .collect();
        let per_image = |score: fn(&Scores) -> Option<f64>| mean(images.iter().map(score));
        let defined = |score: Option<f64>| {
            score.ok_or(Error::NoPixels {
                ignored: counted.ignored_pixels,
            })
        };
        Ok(Self {
            samples: counted.samples,
            pixels: counted.confusion.samples(),
            ignored_pixels: counted.ignored_pixels,
            confusion: counted.confusion.clone(),
            mean_iou: defined(whole.mean_iou)?,
            mean_dice: defined(whole.mean_dice)?,
            pixel_accuracy: defined(whole.pixel_accuracy)?,
            mean_accuracy: defined(whole.mean_accuracy)?,
            frequency_weighted_iou: defined(whole.frequency_weighted_iou)?,
            micro_iou: defined(whole.micro_iou)?,
            mean_iou_per_image: defined(per_image(|scores| scores.mean_iou))?,
            mean_dice_per_image: defined(per_image(|scores| scores.mean_dice))?,
            micro_iou_per_image: defined(per_image(|scores| scores.micro_iou))?,
            pixel_accuracy_per_image: defined(per_image(|scores| scores.pixel_accuracy))?,
            per_class: overlaps.into_iter().enumerate().map(per_class).collect(),
        })
    }
}

/// The overlap of every class, by index.
pub(super) fn overlaps(confusion: &ConfusionMatrix) -> Vec<Overlap> {
    let mut overlaps = vec![Overlap::default(); confusion.classes()];
    for pair in confusion.pairs() {
        overlaps[pair.label].target += pair.samples;
        overlaps[pair.prediction].predicted += pair.samples;
        if pair.label == pair.prediction {
            overlaps[pair.label].shared += pair.samples;
        }
    }
    overlaps
}

fn per_class((class, overlap): (usize, Overlap)) -> ClassOverlap {
    ClassOverlap {
        class,
        pixels: overlap.target,
        predicted_pixels: overlap.predicted,
        iou: overlap.iou(),
        dice: overlap.dice(),
        accuracy: overlap.recall(),
    }
}
