//! The task of telling classes apart.

use std::sync::Arc;

use candle_core::{DType, Device, Tensor};
use cnn_core::Preprocessing;
use cnn_data::{Augmentation, Batch, BatchMix, BatchPlan, Dataset, Skipped};
use cnn_layers::{Context, FeatureMap, Mode, Outputs};
use cnn_metrics::ClassificationResult;

use crate::training_images::TrainingImages;
use crate::{
    ClassificationLoss, CrossEntropy, Epoch, Error, Evaluation, Forward, Losses, Targets, Task,
    TaskBatches,
};

/// A metric of one's own over all validation images.
///
/// ```
/// use candle_core::Tensor;
/// use cnn_train::{Error, Metric};
///
/// /// The share of answers that are surer than a half.
/// #[derive(Default)]
/// struct Sure {
///     sure: usize,
///     all: usize,
/// }
///
/// impl Metric for Sure {
///     fn update(&mut self, logits: &Tensor, labels: &[u32]) -> Result<(), Error> {
///         let probabilities = cnn_train::log_softmax(logits)?.exp()?;
///         let highest = probabilities.max(1)?.to_vec1::<f32>()?;
///         self.sure += highest
///             .iter()
///             .filter(|probability| **probability > 0.5)
///             .count();
///         self.all += labels.len();
///         Ok(())
///     }
///
///     fn value(&self) -> f64 {
///         self.sure as f64 / self.all as f64
///     }
/// }
/// ```
pub trait Metric {
    /// Takes in a batch's logits `(N, K)` and its `N` labels.
    ///
    /// # Errors
    /// What the metric reports, as [`Error::other`].
    fn update(&mut self, logits: &Tensor, labels: &[u32]) -> Result<(), Error>;

    /// What all batches amount to.
    fn value(&self) -> f64;
}

type NewMetric = Box<dyn Fn() -> Box<dyn Metric> + Send + Sync>;
type NewImageMetric = Box<dyn Fn() -> Box<dyn ImageMetric> + Send + Sync>;

/// A metric of one's own that looks at the validation images themselves, as the accuracy under an
/// attack.
pub trait ImageMetric {
    /// Takes in a batch as the network reads it, `(N, H, W, C)`, the number of each image in the
    /// dataset, and the `N` labels.
    ///
    /// # Errors
    /// What the metric reports, as [`Error::other`].
    fn update(&mut self, inputs: &Tensor, samples: &[usize], labels: &[u32]) -> Result<(), Error>;

    /// What all batches amount to.
    fn value(&self) -> f64;
}

/// Training a classifier on labelled images, evaluated on others.
pub struct Classification {
    train: TrainingImages,
    val: Arc<dyn Dataset>,
    forward_train: Forward,
    forward_eval: Forward,
    loss: Box<dyn ClassificationLoss>,
    auxiliary_weight: Option<f64>,
    metrics: Vec<(String, NewMetric)>,
    image_metrics: Vec<(String, NewImageMetric)>,
    score: String,
}

