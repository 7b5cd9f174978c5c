//! The task of telling the class of every pixel.

use std::sync::Arc;

use candle_core::DType;
use cnn_core::Preprocessing;
use cnn_data::{Augmentation, Batch, Dataset, Image, Mask, Skipped};
use cnn_layers::{Context, FeatureMap, Mode, Segmenter};
use cnn_metrics::{SegmentationMetrics, SegmentationResult};

use super::segment_image::{SegmentImage, SegmentOptions, most_probable};
use crate::training_images::TrainingImages;
use crate::{
    Epoch, Error, Evaluation, Losses, PixelCrossEntropy, PixelLoss, PixelTargets, Task, TaskBatches,
};

/// Training a network that tells the class of every pixel, evaluated on whole photos.
///
/// Training images have the preprocessing's input size: the augmentation crops or resizes to it,
/// and what it leaves at another size is brought there as the preprocessing says. Validation photos
/// keep their own size.
pub struct Segmentation {
    train: TrainingImages,
    val: Arc<dyn Dataset>,
    model_train: Box<dyn Segmenter>,
    model_eval: Box<dyn Segmenter>,
    loss: Box<dyn PixelLoss>,
    auxiliary_weight: Option<f64>,
}

impl Segmentation {
    /// Trains a network on `train` and evaluates it on `val`. `build` builds it from the store that
    /// is trained, and is asked for it in [`Mode::Train`] and in [`Mode::Eval`]; it has one output
    /// for each class of `train`'s masks. Default: batches of 8, no augmentation, cross-entropy, the
    /// best epoch by mean IoU.
    ///
    /// # Errors
    /// As [`check_mask_datasets`], and what `build` reports.
    pub fn new<E: Into<Box<dyn std::error::Error + Send + Sync>>>(
        train: Arc<dyn Dataset>,
        val: Arc<dyn Dataset>,
        preprocessing: Preprocessing,
        build: impl Fn(Mode) -> Result<Box<dyn Segmenter>, E>,
    ) -> Result<Self, Error> {
        check_mask_datasets(train.as_ref(), val.as_ref())?;
        let build = |mode| build(mode).map_err(Error::other);
        Ok(Self {
            train: TrainingImages::new(train, preprocessing, 8),
            val,
            model_train: build(Mode::Train)?,
            model_eval: build(Mode::Eval)?,
            loss: Box::new(PixelCrossEntropy::default()),
            auxiliary_weight: None,
        })
    }

    /// Images per batch.
    ///
    /// # Errors
    /// [`Error::Argument`] if it is 0 or more than there are training images.
    pub fn with_batch_size(mut self, batch_size: usize) -> Result<Self, Error> {
        self.train.set_batch_size(batch_size)?;
        Ok(self)
    }

    /// What to do to each training image and its mask.
    #[must_use]
    pub fn with_augmentation(mut self, augmentation: Augmentation) -> Self {
        self.train.augmentation = augmentation;
        self
    }

    /// What is minimised.
    #[must_use]
    pub fn with_loss(self, loss: impl PixelLoss + 'static) -> Self {
        Self {
            loss: Box::new(loss),
            ..self
        }
    }

    /// How much the loss of each auxiliary head counts beside that of the main output; what the
    /// network says by default, as 0.5 for torchvision's.
    #[must_use]
    pub fn with_auxiliary_weight(self, weight: f64) -> Self {
        Self {
            auxiliary_weight: Some(weight),
            ..self
        }
    }
}

impl Task for Segmentation {
    type Batch = Batch;

    fn batches_per_epoch(&self) -> usize {
        self.train.batches_per_epoch()
    }

    fn batches<'a>(&'a self, epoch: &Epoch) -> Result<TaskBatches<'a, Batch>, Error> {
        self.train.batches(epoch)
    }

    fn samples(&self, batch: &Batch) -> usize {
        batch.len()
    }

    fn loss(&self, batch: &Batch, cx: &Context<'_>) -> Result<Losses, Error> {
        let masks = batch.masks.as_ref();
        let masks = masks.ok_or_else(|| Error::argument("masks", "none", "one for each image"))?;
        let targets = PixelTargets::new(masks)?;
        let images = FeatureMap::from_nhwc(&batch.images)?;
        let outputs = self.model_train.forward_outputs(&images, cx)?;
        let mut total = self.loss.loss(&outputs.main.to_nhwc(), &targets)?;
        let mut named = Vec::new();
        for head in &outputs.auxiliary {
            let loss = self.loss.loss(&head.output.to_nhwc(), &targets)?;
            let value = loss.to_dtype(DType::F64)?.to_scalar::<f64>()?;
            named.push((format!("{}_loss", head.head), value));
            let weight = self.auxiliary_weight.unwrap_or(head.weight);
            total = (total + (loss * weight)?)?;
        }
        Ok(Losses { total, named })
    }

    fn evaluate(&self) -> Result<Evaluation, Error> {
        let mut scores = SegmentationScores::new(self.train.dataset.mask_classes().len())?;
        let mut skipped = Vec::new();
        for index in 0..self.val.len() {
            let read = self.val.read(index);
            let with_mask = read.map(|sample| Some((sample.image, sample.mask?)));
            let reason = match with_mask {
                Ok(Some((image, mask))) => {
                    let options = SegmentOptions::default();
                    let model = self.model_eval.as_ref();
                    scores.add(model, &image, &mask, &self.train.preprocessing, &options)?;
                    continue;
                }
                Ok(None) => "it has no mask".to_string(),
                Err(error) => error.to_string(),
            };
            skipped.push(Skipped {
                path: self.val.id(index),
                reason,
            });
        }
        self.train.note_skipped(&skipped);
        Ok(Evaluation::from(&scores.result()?))
    }

    fn score_name(&self) -> String {
        "miou".to_string()
    }

    fn skipped(&self) -> Vec<Skipped> {
        self.train.skipped()
    }

    fn names(&self, batch: &Batch) -> Vec<String> {
        self.train.names(batch)
    }
}

