//! A run of domain adaptation.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use cnn_core::Key;
use cnn_data::{Augmentation, BatchPlan, Dataset, Skipped, Subset};
use cnn_layers::{Context, FeatureMap, Mode, Store};
use cnn_models::{Bottlenecked, LoadOptions, ModelConfig, Network, find};
use cnn_train::{
    GradientStep, Notice, OptimizerConfig, ParamGroup, Schedule, ScheduleKind, Task as _,
    TrainConfig, TrainSummary, Trainer, check_datasets, decay_groups,
};

use super::methods::{AdaptationMethod, Sizes};
use super::task::{AdaptationStep, AdaptationTask, DomainImages, Objective};
use super::{TransferLoss, Unlabelled, Validator};
use crate::Error;

/// Validation images of either domain at most.
const VALIDATION_IMAGES: usize = 1000;
/// Batches over which the statistics of the target are taken: what was before them counts for
/// less than 0.1 % then.
const STATISTICS_BATCHES: usize = 70;

/// How a run of domain adaptation goes.
#[derive(Debug, Clone, PartialEq)]
pub struct AdaptationConfig {
    /// The method; default `dann`.
    pub method: AdaptationMethod,
    /// How much its loss counts beside that of the source; default the method's own.
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
/// The network gets a bottleneck before its classes ([`Bottlenecked`]), unless it has one. Each
/// update reads a batch of each domain; the epoch that is kept is chosen without labels of the
/// target. The run directory is that of a [`Trainer`], so a run that was interrupted goes on and
/// ends in the same bytes.
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
    target: Unlabelled,
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
    /// # Errors
    /// [`Error::Classes`] if the network's head does not fit the source, as
    /// [`check_datasets`], if the method's numbers are out of range, and if the network is no
    /// registered chain of stages.
    pub fn new(
        network: Network,
        source: Arc<dyn Dataset>,
        source_validation: Arc<dyn Dataset>,
        target: Unlabelled,
        config: AdaptationConfig,
    ) -> Result<Self, Error> {
        let mut network = with_bottleneck(network, config.seed)?;
        let found = network.model().num_classes();
        let data = source.classes().len();
        if found != data {
            return Err(Error::Classes {
                network: found,
                data,
            });
        }
        check_datasets(source.as_ref(), source_validation.as_ref())?;
        if target.len() < config.batch_size {
            let expected = format!("at least {}, a batch", config.batch_size);
            return Err(Error::argument("target images", target.len(), expected));
        }
        network.set_label_names(source.classes().to_vec())?;
        let sizes = Sizes {
            features: feature_count(&network)?,
            classes: data,
        };
        let transfer = config.method.transfer_loss(sizes, config.seed)?;
        Self::with_parts(network, source, source_validation, target, config, transfer)
    }

    fn with_parts(
        network: Network,
        source: Arc<dyn Dataset>,
        source_validation: Arc<dyn Dataset>,
        target: Unlabelled,
        config: AdaptationConfig,
        transfer: Option<Box<dyn TransferLoss>>,
    ) -> Result<Self, Error> {
        let updates = config.updates.unwrap_or_else(|| {
            let images = source.len().max(target.len());
            (images / config.batch_size).clamp(1, 500)
        });
        let some = |images: Arc<dyn Dataset>| Subset::spread(images, VALIDATION_IMAGES);
        let images = DomainImages {
            source,
            target: target.clone(),
            source_validation: Arc::new(some(source_validation)?),
            target_validation: Unlabelled::new(Arc::new(some(target.images().clone())?)),
            augmentation: Augmentation::new(),
        };
        let objective = Objective {
            transfer,
            trade_off: config.trade_off.unwrap_or(config.method.info().trade_off),
            validator: config.validator,
        };
        let task = AdaptationTask::new(&network, images, objective, config.batch_size, updates)?;
        Ok(Self {
            network,
            config,
            task,
            target,
            save_every: None,
            interrupt: Arc::default(),
            listener: Box::new(|_| ()),
        })
    }

