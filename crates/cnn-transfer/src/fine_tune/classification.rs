//! What fine-tuning a classifier has of its own: a head that is trained on kept features.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use cnn_data::{Augmentation, BatchMix, Dataset};
use cnn_layers::{Classifier, LayerGroup};
use cnn_models::{ModelKind, Network};
use cnn_train::{Classification, CrossEntropy, GradientStep, Step, TrainSummary, check_datasets};

use super::{FineTune, FineTuneNotice, Tunable};
use crate::features::features_fit;
use crate::head_task::HeadTask;
use crate::{Error, FeatureCache, Features, Phase};

/// What can be chosen for classifiers alone.
#[derive(Default)]
pub struct ClassificationOptions {
    head_augmentation: Option<Augmentation>,
    mix: Option<BatchMix>,
    class_weights: Option<Vec<f64>>,
    cache: FeatureCache,
    variant: Option<Box<dyn TrainingVariant>>,
}

/// How the training of a classifier differs from the usual one, as under attack. Every phase then
/// goes over the images.
pub trait TrainingVariant {
    /// The task, with what it is to measure beside the usual.
    ///
    /// # Errors
    /// What the variant reports.
    fn task(&self, task: Classification, network: &Network) -> Result<Classification, Error>;

    /// The step, in place of `step`, for batches of at most so many images.
    ///
    /// # Errors
    /// What the variant reports.
    fn step(
        &self,
        network: &Network,
        step: GradientStep,
        batch_size: usize,
    ) -> Result<Box<dyn Step<Classification>>, Error>;
}

impl Tunable for dyn Classifier {
    type Options = ClassificationOptions;

    fn classes(data: &dyn Dataset) -> &[String] {
        data.classes()
    }

    fn check(train: &dyn Dataset, val: &dyn Dataset) -> Result<(), cnn_train::Error> {
        check_datasets(train, val)
    }

    fn tuned_groups(&self) -> Vec<LayerGroup> {
        ModelKind::layer_groups(self).to_vec()
    }

    /// The head alone moves, it reads the last map alone, every epoch sees the same images, and they
    /// are not too many.
    fn reads_features(tune: &FineTune<'_>, phase: &Phase) -> Result<bool, Error> {
        let images = tune.train.len().max(tune.val.len());
        Ok(phase.is_head_only()
            && tune.options.head_augmentation.is_none()
            && tune.options.variant.is_none()
            && tune.network.model().auxiliary_heads().is_empty()
            && features_fit(&tune.network, images)?)
    }

    fn run_phase(
        tune: &mut FineTune<'_>,
        phase: &Phase,
        place: Option<usize>,
        directory: &Path,
        skipped: &mut BTreeMap<String, String>,
    ) -> Result<Option<TrainSummary>, Error> {
        let features = if Self::reads_features(tune, phase)? {
            tune.both_features()?
        } else {
            None
        };
        let Some([train, val]) = features else {
            let task = |tune: &FineTune<'_>| tune.task(phase);
            let mut step = tune.step()?;
            return tune.run_on_images(phase, place, directory, skipped, task, step.as_mut());
        };
        for file in train.skipped.iter().chain(&val.skipped) {
            skipped.insert(file.path.clone(), file.reason.clone());
        }
        let train = (train, &tune.train);
        let val = (val, &tune.val);
        let batch = tune.config.batch_size;
        let task = HeadTask::new(&tune.network, train, val, batch, tune.loss())?;
        let mut step = tune.gradient_step();
        Ok(Some(tune.train(phase, place, directory, &task, &mut step)?))
    }
}

impl FineTune<'_> {
    /// What to do to each training image while the head alone is trained. Features then differ from
    /// epoch to epoch and cannot be computed once.
    #[must_use]
    pub fn with_head_augmentation(mut self, augmentation: Augmentation) -> Self {
        self.options.head_augmentation = Some(augmentation);
        self
    }

    /// How to mix the images of a batch while more than the head is trained.
    #[must_use]
    pub fn with_mix(mut self, mix: BatchMix) -> Self {
        self.options.mix = Some(mix);
        self
    }

    /// A weight per class in the loss.
    #[must_use]
    pub fn with_class_weights(mut self, weights: Vec<f64>) -> Self {
        self.options.class_weights = Some(weights);
        self
    }

    /// Where features are kept for later runs.
    #[must_use]
    pub fn with_cache(mut self, cache: FeatureCache) -> Self {
        self.options.cache = cache;
        self
    }

    /// Trains in another way than the usual one, as under attack.
    #[must_use]
    pub fn with_variant(mut self, variant: impl TrainingVariant + 'static) -> Self {
        self.options.variant = Some(Box::new(variant));
        self
    }

    /// The step of a phase that reads images.
    fn step(&self) -> Result<Box<dyn Step<Classification>>, Error> {
        let step = self.gradient_step();
        match &self.options.variant {
            Some(variant) => variant.step(&self.network, step, self.batch_size()),
            None => Ok(Box::new(step)),
        }
    }

    /// Of training and validation images; `None` if it was interrupted, or if they are too many to
    /// be kept.
    fn both_features(&mut self) -> Result<Option<[Features; 2]>, Error> {
        let Some(train) = self.features("training", self.train.clone())? else {
            return Ok(None);
        };
        let val = self.features("validation", self.val.clone())?;
        Ok(val.map(|val| [train, val]))
    }

    /// `None` if it was interrupted, or if the features are too many to be kept.
    fn features(
        &mut self,
        of: &'static str,
        dataset: Arc<dyn Dataset>,
    ) -> Result<Option<Features>, Error> {
        let images = dataset.len();
        let start = Instant::now();
        let Self {
            options,
            network,
            interrupt,
            listener,
            ..
        } = self;
        let features = options
            .cache
            .features(network, &dataset, interrupt, |done| {
                listener(&FineTuneNotice::Features { of, done, images });
            });
        self.feature_seconds += start.elapsed().as_secs_f64();
        features
    }

    /// The task of a phase that reads images.
    fn task(&self, phase: &Phase) -> Result<Classification, Error> {
        let options = &self.options;
        let augmentation = if phase.is_head_only() {
            options.head_augmentation.clone().unwrap_or_default()
        } else {
            self.augmentation.clone()
        };
        let train = self.train.clone();
        let val = self.val.clone();
        let record = self.network.preprocessing().clone();
        let task = Classification::new(train, val, record, |mode| self.network.build(mode))?
            .with_batch_size(self.batch_size())?
            .with_augmentation(augmentation)
            .with_loss(self.loss());
        let task = match options.mix.clone().filter(|_| !phase.is_head_only()) {
            Some(mix) => task.with_mix(mix),
            None => task,
        };
        match &options.variant {
            Some(variant) => variant.task(task, &self.network),
            None => Ok(task),
        }
    }

    fn loss(&self) -> CrossEntropy {
        CrossEntropy {
            label_smoothing: self.config.label_smoothing,
            class_weights: self.options.class_weights.clone(),
        }
    }
}