impl Classification {
    /// Trains a network on `train` and evaluates it on `val`. `build` builds it from the store that
    /// is trained, and is asked for it in [`Mode::Train`] and in [`Mode::Eval`]; it has one output
    /// for each of `train`'s classes. That is a [`Classifier`](cnn_layers::Classifier), as
    /// `network.build(mode)` gives it, or a [`Forward`] over layers of one's own. Default: batches of 32, no augmentation, cross-entropy, the
    /// best epoch by top-1 accuracy.
    ///
    /// # Errors
    /// As [`check_datasets`], and what `build` reports.
    pub fn new<F: Into<Forward>, E: Into<Box<dyn std::error::Error + Send + Sync>>>(
        train: Arc<dyn Dataset>,
        val: Arc<dyn Dataset>,
        preprocessing: Preprocessing,
        build: impl Fn(Mode) -> Result<F, E>,
    ) -> Result<Self, Error> {
        check_datasets(train.as_ref(), val.as_ref())?;
        let build = |mode| build(mode).map(Into::into).map_err(Error::other);
        Ok(Self {
            train: TrainingImages::new(train, preprocessing, 32),
            val,
            forward_train: build(Mode::Train)?,
            forward_eval: build(Mode::Eval)?,
            loss: Box::new(CrossEntropy::default()),
            auxiliary_weight: None,
            metrics: Vec::new(),
            image_metrics: Vec::new(),
            score: "top1".to_string(),
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

    /// What to do to each training image.
    #[must_use]
    pub fn with_augmentation(mut self, augmentation: Augmentation) -> Self {
        self.train.augmentation = augmentation;
        self
    }

    /// How to mix the images of a batch.
    #[must_use]
    pub fn with_mix(mut self, mix: BatchMix) -> Self {
        self.train.mix = Some(mix);
        self
    }

    /// What is minimised: [`CrossEntropy`] or a function of logits and targets.
    #[must_use]
    pub fn with_loss(self, loss: impl ClassificationLoss + 'static) -> Self {
        Self {
            loss: Box::new(loss),
            ..self
        }
    }

    /// How much the loss of each auxiliary head counts beside that of the main output, where the
    /// network has such heads; what the network says by default, as 0.3 for GoogLeNet (Szegedy et al.
    /// 2014).
    #[must_use]
    pub fn with_auxiliary_weight(self, weight: f64) -> Self {
        Self {
            auxiliary_weight: Some(weight),
            ..self
        }
    }

    /// A further metric of the validation images, made anew for each evaluation; the logs have it as
    /// `val_…`.
    #[must_use]
    pub fn with_metric<M: Metric + 'static>(
        mut self,
        name: impl Into<String>,
        new: impl Fn() -> M + Send + Sync + 'static,
    ) -> Self {
        let new: NewMetric = Box::new(move || Box::new(new()));
        self.metrics.push((name.into(), new));
        self
    }

    /// A further metric that looks at the validation images; the logs have it as `val_…`, too.
    #[must_use]
    pub fn with_image_metric<M: ImageMetric + 'static>(
        mut self,
        name: impl Into<String>,
        new: impl Fn() -> M + Send + Sync + 'static,
    ) -> Self {
        let new: NewImageMetric = Box::new(move || Box::new(new()));
        self.image_metrics.push((name.into(), new));
        self
    }

    /// What the trained network gives for a batch of inputs `(N, H, W, C)`.
    ///
    /// # Errors
    /// If the inputs do not fit.
    pub fn outputs(&self, inputs: &Tensor, cx: &Context<'_>) -> Result<Outputs<Tensor>, Error> {
        let images = FeatureMap::from_nhwc(inputs)?;
        Ok(self.forward_train.outputs(&images, cx)?)
    }

    /// The loss of outputs for a batch, those of auxiliary heads among them, and the share of right
    /// predictions.
    ///
    /// # Errors
    /// If an image has no label.
    pub fn losses(&self, outputs: &Outputs<Tensor>, batch: &Batch) -> Result<Losses, Error> {
        let labels = class_labels(batch)?;
        let targets = self.targets(batch, &labels)?;
        let right = right_predictions(&outputs.main, &labels)?;
        let mut total = self.loss.loss(&outputs.main, &targets)?;
        let mut named = vec![("top1".to_string(), right as f64 / labels.len() as f64)];
        for head in &outputs.auxiliary {
            let loss = self.loss.loss(&head.output, &targets)?;
            let value = loss.to_dtype(DType::F64)?.to_scalar::<f64>()?;
            named.push((format!("{}_loss", head.head), value));
            let weight = self.auxiliary_weight.unwrap_or(head.weight);
            total = (total + (loss * weight)?)?;
        }
        Ok(Losses { total, named })
    }

    /// The metric by which an epoch is the best, the higher the better: `top1`, `top5` or one of
    /// one's own.
    #[must_use]
    pub fn with_score(self, metric: impl Into<String>) -> Self {
        Self {
            score: metric.into(),
            ..self
        }
    }

    /// All metrics on the validation images, and those of one's own.
    fn measure(&self) -> Result<(ClassificationResult, Vec<(String, f64)>), Error> {
        let plan = BatchPlan::new(self.val.clone(), self.train.preprocessing.clone())
            .with_batch_size(self.train.batch_size.max(32));
        let mut metrics = cnn_metrics::ClassificationMetrics::new(self.classes())?;
        let new = self.metrics.iter().map(|(name, new)| (name.clone(), new()));
        let mut further: Vec<(String, Box<dyn Metric>)> = new.collect();
        let new = self.image_metrics.iter();
        let mut on_images: Vec<(String, Box<dyn ImageMetric>)> =
            new.map(|(name, new)| (name.clone(), new())).collect();
        let mut batches = plan.start()?;
        for batch in &mut batches {
            let batch = batch?;
            let images = FeatureMap::from_nhwc(&batch.images)?;
            let logits = self.forward_eval.scores(&images, &Context::eval())?;
            let labels = class_labels(&batch)?;
            count_predictions(&mut metrics, &logits, &labels)?;
            for (_, metric) in &mut further {
                metric.update(&logits, &labels)?;
            }
            for (_, metric) in &mut on_images {
                metric.update(&batch.images, &batch.indices, &labels)?;
            }
        }
        self.train.note_skipped(batches.skipped());
        let further = further.into_iter();
        let further = further.map(|(name, metric)| (name, metric.value()));
        let on_images = on_images.into_iter();
        let on_images = on_images.map(|(name, metric)| (name, metric.value()));
        Ok((metrics.result()?, further.chain(on_images).collect()))
    }

    fn classes(&self) -> usize {
        self.train.dataset.classes().len()
    }

    fn targets(&self, batch: &Batch, labels: &[u32]) -> Result<Targets, Error> {
        let Some(mixing) = &batch.mixing else {
            return Ok(Targets::Classes(labels.to_vec()));
        };
        let labels: Vec<usize> = labels.iter().map(|&label| label as usize).collect();
        let soft = mixing.soft_targets(&labels, self.classes())?;
        Ok(Targets::Soft(Tensor::from_vec(
            soft,
            (labels.len(), self.classes()),
            &Device::Cpu,
        )?))
    }
}

impl Task for Classification {
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
        self.losses(&self.outputs(&batch.images, cx)?, batch)
    }

