//! Forward, backward, update.

use candle_core::Tensor;
use cnn_core::Key;
use cnn_layers::{Context, Store, backward};

use crate::{Error, Gradients, Optimizer, Progress, Rates, Task};

/// How one update is made from its batches.
///
/// [`GradientStep`] is the usual one. One of one's own, that clips the gradients and takes each
/// update twice as far where the loss is below a bound:
///
/// ```
/// use cnn_layers::backward;
/// use cnn_train::{Error, Gradients, Rates, Step, StepReport, Task, Update};
///
/// struct Bold {
///     below: f64,
/// }
///
/// impl<T: Task> Step<T> for Bold {
///     fn step(&mut self, task: &T, batches: &[T::Batch], update: &mut Update<'_>) -> Result<StepReport, Error> {
///         let losses = task.loss(&batches[0], &update.context(0))?;
///         let loss = f64::from(losses.total.to_scalar::<f32>()?);
///         let mut gradients = Gradients::take(&mut backward(&losses.total)?, update.optimizer);
///         let gradient_norm = gradients.clip_norm(10.)?;
///         let lr = update.rates.lr * if loss < self.below { 2. } else { 1. };
///         update.optimizer.step(&gradients, &Rates { lr, ..update.rates })?;
///         let values = vec![("loss".to_string(), loss)];
///         Ok(StepReport { samples: task.samples(&batches[0]), values, gradient_norm })
///     }
/// }
///
/// # use candle_core::{Device, Tensor};
/// # use cnn_layers::{Context, Linear, LinearConfig, Mode, Store};
/// # use cnn_train::{TaskBatches, Epoch, Evaluation, Losses, OptimizerConfig, TrainConfig, Trainer, mean_squared_error};
/// # /// Fits a line to points.
/// # struct Line {
/// #     layer: Linear,
/// #     points: (Tensor, Tensor),
/// # }
/// #
/// # impl Task for Line {
/// #     type Batch = (Tensor, Tensor);
/// #
/// #     fn batches_per_epoch(&self) -> usize {
/// #         1
/// #     }
/// #
/// #     fn batches<'a>(&'a self, epoch: &Epoch) -> Result<TaskBatches<'a, Self::Batch>, Error> {
/// #         Ok(Box::new(std::iter::once(Ok(self.points.clone())).skip(epoch.start)))
/// #     }
/// #
/// #     fn samples(&self, (xs, _): &Self::Batch) -> usize {
/// #         xs.dims()[0]
/// #     }
/// #
/// #     fn loss(&self, (xs, ys): &Self::Batch, cx: &Context<'_>) -> Result<Losses, Error> {
/// #         Ok(Losses::new(mean_squared_error(&self.layer.forward(xs, cx)?, ys)?))
/// #     }
/// #
/// #     fn evaluate(&self) -> Result<Evaluation, Error> {
/// #         let error = f64::from(self.loss(&self.points, &Context::eval())?.total.to_scalar::<f32>()?);
/// #         Ok(Evaluation { score: -error, metrics: vec![("error".to_string(), error)] })
/// #     }
/// # }
/// # let directory = tempfile::tempdir()?;
/// # let directory = directory.path();
/// # let store = Store::new(0);
/// # let layer = LinearConfig::new(1, 1).build(&store.builder(Mode::Train))?;
/// # let column = |values: [f32; 3]| Tensor::new(&values, &Device::Cpu)?.reshape((3, 1));
/// # let line = Line { layer, points: (column([-1., 0., 1.])?, column([-1., 1., 3.])?) };
/// # let optimizer = OptimizerConfig::Sgd { momentum: 0.5, nesterov: false };
/// # let config = TrainConfig { optimizer, ..TrainConfig::new(20) };
/// let summary = Trainer::new(config, &store, directory).run(&line, &mut Bold { below: 0.5 })?;
/// assert!(summary.best.is_some_and(|best| best.score > -1e-3));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Step<T: Task> {
    /// Computes gradients and updates the parameters.
    ///
    /// # Errors
    /// [`Error::NotFinite`] before anything is updated if a value is not finite, and what the task
    /// reports.
    fn step(
        &mut self,
        task: &T,
        batches: &[T::Batch],
        update: &mut Update<'_>,
    ) -> Result<StepReport, Error>;

    /// What the step keeps from one update to the next, by name: a teacher, a queue of features, a
    /// second network. The resume file holds these tensors, so that a run which is interrupted ends
    /// in the same bytes; whatever else a step remembers is lost with the process. Default:
    /// nothing.
    fn kept(&self) -> Vec<(String, Store)> {
        Vec::new()
    }
}

/// What a step works with.
pub struct Update<'a> {
    /// The optimiser of the trained parameters.
    pub optimizer: &'a mut Optimizer,
    /// The rates of this update.
    pub rates: Rates,
    /// How far the training, or its current phase, had come before this update.
    pub progress: Progress,
    /// The source of all that is random in this update.
    pub key: Key,
    /// Those of [`Trainer::with_optimizer`](crate::Trainer::with_optimizer), in the same order.
    pub further: Vec<FurtherUpdate<'a>>,
    /// The moving average of the store's tensors before this update, by name, where
    /// [`TrainConfig::ema`](crate::TrainConfig::ema) keeps one: a teacher of the network. They share
    /// the storage of the average, which moves after the update.
    pub average: Option<Vec<(String, Tensor)>>,
}

