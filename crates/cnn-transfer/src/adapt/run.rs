//! A run of domain adaptation.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use cnn_data::{Augmentation, Dataset, Skipped, Subset};
use cnn_layers::{Context, FeatureMap, Mode};
use cnn_models::{ModelConfig, Network, find};
use cnn_train::{
    Notice, OptimizerConfig, OptimizerPlan, Schedule, ScheduleKind, Task as _, TrainConfig,
    TrainSummary, Trainer, check_datasets,
};

use super::groups::Groups;
use super::methods::{AdaptationMethod, Beginning, METHODS, Recipe, Setting};
use super::task::{AdaptationTask, BOTTLENECK, DomainImages, SourceImages, TaskConfig, TwoParts};
use super::{Unlabelled, Validator};
use crate::Error;

/// Validation images of either domain at most.
const VALIDATION_IMAGES: usize = 1000;

/// How a run of domain adaptation goes.
#[derive(Debug, Clone, PartialEq)]
pub struct AdaptationConfig {
    /// The method; default `dann`.
    pub method: AdaptationMethod,
    /// How much its loss counts beside that of the source; default the method's own. Methods whose
    /// own is 0 have no such loss, and do not look at it.
    pub trade_off: Option<f64>,
    /// Epochs; default 10.
    pub epochs: usize,
    /// Updates of an epoch; default as many batches as the larger domain has, 500 at most.
    pub updates: Option<usize>,
    /// Images of each domain in a batch; default 32.
    pub batch_size: usize,
    /// The learning rate of the bottleneck and the classes; default 0.01.
    pub learning_rate: f64,
    /// The backbone's, relative to that; default 0.1, as for one that has learnt before.
    pub backbone_scale: f64,
    /// The update rule; default SGD with a momentum of 0.9.
    pub optimizer: OptimizerConfig,
    /// Pulls weights towards 0; default 0.001.
    pub weight_decay: f64,
    /// How the learning rate changes; default a cosine.
    pub schedule: Schedule,
    /// What chooses the epoch; default information maximisation.
    pub validator: Validator,
    /// Decides all that is random.
    pub seed: u64,
}

impl Default for AdaptationConfig {
    fn default() -> Self {
        Self {
            method: AdaptationMethod::Dann,
            trade_off: None,
            epochs: 10,
            updates: None,
            batch_size: 32,
            learning_rate: 0.01,
            backbone_scale: 0.1,
            optimizer: OptimizerConfig::sgd(),
            weight_decay: 1e-3,
            schedule: Schedule::new(ScheduleKind::Cosine { end: 0. }),
            validator: Validator::InformationMaximization,
            seed: 0,
        }
    }
}

/// Makes a network that learns from a domain with labels work on one without.
///
/// The network gets a bottleneck before its classes ([`Bottlenecked`](cnn_models::Bottlenecked)),
/// unless it has one. Each update reads a batch of each domain; the epoch that is kept is chosen
/// without labels of the target. The run directory is that of a [`Trainer`], so a run that was
/// interrupted goes on and ends in the same bytes.
///
/// ```
/// use std::sync::Arc;
///
/// use cnn_data::{Shapes, ShapesConfig, Split};
/// use cnn_models::{ModelConfig, Network};
/// use cnn_transfer::adapt::{Adaptation, AdaptationConfig, Unlabelled};
///
/// # let directory = tempfile::tempdir()?;
/// # let directory = directory.path();
/// let shapes = |split| Shapes::new(ShapesConfig::default().with_samples(32).with_split(split));
/// let source = Arc::new(shapes(Split::Train)?);
/// let validation = Arc::new(shapes(Split::Val)?);
/// let target = Unlabelled::new(Arc::new(shapes(Split::Test)?));
///
/// let network = Network::new("resnet8_cifar10", &ModelConfig::default(), 0)?;
/// let config = AdaptationConfig { epochs: 1, batch_size: 8, ..AdaptationConfig::default() };
/// let mut adaptation = Adaptation::new(network, source, validation, target, config)?;
/// let summary = adaptation.run(directory)?;
/// assert!(summary.train.best.is_some() && directory.join("best/model.safetensors").exists());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Adaptation<'a> {
    network: Network,
    config: AdaptationConfig,
    task: AdaptationTask,
    recipe: Recipe,
    groups: Groups,
    save_every: Option<Duration>,
    interrupt: Arc<AtomicBool>,
    listener: Box<dyn FnMut(&Notice<'_>) + 'a>,
}

/// What a run amounts to.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct AdaptationSummary {
    /// Epochs, best epoch, time.
    pub train: TrainSummary,
    /// The class of each [test image](Adaptation::with_test_images) after each epoch, `None` where
    /// it could not be read.
    pub predicted: Vec<Vec<Option<u32>>>,
    /// Files that could not be read.
    pub skipped: Vec<Skipped>,
}