    fn evaluate(&self) -> Result<Evaluation, Error> {
        let (result, further) = self.measure()?;
        let mut evaluation = Evaluation::from(&result);
        evaluation.metrics.extend(further);
        // The loss is no score: lower is better.
        let mut scores = evaluation.metrics.iter().filter(|(name, _)| name != "loss");
        let known: Vec<&str> = scores.clone().map(|(name, _)| name.as_str()).collect();
        let expected = format!("one of {}", known.join(", "));
        let score = scores.find(|(name, _)| *name == self.score);
        let (_, score) = score.ok_or_else(|| Error::argument("score", &self.score, expected))?;
        evaluation.score = *score;
        Ok(evaluation)
    }

    fn score_name(&self) -> String {
        self.score.clone()
    }

    fn skipped(&self) -> Vec<Skipped> {
        self.train.skipped()
    }

    fn names(&self, batch: &Batch) -> Vec<String> {
        self.train.names(batch)
    }
}

/// Checks that a classifier can learn from `train` and be judged on `val`.
///
/// # Errors
/// [`Error::Argument`] if there are fewer than two classes, a class without training images, or
/// images without a label, if the two datasets' classes differ, or if one of them holds no readable
/// image.
pub fn check_datasets(train: &dyn Dataset, val: &dyn Dataset) -> Result<(), Error> {
    let classes = train.classes();
    if classes.len() < 2 {
        let found = format!("{} ({})", classes.len(), classes.join(", "));
        return Err(Error::argument("classes", found, "at least 2"));
    }
    if classes != val.classes() {
        let found = format!("{} for validation", val.classes().join(", "));
        return Err(Error::argument(
            "classes",
            found,
            format!("as for training: {}", classes.join(", ")),
        ));
    }
    let mut counts = vec![0usize; classes.len()];
    for index in 0..train.len() {
        let label = train.label(index);
        let Some(count) = label.and_then(|label| counts.get_mut(label)) else {
            let found = label.map_or("no label".to_string(), |label| label.to_string());
            return Err(Error::argument(
                "label",
                format!("{found} of {}", train.id(index)),
                "a class's number",
            ));
        };
        *count += 1;
    }
    if let Some(empty) = counts.iter().position(|&count| count == 0) {
        let highest = (0..train.len())
            .max_by_key(|&index| train.label(index))
            .unwrap_or(0);
        let class = train.label(highest).map_or("", |class| &classes[class]);
        let at = train.id(highest);
        let found = format!(
            "no image of class `{}`; the highest is `{class}`, of {at}",
            classes[empty]
        );
        let expected = format!("at least one image of each of {} classes", classes.len());
        return Err(Error::argument("labels", found, expected));
    }
    check_readable("training images", train)?;
    check_readable("validation images", val)
}