    /// The network with its bottleneck.
    pub fn network(&self) -> &Network {
        &self.network
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
            target: self.target,
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
        let config = TrainConfig {
            seed: self.config.seed,
            optimizer: self.config.optimizer,
            learning_rate: self.config.learning_rate,
            weight_decay: self.config.weight_decay,
            schedule: self.config.schedule.clone(),
            ..TrainConfig::new(self.config.epochs)
        };
        let mut trainer = Trainer::new(config, self.network.store(), directory)
            .with_companion("config.json", self.network.config_json())
            .with_groups(self.groups())
            .with_interrupt(self.interrupt.clone())
            .with_listener(|notice| (self.listener)(notice));
        if let Some(save_every) = self.save_every {
            trainer = trainer.with_save_every(save_every);
        }
        let mut step = AdaptationStep {
            step: GradientStep::default(),
        };
        let train = trainer.run(&self.task, &mut step)?;
        drop(trainer);
        if self.config.method == AdaptationMethod::AdaBn && !train.interrupted {
            let best = directory.join("best");
            let mut network = Network::load(&best, &LoadOptions::default())?;
            take_statistics(&mut network, &self.target, &self.config)?;
            network.save(&best)?;
        }
        Ok(AdaptationSummary {
            train,
            predicted: self.task.predicted()?,
            skipped: self.task.skipped(),
        })
    }

    /// The backbone's parameters, slower, those behind it, and those that are trained beside.
    fn groups(&self) -> Vec<ParamGroup> {
        let store = self.network.store();
        let is_backbone = |name: &str| name.starts_with("backbone.");
        let of = |name: &str, store: &Store, wanted: &dyn Fn(&str) -> bool, lr_scale: f64| {
            let parameters = store.trainable().into_iter();
            let parameters = parameters.filter(|(name, _)| wanted(name)).collect();
            let groups = decay_groups(parameters, self.config.weight_decay).into_iter();
            let renamed = groups.map(|group| ParamGroup {
                name: format!("{name} {}", group.name),
                lr_scale,
                ..group
            });
            renamed.collect::<Vec<_>>()
        };
        let scale = self.config.backbone_scale;
        let mut groups = of("backbone", store, &is_backbone, scale);
        groups.extend(of("head", store, &|name| !is_backbone(name), 1.));
        if let Some(beside) = self.task.trained_beside() {
            groups.extend(of("transfer", beside, &|_| true, 1.));
        }
        groups
    }
}

/// The network over a bottleneck, unless it has one: its weights, and fresh ones behind them. The
/// last map is averaged where the network's own head begins so, and else read whole.
fn with_bottleneck(network: Network, seed: u64) -> Result<Network, Error> {
    let spec = *find("bottleneck")?;
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

/// Features behind the bottleneck.
fn feature_count(network: &Network) -> Result<usize, Error> {
    let weight = network.store().get("head.weight")?;
    Ok(weight.dim(1)?)
}

/// Replaces the running statistics by those of the target (Li et al. 2016, arXiv:1603.04779).
fn take_statistics(
    network: &mut Network,
    target: &Unlabelled,
    config: &AdaptationConfig,
) -> Result<(), Error> {
    let root = network.store().builder(Mode::Train);
    let model = Bottlenecked::build(&network.config().model, &root)?;
    // From the start of a fresh network, so that the same target gives the same statistics.
    for (name, tensor) in network.store().tensors() {
        if name.ends_with(".running_mean") {
            network.store().set(&name, &tensor.zeros_like()?)?;
        } else if name.ends_with(".running_var") {
            network.store().set(&name, &tensor.ones_like()?)?;
        }
    }
    let key = Key::new(config.seed).stream("statistics");
    let mut done = 0;
    while done < STATISTICS_BATCHES {
        let order = key.at(done as u64).rng().permutation(target.len());
        let plan = BatchPlan::new(target.images().clone(), network.preprocessing().clone())
            .with_batch_size(config.batch_size)
            .with_order(order)
            .dropping_last();
        let before = done;
        for batch in plan.start()? {
            let images = FeatureMap::from_nhwc(&batch?.images)?;
            model.features(&images, &Context::train(key))?;
            done += 1;
            if done == STATISTICS_BATCHES {
                break;
            }
        }
        if done == before {
            let expected = format!("at least {}, a batch", config.batch_size);
            return Err(Error::argument("target images", target.len(), expected));
        }
    }
    network.store().mark_changed();
    Ok(())
}
