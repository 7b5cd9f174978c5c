//! How good the best epoch of a run is.

use std::path::Path;
use std::time::Instant;

use cnn_data::Split;
use cnn_models::{LoadOptions, Network};
use cnn_train::TrainingData;

use crate::{Error, Measured, measure};

/// The best epoch of a run, measured on images that had no part in choosing it where there are
/// such.
#[derive(Debug)]
#[non_exhaustive]
pub struct BestEpoch {
    /// The network with the best epoch's weights.
    pub network: Network,
    /// What it was measured on: test images, or else the validation images that chose the epoch,
    /// which flatter a little.
    pub part: Split,
    /// How good it is; [`Measured::top1_interval`] says how sure that is.
    pub measured: Measured,
    /// Seconds that measuring took.
    pub seconds: f64,
}

impl BestEpoch {
    /// Loads the best epoch of the run in a directory and measures it on what
    /// [`TrainingData::measured_on`] says, `batch_size` images at a time. After each batch
    /// `progress` is told how many images it had.
    ///
    /// `options` name the model where it is one of your own; they are
    /// [`LoadOptions::default`] for a registered one.
    ///
    /// ```
    /// use std::sync::Arc;
    ///
    /// use cnn_data::{Shapes, ShapesConfig, Split};
    /// use cnn_models::{LoadOptions, ModelConfig, Network};
    /// use cnn_train::TrainingData;
    /// use cnn_transfer::{BestEpoch, FineTune, FineTuneConfig, Strategy};
    ///
    /// # let run = tempfile::tempdir()?;
    /// # let run = run.path();
    /// let shapes = |split, samples| {
    ///     Shapes::new(
    ///         ShapesConfig::default()
    ///             .with_split(split)
    ///             .with_samples(samples),
    ///     )
    /// };
    /// let data = TrainingData::holding_out(Arc::new(shapes(Split::Train, 40)?), 0.25, 0)?
    ///     .with_test(Arc::new(shapes(Split::Test, 20)?));
    /// let network = Network::new("resnet8_cifar10", &ModelConfig::default(), 0)?;
    /// let config = FineTuneConfig {
    ///     strategy: Strategy::Head,
    ///     head_epochs: 1,
    ///     ..FineTuneConfig::default()
    /// };
    /// FineTune::new(network, data.train().clone(), data.val().clone())
    ///     .with_config(config)
    ///     .run(run)?;
    ///
    /// let best = BestEpoch::measure(run, &LoadOptions::default(), &data, 32, &mut |_| ())?;
    /// assert_eq!((best.part, best.measured.result.samples), (Split::Test, 20));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Model`] if the directory has no best epoch that can be loaded, and as [`measure`].
    pub fn measure(
        directory: &Path,
        options: &LoadOptions,
        data: &TrainingData,
        batch_size: usize,
        progress: &mut dyn FnMut(usize),
    ) -> Result<Self, Error> {
        let network = Network::load(&directory.join("best"), options)?;
        let measured_on = data.measured_on();
        let start = Instant::now();
        let measured = measure(&network, &measured_on.images, batch_size, progress)?;
        Ok(Self {
            network,
            part: measured_on.part,
            measured,
            seconds: start.elapsed().as_secs_f64(),
        })
    }
}