impl<'a> Adaptation<'a> {
    /// A run over `source`, judged on `source_validation` and on images of `target`.
    ///
    /// Where the method [begins](super::Beginning) with a network that has learnt from the source, it is
    /// one that a run of [`AdaptationMethod::SourceOnly`] gave, or another of the same classes; it
    /// gets no bottleneck then.
    ///
    /// # Errors
    /// [`Error::Classes`] if the network's head does not fit the source, as
    /// [`check_datasets`], if the method's numbers are out of range or the network lacks what it
    /// trains, and if the network is no registered chain of stages.
    pub fn new(
        network: Network,
        source: Arc<dyn Dataset>,
        source_validation: Arc<dyn Dataset>,
        target: Unlabelled,
        config: AdaptationConfig,
    ) -> Result<Self, Error> {
        check_datasets(source.as_ref(), source_validation.as_ref())?;
        config.validator.check(Some(source_validation.len()))?;
        let mut network = match config.method.info().beginning {
            Beginning::Any => with_bottleneck(network, config.seed)?,
            Beginning::LearntWithSource | Beginning::Learnt => network,
        };
        let found = network.model().num_classes();
        let data = source.classes().len();
        if found != data {
            return Err(Error::Classes {
                network: found,
                data,
            });
        }
        network.set_label_names(source.classes().to_vec())?;
        let source = SourceImages {
            train: source,
            validation: source_validation,
        };
        Self::over(network, Some(source), target, config)
    }

    /// A run without a source, of a network that has learnt from it: what
    /// [`AdaptationMethod::is_source_free`] methods do.
    ///
    /// # Errors
    /// [`Error::Argument`] for a method or a validator that needs the source; else as
    /// [`new`](Self::new).
    pub fn without_source(
        network: Network,
        target: Unlabelled,
        config: AdaptationConfig,
    ) -> Result<Self, Error> {
        if !config.method.is_source_free() {
            let all = METHODS.iter().filter(|info| info.method.is_source_free());
            let names: Vec<&str> = all.map(|info| info.name).collect();
            let expected = format!("one of {} where there is no source", names.join(", "));
            return Err(Error::argument("method", config.method, expected));
        }
        config.validator.check(None)?;
        Self::over(network, None, target, config)
    }

    fn over(
        network: Network,
        source: Option<SourceImages>,
        target: Unlabelled,
        config: AdaptationConfig,
    ) -> Result<Self, Error> {
        if config.batch_size == 0 {
            return Err(Error::argument("batch size", 0, "at least 1"));
        }
        if let Some(trade_off) = config.trade_off
            && !(trade_off.is_finite() && trade_off >= 0.)
        {
            let expected = "a finite number, not below 0";
            return Err(Error::argument("trade-off", trade_off, expected));
        }
        if target.len() < config.batch_size {
            let expected = format!("at least {}, a batch", config.batch_size);
            return Err(Error::argument("target images", target.len(), expected));
        }
        let parts = TwoParts::build(&network, network.store(), Mode::Eval)?;
        let setting = Setting {
            network: &network,
            features: parts.feature_count(&network)?,
            classes: network.model().num_classes(),
            trade_off: config.trade_off.unwrap_or(config.method.info().trade_off),
            seed: config.seed,
        };
        let recipe = config.method.recipe(&setting, target.len())?;
        let config = match recipe.length {
            Some(length) => length.applied(config, target.len()),
            None => config,
        };
        let updates = config.updates.unwrap_or_else(|| {
            let of_source = source.as_ref().map_or(0, |source| source.train.len());
            (of_source.max(target.len()) / config.batch_size).clamp(1, 500)
        });
        let groups = Groups::freeze_rest(&network, &recipe);
        let some = |images: Arc<dyn Dataset>| Subset::spread(images, VALIDATION_IMAGES);
        let validation = |source: SourceImages| -> Result<SourceImages, Error> {
            Ok(SourceImages {
                validation: Arc::new(some(source.validation)?),
                ..source
            })
        };
        let images = DomainImages {
            source: source.map(validation).transpose()?,
            target_validation: Unlabelled::new(Arc::new(some(target.images().clone())?)),
            target,
        };
        let task_config = TaskConfig {
            reads: recipe.reads,
            batch_size: config.batch_size,
            updates,
            separate_statistics: recipe.separate_statistics,
            source_style: recipe.source_style,
            validator: config.validator,
        };
        let task = AdaptationTask::new(&network, images, task_config)?;
        Ok(Self {
            network,
            config,
            task,
            recipe,
            groups,
            save_every: None,
            interrupt: Arc::default(),
            listener: Box::new(|_| ()),
        })
    }

    /// The network with its bottleneck.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// Epochs, of which some methods have one.
    pub fn epochs(&self) -> usize {
        self.config.epochs
    }

