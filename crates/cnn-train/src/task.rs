//! What is trained: the batches, their loss, the evaluation.

use candle_core::Tensor;
use cnn_core::Key;
use cnn_data::Skipped;
use cnn_layers::{Context, Store};

use crate::Error;

/// What the [`Trainer`](crate::Trainer) trains: where batches come from, what their loss is, how
/// good the network is.
///
/// A task owns its data and its network or networks, built from the [`Store`](cnn_layers::Store)
/// that the trainer saves. A batch may hold anything: images and labels, or one batch of a source
/// and one of a target domain.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use cnn_layers::{Context, Linear, LinearConfig, Mode, Store};
/// use cnn_train::{
///     Epoch, Error, Evaluation, GradientStep, Losses, OptimizerConfig, Task, TaskBatches,
///     TrainConfig, Trainer, mean_squared_error,
/// };
///
/// /// Fits a line to points.
/// struct Line {
///     layer: Linear,
///     points: (Tensor, Tensor),
/// }
///
/// impl Task for Line {
///     type Batch = (Tensor, Tensor);
///
///     fn batches_per_epoch(&self) -> usize {
///         1
///     }
///
///     fn batches<'a>(&'a self, epoch: &Epoch) -> Result<TaskBatches<'a, Self::Batch>, Error> {
///         Ok(Box::new(
///             std::iter::once(Ok(self.points.clone())).skip(epoch.start),
///         ))
///     }
///
///     fn samples(&self, (xs, _): &Self::Batch) -> usize {
///         xs.dims()[0]
///     }
///
///     fn loss(&self, (xs, ys): &Self::Batch, cx: &Context<'_>) -> Result<Losses, Error> {
///         Ok(Losses::new(mean_squared_error(
///             &self.layer.forward(xs, cx)?,
///             ys,
///         )?))
///     }
///
///     fn evaluate(&self) -> Result<Evaluation, Error> {
///         let error = f64::from(
///             self.loss(&self.points, &Context::eval())?
///                 .total
///                 .to_scalar::<f32>()?,
///         );
///         Ok(Evaluation {
///             score: -error,
///             metrics: vec![("error".to_string(), error)],
///         })
///     }
/// }
///
/// # let directory = tempfile::tempdir()?;
/// # let directory = directory.path();
/// let store = Store::new(0);
/// let layer = LinearConfig::new(1, 1).build(&store.builder(Mode::Train))?;
/// let column = |values: [f32; 3]| Tensor::new(&values, &Device::Cpu)?.reshape((3, 1));
/// let line = Line {
///     layer,
///     points: (column([-1., 0., 1.])?, column([-1., 1., 3.])?),
/// };
///
/// let optimizer = OptimizerConfig::Sgd {
///     momentum: 0.5,
///     nesterov: false,
/// };
/// let config = TrainConfig {
///     optimizer,
///     ..TrainConfig::new(20)
/// };
/// let summary =
///     Trainer::new(config, &store, directory).run(&line, &mut GradientStep::default())?;
/// assert!(summary.best.is_some_and(|best| best.score > -1e-3));
/// assert!((store.get("weight")?.to_vec2::<f32>()?[0][0] - 2.).abs() < 0.1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Task {
    /// What one step reads.
    type Batch;

    /// How many batches an epoch has, at least 1 and the same in every epoch.
    fn batches_per_epoch(&self) -> usize;

    /// The batches of one epoch, without the first `epoch.start` ones. What is random is drawn from
    /// `epoch.key`, so that an epoch begun in its middle yields the same batches as a whole one.
    ///
    /// # Errors
    /// If the data cannot be read.
    fn batches<'a>(&'a self, epoch: &Epoch) -> Result<TaskBatches<'a, Self::Batch>, Error>;

    /// How many samples a batch holds: its weight in the averages. A batch without samples is
    /// passed over.
    fn samples(&self, batch: &Self::Batch) -> usize;

    /// The loss of a batch, averaged over its samples, as a differentiable scalar.
    ///
    /// # Errors
    /// If the forward pass fails.
    fn loss(&self, batch: &Self::Batch, cx: &Context<'_>) -> Result<Losses, Error>;

    /// How good the network is now, on data that it is not trained on.
    ///
    /// # Errors
    /// If the data cannot be read or the forward pass fails.
    fn evaluate(&self) -> Result<Evaluation, Error>;

    /// What the score of [`evaluate`](Self::evaluate) is: the metric that it is, by its name there,
    /// as `top1` or `miou`, or else a name of its own. Default: `score`.
    fn score_name(&self) -> String {
        "score".to_string()
    }

    /// What the task keeps from one update to the next, by name, beside the trained network; as
    /// [`Step::kept`](crate::Step::kept). Default: nothing.
    fn kept(&self) -> Vec<(String, Store)> {
        Vec::new()
    }

    /// The files that could not be read so far, by name. Default: none.
    fn skipped(&self) -> Vec<Skipped> {
        Vec::new()
    }

    /// The names of a batch's samples, such as their files; for error messages.
    fn names(&self, batch: &Self::Batch) -> Vec<String> {
        vec![format!("{} samples", self.samples(batch))]
    }
}

/// The batches of an epoch.
pub type TaskBatches<'a, B> = Box<dyn Iterator<Item = Result<B, Error>> + 'a>;

/// Which epoch's batches are wanted.
#[derive(Debug, Clone, Copy)]
pub struct Epoch {
    /// The epoch, counted from 0.
    pub number: usize,
    /// The first batch, counted from 0; not 0 when a run goes on in the middle of an epoch.
    pub start: usize,
    /// The source of all that is random in this epoch's data.
    pub key: Key,
}

/// What a batch costs.
#[derive(Debug, Clone)]
pub struct Losses {
    /// What is minimised: a scalar.
    pub total: Tensor,
    /// Further values to log, averaged over the batch, such as the loss's parts or the accuracy.
    /// Each step gives the same names.
    pub named: Vec<(String, f64)>,
}

impl Losses {
    /// A loss without further values.
    pub fn new(total: Tensor) -> Self {
        Self {
            total,
            named: Vec::new(),
        }
    }

    /// Adds a value to log.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: f64) -> Self {
        self.named.push((name.into(), value));
        self
    }
}

/// How good a network is.
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluation {
    /// What decides which epoch is the best one: higher is better.
    pub score: f64,
    /// The metrics, in the order of the log's columns. Each evaluation gives the same names.
    pub metrics: Vec<(String, f64)>,
}
