//! A network of the target's own that deceives a discriminator (Tzeng et al. 2017, "ADDA",
//! arXiv:1702.05464). It begins as a network that has learnt from the source, which stays as it is;
//! the discriminator and the features of the target learn in alternation, each by its optimiser.

use candle_core::Tensor;
use cnn_layers::{Context, Mode, Store};
use cnn_train::{Error as TrainError, Step, StepReport, Update};

use super::super::losses::{domain_accuracy, domain_adversarial};
use super::super::task::{AdaptationTask, DomainBatch, Reads, TwoParts, read};
use super::super::{DomainDiscriminator, DomainDiscriminatorConfig, Domains};
use super::adversarial::Judgement;
use super::descent::{descend, in_turn};
use super::{Alternating, Learning, Recipe, Setting};
use crate::Error;

/// The discriminator's optimiser.
const DISCRIMINATOR: &str = "discriminator";

struct AddaStep {
    discriminator: DomainDiscriminator,
    beside: Store,
    /// What has learnt from the source, and stays.
    source: TwoParts,
    source_store: Store,
}

impl Recipe {
    /// Features that deceive a discriminator with hidden layers of so many.
    pub(in super::super) fn adda(setting: &Setting<'_>, hidden: usize) -> Result<Self, Error> {
        let (source_store, source) = TwoParts::copy_of(setting.network)?;
        let beside = Store::new(setting.seed);
        let at = beside.builder(Mode::Train).pp("domain_discriminator");
        let step = AddaStep {
            discriminator: DomainDiscriminatorConfig::new(setting.features, hidden).build(&at)?,
            beside: beside.clone(),
            source,
            source_store,
        };
        Ok(Self {
            learning: Learning::Features,
            alternating: Some(Alternating {
                name: DISCRIMINATOR,
                store: beside,
                with_head: false,
            }),
            ..Self::new(step, Reads::both())
        })
    }
}

impl AddaStep {
    /// What the discriminator says of the source's features and of those of the target.
    fn judgement(
        &self,
        source: &Tensor,
        target: &Tensor,
        cx: &Context<'_>,
    ) -> Result<Judgement, Error> {
        let joined = Domains { source, target }.joined()?;
        let logits = self.discriminator.forward(&joined, cx)?;
        Judgement::split(&logits, source.dim(0)?)
    }

    fn update(
        &self,
        task: &AdaptationTask,
        batch: &DomainBatch,
        update: &mut Update<'_>,
    ) -> Result<StepReport, Error> {
        let cx = update.context(0);
        let source = task.source_images(batch)?;
        let source = self
            .source
            .outputs(&source, &Context::eval())?
            .features
            .detach();
        let images = &read("target", &batch.target)?.images;
        let target = task.target_outputs(images, &cx)?.features;

        let told = self.judgement(&source, &target.detach(), &cx.stream("discriminator"))?;
        let told_apart = domain_accuracy(told.domains())?;
        let of_discriminator = domain_adversarial(told.domains(), None)?;
        let discriminator = update.further(DISCRIMINATOR)?;
        let rates = discriminator.rates;
        let of_discriminator = descend(of_discriminator, discriminator.optimizer, &rates)?;

        // The target's features are to be taken for those of the source.
        let deceived = self.judgement(&source, &target, &cx.stream("features"))?;
        let deceived = deceived.domains().target.neg()?;
        let wanted = Domains {
            source: &deceived.neg()?,
            target: &deceived,
        };
        let of_features = domain_adversarial(wanted, None)?;
        let rates = update.rates;
        let of_features = descend(of_features, update.optimizer, &rates)?;
        Ok(StepReport {
            samples: batch.samples(),
            values: vec![
                ("loss".to_string(), of_features.loss),
                ("discriminator_loss".to_string(), of_discriminator.loss),
                ("domain_top1".to_string(), told_apart),
            ],
            gradient_norm: of_features.gradient_norm,
        })
    }
}

impl Step<AdaptationTask> for AddaStep {
    fn step(
        &mut self,
        task: &AdaptationTask,
        batches: &[DomainBatch],
        update: &mut Update<'_>,
    ) -> Result<StepReport, TrainError> {
        in_turn(batches, |batch| self.update(task, batch, update))
    }

    fn kept(&self) -> Vec<(String, Store)> {
        vec![
            ("discriminator".to_string(), self.beside.clone()),
            ("source_network".to_string(), self.source_store.clone()),
        ]
    }
}