/// Looks for an image that can be read, usually the first, before an epoch is spent.
fn check_readable(name: &'static str, dataset: &dyn Dataset) -> Result<(), Error> {
    let mut first_error = None;
    for index in 0..dataset.len() {
        match dataset.read(index) {
            Ok(_) => return Ok(()),
            Err(error) => {
                first_error = first_error.or(Some(format!("{} of {}", error, dataset.id(index))))
            }
        }
    }
    let found = first_error.map_or("none".to_string(), |error| {
        format!("none that can be read; the first: {error}")
    });
    Err(Error::argument(name, found, "at least one"))
}

/// The class of each image of a batch, as losses and metrics take them.
///
/// # Errors
/// [`Error::Argument`] if an image has none.
pub fn class_labels(batch: &Batch) -> Result<Vec<u32>, Error> {
    let label = |label: &Option<usize>| label.map(|label| label as u32);
    let labels = batch.labels.iter().map(label).collect::<Option<Vec<_>>>();
    labels.ok_or_else(|| Error::argument("labels", "an image without one", "one for each image"))
}

/// The logits row by row, in f32.
pub(crate) fn to_vec(logits: &Tensor) -> Result<Vec<f32>, Error> {
    Ok(logits
        .detach()
        .to_dtype(DType::F32)?
        .flatten_all()?
        .to_vec1()?)
}

/// Adds the predictions of logits `(N, K)` to metrics of `K` classes.
///
/// # Errors
/// [`Error::NotFinite`] for logits that are not numbers, and what the metrics report of labels out
/// of range.
pub fn count_predictions(
    metrics: &mut cnn_metrics::ClassificationMetrics,
    logits: &Tensor,
    labels: &[u32],
) -> Result<(), Error> {
    metrics
        .update(&to_vec(logits)?, labels)
        .map_err(|error| match error {
            cnn_metrics::Error::InvalidLogit { .. } => Error::not_finite("the logits"),
            other => other.into(),
        })
}

/// How many rows of logits `(N, K)` are largest, the first of equals, at their label.
///
/// # Errors
/// If candle reports one.
pub fn right_predictions(logits: &Tensor, labels: &[u32]) -> Result<usize, Error> {
    let logits = to_vec(logits)?;
    let classes = logits.len() / labels.len().max(1);
    let right = logits
        .chunks(classes.max(1))
        .zip(labels)
        .filter(|(row, label)| {
            let best = (0..row.len()).max_by(|&a, &b| row[a].total_cmp(&row[b]).then(b.cmp(&a)));
            best == Some(**label as usize)
        });
    Ok(right.count())
}

/// Scored by top-1 accuracy.
impl From<&ClassificationResult> for Evaluation {
    fn from(result: &ClassificationResult) -> Self {
        let metrics = [
            ("loss", result.loss),
            ("top1", result.top1),
            ("top5", result.top5),
        ];
        Self {
            score: result.top1,
            metrics: metrics
                .map(|(name, value)| (name.to_string(), value))
                .into(),
        }
    }
}