/// A further optimiser, in one update.
pub struct FurtherUpdate<'a> {
    /// Its name.
    pub name: &'a str,
    /// The optimiser.
    pub optimizer: &'a mut Optimizer,
    /// Its rates, by a schedule of its own.
    pub rates: Rates,
}

impl<'a> Update<'a> {
    /// What the forward pass of the update's batch of that number takes.
    pub fn context(&self, number: usize) -> Context<'static> {
        Context::train(self.key.at(number as u64))
    }

    /// A further optimiser by its name.
    ///
    /// # Errors
    /// [`Error::Argument`] if the trainer was given none of this name.
    pub fn further(&mut self, name: &str) -> Result<&mut FurtherUpdate<'a>, Error> {
        let names: Vec<&str> = self.further.iter().map(|further| further.name).collect();
        let expected = format!("one of the trainer's: {}", names.join(", "));
        let found = self.further.iter_mut().find(|further| further.name == name);
        found.ok_or_else(|| Error::argument("optimizer", name, expected))
    }
}

/// What an update reports: averages over its samples.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct StepReport {
    /// How many samples it used.
    pub samples: usize,
    /// The loss, then the task's named values.
    pub values: Vec<(String, f64)>,
    /// The global norm of the gradients, before clipping.
    pub gradient_norm: f64,
}

/// Plain gradient descent: the gradients of one or several batches, averaged over their samples,
/// clipped where asked, one update.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct GradientStep {
    /// Scales the gradients so that their global norm is at most this.
    pub clip_norm: Option<f64>,
    /// Bounds each gradient's magnitude.
    pub clip_value: Option<f64>,
}

impl GradientStep {
    /// The gradients of batches, averaged over their samples, with what the losses say; nothing is
    /// changed. `None` without a batch.
    ///
    /// # Errors
    /// [`Error::NotFinite`] if a loss is not finite, [`Error::Argument`] if no trained parameter
    /// has a gradient, and what the task reports.
    pub fn gradients<T: Task>(
        &self,
        task: &T,
        batches: &[T::Batch],
        update: &Update<'_>,
    ) -> Result<Option<(Gradients, StepReport)>, Error> {
        let samples: usize = batches.iter().map(|batch| task.samples(batch)).sum();
        let mut report = StepReport {
            samples,
            ..StepReport::default()
        };
        let mut sum: Option<Gradients> = None;
        for (number, batch) in batches.iter().enumerate() {
            let weight = task.samples(batch) as f64 / samples as f64;
            let losses = task.loss(batch, &update.context(number))?;
            let loss = losses
                .total
                .to_dtype(candle_core::DType::F64)?
                .to_scalar::<f64>()?;
            report.add(
                weight,
                std::iter::once(("loss".to_string(), loss)).chain(losses.named),
            );
            if !loss.is_finite() {
                return Err(Error::not_finite("the loss"));
            }
            let mut store = backward(&losses.total)?;
            // The graph holds every activation: it goes before anything else is allocated.
            drop(losses.total);
            let gradients = Gradients::take(&mut store, update.optimizer);
            match &mut sum {
                None if batches.len() == 1 => sum = Some(gradients),
                None => sum = Some(Gradients::scaled(gradients, weight)?),
                Some(sum) => sum.add(&gradients, weight)?,
            }
        }
        let Some(gradients) = sum else {
            return Ok(None);
        };
        if gradients.iter().next().is_none() {
            let expected = "that of at least one trained parameter; the network of the loss is built in \
                            `Mode::Train` from the store that is trained";
            return Err(Error::argument("gradients", "none", expected));
        }
        Ok(Some((gradients, report)))
    }

    /// Clips gradients where asked and updates the parameters; the global norm before clipping.
    ///
    /// # Errors
    /// [`Error::NotFinite`] before anything is updated if a gradient is not finite.
    pub fn update(&self, gradients: Gradients, update: &mut Update<'_>) -> Result<f64, Error> {
        self.apply(gradients, update.optimizer, &update.rates)
    }

    /// The same with any optimiser, as one of [`Update::further`].
    ///
    /// # Errors
    /// As [`update`](Self::update).
    pub fn apply(
        &self,
        mut gradients: Gradients,
        optimizer: &mut Optimizer,
        rates: &Rates,
    ) -> Result<f64, Error> {
        let norm = gradients.norm()?;
        if !norm.is_finite() {
            let parameter = gradients
                .first_non_finite()?
                .unwrap_or("the sum of squares")
                .to_string();
            return Err(Error::not_finite(format!("the gradient of {parameter}")));
        }
        if let Some(max) = self.clip_value {
            gradients.clip_value(max)?;
        }
        if let Some(max) = self.clip_norm {
            gradients.clip_norm(max)?;
        }
        optimizer.step(&gradients, rates)?;
        Ok(norm)
    }
}

impl<T: Task> Step<T> for GradientStep {
    fn step(
        &mut self,
        task: &T,
        batches: &[T::Batch],
        update: &mut Update<'_>,
    ) -> Result<StepReport, Error> {
        let Some((gradients, mut report)) = self.gradients(task, batches, update)? else {
            return Ok(StepReport::default());
        };
        report.gradient_norm = self.update(gradients, update)?;
        Ok(report)
    }
}

impl StepReport {
    fn add(&mut self, weight: f64, values: impl Iterator<Item = (String, f64)>) {
        for (position, (name, value)) in values.enumerate() {
            match self.values.get_mut(position) {
                Some((_, sum)) => *sum += weight * value,
                None => self.values.push((name, weight * value)),
            }
        }
    }
}