    /// Updates of an epoch.
    pub fn updates(&self) -> usize {
        self.task.batches_per_epoch()
    }

    /// Images whose classes are noted after each epoch, so that whoever has their labels finds out
    /// afterwards what another epoch would have given. They decide nothing.
    ///
    /// # Errors
    /// If memory for the notes cannot be had.
    pub fn with_test_images(mut self, images: Unlabelled) -> Result<Self, Error> {
        self.task.predict(images, self.config.epochs)?;
        Ok(self)
    }

    /// What is done to the training images of both domains; default nothing. `stronger` is done to
    /// the second view of the target, for methods that have one; its default is
    /// [`strong_augmentation`](super::strong_augmentation).
    #[must_use]
    pub fn with_augmentation(mut self, augmentation: Augmentation, stronger: Augmentation) -> Self {
        self.task.augment(augmentation, stronger);
        self
    }

    /// Saves the state within an epoch, too; as
    /// [`Trainer::with_save_every`](cnn_train::Trainer::with_save_every).
    #[must_use]
    pub fn with_save_every(self, save_every: Duration) -> Self {
        Self {
            save_every: Some(save_every),
            ..self
        }
    }

    /// A flag that, once true, makes the run save its state and return.
    #[must_use]
    pub fn with_interrupt(self, interrupt: Arc<AtomicBool>) -> Self {
        Self { interrupt, ..self }
    }

    /// Who watches.
    #[must_use]
    pub fn with_listener<'b>(self, listener: impl FnMut(&Notice<'_>) + 'b) -> Adaptation<'b> {
        Adaptation {
            network: self.network,
            config: self.config,
            task: self.task,
            recipe: self.recipe,
            groups: self.groups,
            save_every: self.save_every,
            interrupt: self.interrupt,
            listener: Box::new(listener),
        }
    }

    /// Runs in a directory, or goes on where its resume file stands. The chosen epoch's network is
    /// in `best`.
    ///
    /// # Errors
    /// What training reports, and what the disk refuses.
    pub fn run(&mut self, directory: &Path) -> Result<AdaptationSummary, Error> {
        let Self { config, recipe, .. } = self;
        let own = recipe.optimizer;
        let train_config = TrainConfig {
            seed: config.seed,
            optimizer: own.map_or(config.optimizer, |own| own.rule),
            learning_rate: own.map_or(config.learning_rate, |own| own.learning_rate),
            weight_decay: config.weight_decay,
            schedule: config.schedule.clone(),
            ema: recipe.average,
            ..TrainConfig::new(config.epochs)
        };
        let plan = |groups| OptimizerPlan {
            config: config.optimizer,
            groups,
            learning_rate: config.learning_rate,
            schedule: config.schedule.clone(),
        };
        let mut trainer = Trainer::new(train_config, self.network.store(), directory)
            .with_companion("config.json", self.network.config_json())
            .with_groups(self.groups.main(config))
            .with_interrupt(self.interrupt.clone())
            .with_listener(|notice| (self.listener)(notice));
        if let Some(alternating) = &recipe.alternating {
            trainer =
                trainer.with_optimizer(alternating.name, plan(self.groups.alternating(config)));
        }
        if let Some(save_every) = self.save_every {
            trainer = trainer.with_save_every(save_every);
        }
        let train = trainer.run(&self.task, self.recipe.step.as_mut())?;
        drop(trainer);
        Ok(AdaptationSummary {
            train,
            predicted: self.task.predicted()?,
            skipped: self.task.skipped(),
        })
    }
}

/// The network over a bottleneck, unless it has one: its weights, and fresh ones behind them. The
/// last map is averaged where the network's own head begins so, and else read whole.
fn with_bottleneck(network: Network, seed: u64) -> Result<Network, Error> {
    let spec = *find(BOTTLENECK)?;
    if network.spec().name == spec.name {
        return Ok(network);
    }
    let record = network.preprocessing();
    let [channels, height, width] = record.input_size;
    let dtype = network.store().dtype();
    let images = candle_core::Tensor::zeros(
        (1, height, width, channels),
        dtype,
        &candle_core::Device::Cpu,
    )?;
    let cx = Context::eval();
    let last = network
        .model()
        .forward_features(&FeatureMap::from_nhwc(&images)?, &cx)?;
    let input = network.model().head_input(&last, &cx)?;
    let mut config = ModelConfig {
        num_classes: Some(network.model().num_classes()),
        input_size: Some([height, width]),
        ..ModelConfig::default()
    };
    let [_, rows, columns, _] = last.dims();
    if input.dims() == last.dims() && rows == columns && rows > 1 {
        config = config.with_arg("map_size", rows as f64);
    }
    Ok(Network::over(spec, &network, &config, seed)?)
}
