//! The task of finding objects.

use std::sync::Arc;

use candle_core::DType;
use cnn_core::Preprocessing;
use cnn_data::{Augmentation, Batch, Dataset, Skipped};
use cnn_layers::{
    Context, DetectionLimits, DetectionTargets, Detector, FeatureMap, ImageObjects, Mode,
};

use super::scores::score_detections;
use crate::training_images::TrainingImages;
use crate::{Epoch, Error, Evaluation, Losses, Task, TaskBatches};

/// Training a network that finds objects, evaluated by COCO's rules on whole photos.
///
/// Crowds and difficult objects are not trained on. Detectors are often trained on images that are
/// further from photos than those that they are used on, as mosaics are; the last epochs then have
/// an augmentation of their own, and the loss that the network has for them.
pub struct Detection {
    train: TrainingImages,
    val: Arc<dyn Dataset>,
    model_train: Box<dyn Detector>,
    model_eval: Box<dyn Detector>,
    limits: DetectionLimits,
    late: Option<Late>,
}

/// The last epochs.
struct Late {
    /// The first of them, counted from 0.
    from: usize,
    augmentation: Augmentation,
}

/// A batch of images with objects.
#[derive(Debug)]
pub struct DetectionBatch {
    batch: Batch,
    is_late: bool,
}

impl Detection {
    /// Trains a network on `train` and evaluates it on `val`. `build` builds it from the store that
    /// is trained, and is asked for it in [`Mode::Train`] and in [`Mode::Eval`]. Default: batches of
    /// 8, no augmentation, no epochs of another kind at the end, the network's own limits of
    /// detections, the best epoch by AP.
    ///
    /// # Errors
    /// As [`check_box_datasets`], and what `build` reports.
    pub fn new<E: Into<Box<dyn std::error::Error + Send + Sync>>>(
        train: Arc<dyn Dataset>,
        val: Arc<dyn Dataset>,
        preprocessing: Preprocessing,
        build: impl Fn(Mode) -> Result<Box<dyn Detector>, E>,
    ) -> Result<Self, Error> {
        check_box_datasets(train.as_ref(), val.as_ref())?;
        let build = |mode| build(mode).map_err(Error::other);
        let model_eval = build(Mode::Eval)?;
        Ok(Self {
            train: TrainingImages::new(train, preprocessing, 8),
            val,
            model_train: build(Mode::Train)?,
            limits: model_eval.limits(),
            model_eval,
            late: None,
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

    /// What to do to each training image and its boxes.
    #[must_use]
    pub fn with_augmentation(mut self, augmentation: Augmentation) -> Self {
        self.train.augmentation = augmentation;
        self
    }

    /// What to do to them from this epoch on, counted from 0, in which the network has the loss of
    /// its last epochs, too.
    #[must_use]
    pub fn with_late_augmentation(self, from: usize, augmentation: Augmentation) -> Self {
        Self {
            late: Some(Late { from, augmentation }),
            ..self
        }
    }

    /// The files that could not be read so far, by name.
    pub fn skipped(&self) -> Vec<Skipped> {
        self.train.skipped()
    }
}

impl Task for Detection {
    type Batch = DetectionBatch;

    fn batches_per_epoch(&self) -> usize {
        self.train.batches_per_epoch()
    }

    fn batches<'a>(&'a self, epoch: &Epoch) -> Result<TaskBatches<'a, DetectionBatch>, Error> {
        let late = self.late.as_ref().filter(|late| epoch.number >= late.from);
        let augmentation = late.map_or(&self.train.augmentation, |late| &late.augmentation);
        let batches = self.train.batches_with(epoch, augmentation)?;
        let is_late = late.is_some();
        Ok(Box::new(batches.map(move |batch| {
            Ok(DetectionBatch {
                batch: batch?,
                is_late,
            })
        })))
    }

    fn samples(&self, batch: &DetectionBatch) -> usize {
        batch.batch.len()
    }

    fn loss(&self, batch: &DetectionBatch, cx: &Context<'_>) -> Result<Losses, Error> {
        let DetectionBatch { batch, is_late } = batch;
        let images = batch.boxes.iter().map(|objects| ImageObjects {
            boxes: objects.iter().map(|object| object.edges()).collect(),
            classes: objects.iter().map(|object| object.class).collect(),
        });
        let targets = DetectionTargets {
            images: images.collect(),
            is_late: *is_late,
        };
        let xs = FeatureMap::from_nhwc(&batch.images)?;
        let losses = self.model_train.losses(&xs, &targets, cx)?;
        let mut named = Vec::new();
        let mut total = None;
        for loss in losses {
            let value = loss.value.to_dtype(DType::F64)?.to_scalar::<f64>()?;
            named.push((format!("{}_loss", loss.name), value));
            total = Some(match total {
                None => loss.value,
                Some(total) => (total + loss.value)?,
            });
        }
        let total = total.ok_or_else(|| Error::argument("losses", "none", "at least one"))?;
        Ok(Losses { total, named })
    }

    fn evaluate(&self) -> Result<Evaluation, Error> {
        let (scores, skipped) = score_detections(
            self.model_eval.as_ref(),
            &self.val,
            &self.train.preprocessing,
            &self.limits,
            self.train.batch_size,
            &Some,
            &mut |_| (),
        )?;
        self.train.note_skipped(&skipped);
        Ok(Evaluation::from(&scores.metrics().coco()?))
    }

    fn score_name(&self) -> String {
        "ap".to_string()
    }

    fn names(&self, batch: &DetectionBatch) -> Vec<String> {
        self.train.names(&batch.batch)
    }
}

/// Checks that a network that finds objects can learn from `train` and be judged on `val`.
///
/// # Errors
/// [`Error::Argument`] if the images have no boxes, if the two datasets' classes differ, or if no
/// image of one can be read with an object in it.
pub fn check_box_datasets(train: &dyn Dataset, val: &dyn Dataset) -> Result<(), Error> {
    let classes = train.classes();
    for (name, dataset) in [("training images", train), ("validation images", val)] {
        if !dataset.has_boxes() {
            let expected = "images with boxes: Pascal VOC's XML, COCO's JSON or YOLO's text";
            return Err(Error::argument(name, "images without boxes", expected));
        }
        if dataset.classes() != classes {
            let found = format!("the classes {}", dataset.classes().join(", "));
            return Err(Error::argument(
                name,
                found,
                format!("as for training: {}", classes.join(", ")),
            ));
        }
        check_objects(name, dataset)?;
    }
    Ok(())
}

/// Looks for an image that can be read with an object in it, usually one of the first, before an
/// epoch is spent.
fn check_objects(name: &'static str, dataset: &dyn Dataset) -> Result<(), Error> {
    let mut first = None;
    for index in 0..dataset.len() {
        let reason = match dataset.read(index) {
            Ok(sample) if !sample.boxes.is_empty() => return Ok(()),
            Ok(_) => "it has no object".to_string(),
            Err(error) => error.to_string(),
        };
        first = first.or(Some(format!("{}: {reason}", dataset.id(index))));
    }
    let found = first.map_or("none".to_string(), |first| {
        format!("none that can be read with an object in it; the first: {first}")
    });
    Err(Error::argument(name, found, "at least one"))
}