/// How well a network tells the classes of pixels, gathered photo by photo.
pub struct SegmentationScores {
    metrics: SegmentationMetrics,
    /// Of the cross-entropy, over the pixels that count.
    loss: f64,
}

/// What [`SegmentationScores`] amount to.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct MeasuredSegmentation {
    /// The mean over all pixels that count of the cross-entropy.
    pub loss: f64,
    /// All metrics.
    pub result: SegmentationResult,
}

impl SegmentationScores {
    /// For masks of so many classes.
    ///
    /// # Errors
    /// If there is none, or more than 255.
    pub fn new(classes: usize) -> Result<Self, Error> {
        Ok(Self {
            metrics: SegmentationMetrics::new(classes)?,
            loss: 0.,
        })
    }

    /// Segments a photo and compares with its mask; gives what was predicted.
    ///
    /// # Errors
    /// As [`SegmentImage::segment_rows`], and if the mask is of another size than the photo or has a
    /// class beyond the network's.
    pub fn add(
        &mut self,
        model: &dyn Segmenter,
        image: &Image,
        mask: &Mask,
        preprocessing: &Preprocessing,
        options: &SegmentOptions,
    ) -> Result<Mask, Error> {
        let [height, width] = [image.height(), image.width()];
        if [mask.height(), mask.width()] != [height, width] {
            let found = format!("{}x{}", mask.height(), mask.width());
            return Err(Error::argument("mask", found, format!("{height}x{width}")));
        }
        let truth = mask.bytes();
        let mut predicted: Vec<u8> = Vec::with_capacity(truth.len());
        let mut loss = 0.;
        model.segment_rows(image, preprocessing, options, &mut |row, probabilities| {
            let pixels = probabilities.len() / model.num_classes().max(2);
            let classes = probabilities.len() / pixels.max(1);
            let truth = &truth[row * width..];
            for (pixel, &class) in probabilities.chunks_exact(classes).zip(truth) {
                predicted.push(most_probable(pixel) as u8);
                if let Some(probability) = pixel.get(usize::from(class))
                    && class != Mask::IGNORE
                {
                    // The smallest number above 0, where it was rounded to that.
                    loss -= f64::from(probability.max(f32::MIN_POSITIVE)).ln();
                }
            }
            Ok(())
        })?;
        self.metrics.update(&predicted, truth)?;
        self.loss += loss;
        Ok(Mask::new(height, width, predicted)?)
    }

    /// The metrics of all photos.
    pub fn into_metrics(self) -> SegmentationMetrics {
        self.metrics
    }

    /// What all photos amount to.
    ///
    /// # Errors
    /// If no pixel counted.
    pub fn result(&self) -> Result<MeasuredSegmentation, Error> {
        let result = self.metrics.result()?;
        Ok(MeasuredSegmentation {
            loss: self.loss / result.pixels.max(1) as f64,
            result,
        })
    }
}

/// Scored by mean IoU.
impl From<&MeasuredSegmentation> for Evaluation {
    fn from(measured: &MeasuredSegmentation) -> Self {
        let metrics = [
            ("loss", measured.loss),
            ("miou", measured.result.mean_iou),
            ("pixel_accuracy", measured.result.pixel_accuracy),
        ];
        Self {
            score: measured.result.mean_iou,
            metrics: metrics
                .map(|(name, value)| (name.to_string(), value))
                .into(),
        }
    }
}

/// Checks that a network for pixels can learn from `train` and be judged on `val`.
///
/// # Errors
/// [`Error::Argument`] if there are fewer than two classes of masks, if the two datasets' classes
/// differ, or if one of them holds no image that can be read with its mask.
pub fn check_mask_datasets(train: &dyn Dataset, val: &dyn Dataset) -> Result<(), Error> {
    let classes = train.mask_classes();
    if classes.len() < 2 {
        let found = match classes {
            [] => "none: the images have no masks".to_string(),
            some => format!("{} ({})", some.len(), some.join(", ")),
        };
        return Err(Error::argument("classes of masks", found, "at least 2"));
    }
    if classes != val.mask_classes() {
        let found = format!("{} for validation", val.mask_classes().join(", "));
        return Err(Error::argument(
            "classes of masks",
            found,
            format!("as for training: {}", classes.join(", ")),
        ));
    }
    check_masks("training images", train)?;
    check_masks("validation images", val)
}

/// Looks for an image that can be read with its mask, usually the first, before an epoch is spent.
fn check_masks(name: &'static str, dataset: &dyn Dataset) -> Result<(), Error> {
    let mut first = None;
    for index in 0..dataset.len() {
        let reason = match dataset.read(index) {
            Ok(sample) if sample.mask.is_some() => return Ok(()),
            Ok(_) => "it has no mask".to_string(),
            Err(error) => error.to_string(),
        };
        first = first.or(Some(format!("{}: {reason}", dataset.id(index))));
    }
    let found = first.map_or("none".to_string(), |first| {
        format!("none that can be read with its mask; the first: {first}")
    });
    Err(Error::argument(name, found, "at least one"))
}
