//! The task of finding objects.

use std::sync::Arc;

use candle_core::DType;
use cnn_core::{Key, Preprocessing};
use cnn_data::{Augmentation, Batch, Dataset, Skipped};
use cnn_layers::{
    Context, DetectionLimits, DetectionTargets, Detector, FeatureMap, ImageObjects, Interpolation,
    Layer as _, Mode, Resize2d, ResizeTo,
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
    /// Of inputs, one of which is drawn for some batches; none where all have the preprocessing's.
    sizes: Vec<[usize; 2]>,
}

/// Batches in a row that have one size.
const BATCHES_OF_A_SIZE: usize = 10;

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
    /// The size that it is brought to.
    size: Option<[usize; 2]>,
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
            sizes: Vec::new(),
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

    /// Trains on inputs of these heights and widths, one of which is drawn for every ten batches:
    /// images and boxes are resized to it, bilinearly, from the preprocessing's size.
    ///
    /// # Errors
    /// [`Error::Argument`] if a side is no multiple of the network's
    /// [`size_step`](Detector::size_step), or 0.
    pub fn with_sizes(self, sizes: Vec<[usize; 2]>) -> Result<Self, Error> {
        let step = self.model_train.size_step();
        let fits = |side: &usize| *side > 0 && side.is_multiple_of(step);
        if let Some([height, width]) = sizes.iter().find(|size| !size.iter().all(fits)) {
            let found = format!("{height}x{width}");
            return Err(Error::argument(
                "sizes",
                found,
                format!("multiples of {step}"),
            ));
        }
        Ok(Self { sizes, ..self })
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
        let key = epoch.key.stream("size");
        let numbered = (epoch.start..).zip(batches);
        Ok(Box::new(numbered.map(move |(number, batch)| {
            Ok(DetectionBatch {
                batch: batch?,
                is_late,
                size: self.drawn_size(&key.at((number / BATCHES_OF_A_SIZE) as u64)),
            })
        })))
    }

    fn samples(&self, batch: &DetectionBatch) -> usize {
        batch.batch.len()
    }

    fn loss(&self, batch: &DetectionBatch, cx: &Context<'_>) -> Result<Losses, Error> {
        let (xs, images) = batch.inputs()?;
        let targets = DetectionTargets {
            images,
            is_late: batch.is_late,
        };
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

    fn skipped(&self) -> Vec<Skipped> {
        self.train.skipped()
    }

    fn names(&self, batch: &DetectionBatch) -> Vec<String> {
        self.train.names(&batch.batch)
    }
}

impl Detection {
    /// The size that a batch is brought to.
    fn drawn_size(&self, key: &Key) -> Option<[usize; 2]> {
        if self.sizes.is_empty() {
            return None;
        }
        let drawn = key.rng().below(self.sizes.len() as u64) as usize;
        Some(self.sizes[drawn])
    }
}

impl DetectionBatch {
    /// The images and their objects, in the batch's size.
    fn inputs(&self) -> Result<(FeatureMap, Vec<ImageObjects>), Error> {
        let xs = FeatureMap::from_nhwc(&self.batch.images)?;
        let [height, width] = self.size.unwrap_or([xs.height(), xs.width()]);
        let down = height as f32 / xs.height() as f32;
        let across = width as f32 / xs.width() as f32;
        let images = self.batch.boxes.iter().map(|objects| ImageObjects {
            boxes: objects
                .iter()
                .map(|object| {
                    let [x_min, y_min, x_max, y_max] = object.edges();
                    [across * x_min, down * y_min, across * x_max, down * y_max]
                })
                .collect(),
            classes: objects.iter().map(|object| object.class).collect(),
        });
        let images = images.collect();
        if [height, width] == [xs.height(), xs.width()] {
            return Ok((xs, images));
        }
        let to = ResizeTo::Size([height, width]);
        let interpolation = Interpolation::Bilinear {
            align_corners: false,
        };
        let resized = Resize2d::new(to, interpolation).forward(&xs, &Context::eval())?;
        Ok((resized, images))
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
