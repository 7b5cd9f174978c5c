//! Training under attack: what the commands ask, and what becomes of the task and its step.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use clap::Args;
use cnn_data::Dataset;
use cnn_layers::{Classifier, Mode};
use cnn_models::Network;
use cnn_robust::defence::{
    AdversarialConfig, AdversarialMethod, AdversarialStep, CertifiedAccuracy, IntervalStep,
    RobustAccuracy,
};
use cnn_robust::{Norm, Threat, find_attack, parse_eps};
use cnn_train::{Classification, GradientStep, Step};
use cnn_transfer::TrainingVariant;
use serde::{Deserialize, Serialize};

use crate::args::{Unusable, accepted, count, not_negative};
use crate::commands::attack::{AttackOptions, Attacked, attack_network};
use crate::labelled_images::some_of;

/// The score by which an epoch of training under attack is the best, and of training with bounds.
const SCORE: &str = "robust_top1";
const CERTIFIED_SCORE: &str = "certified_top1";

/// Training under attack.
#[derive(Debug, Clone, Args, Serialize, Deserialize)]
pub(crate) struct AdversarialArgs {
    /// Train on images under attack: pgd, fast, trades[:BETA] (6), mart[:BETA] (5) or
    /// free[:REPLAYS] (4); the best epoch is then that of the highest accuracy under PGD. Or with
    /// bounds of what the network can say: interval[:RAMP], the share of the training over which the
    /// size grows (0.2); the best epoch is then that of the highest certified accuracy
    #[arg(long, value_name = "METHOD", value_parser = method)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    adversarial: Option<String>,

    /// Of --adversarial and --attack: the largest size of a change, of images with values in 0 to 1
    #[arg(long, value_name = "SIZE", default_value = "8/255", value_parser = size)]
    #[serde(default = "default_size")]
    adv_eps: String,

    /// Of --adversarial and --attack: how that is measured, linf or l2
    #[arg(long, value_name = "NORM", default_value = "linf", value_parser = norm)]
    #[serde(default = "default_norm")]
    adv_norm: String,

    /// Of --adversarial: steps of the attack, of 2.5 times the size over their number; default 7 of
    /// a quarter of the size, where the method takes steps
    #[arg(long, value_name = "N", value_parser = count)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    adv_steps: Option<u32>,

    /// Of --adversarial: move the weights against the training by this share of their size while
    /// the gradient is measured, as 0.005 (AWP)
    #[arg(long, value_name = "SHARE", value_parser = not_negative)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    adv_awp: Option<f64>,

    /// Of --adversarial: validation images on which each epoch's accuracy under PGD of 10 steps, or
    /// certified accuracy, is measured
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = count)]
    #[serde(default = "default_samples")]
    adv_samples: u32,

    /// Attack the best epoch when the run ends, with changes up to --adv-eps, as pgd,cheap: the
    /// report gets a section of it; `attack` says which attacks there are
    #[arg(long, value_name = "LIST", value_parser = attacks)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    attack: Option<String>,

    /// Of --attack: images at most, of those that the best epoch is measured on
    #[arg(long, value_name = "N", default_value_t = 500, value_parser = count)]
    #[serde(default = "default_attacked")]
    attack_samples: u32,
}

fn default_size() -> String {
    "8/255".to_string()
}

fn default_norm() -> String {
    Norm::Linf.name().to_string()
}

fn default_samples() -> u32 {
    256
}

fn default_attacked() -> u32 {
    500
}

/// Attacks by name, as the command line names them.
fn attacks(text: &str) -> Result<String, String> {
    let known = |name: &str| find_attack(name.trim()).map(|attack| attack.name);
    let names: Result<Vec<_>, _> = text.split(',').map(known).collect();
    names
        .map(|names| names.join(","))
        .map_err(|error| accepted(&error))
}

fn method(text: &str) -> Result<String, String> {
    let method = text.parse::<AdversarialMethod>();
    method
        .map(|method| method.to_string())
        .map_err(|error| accepted(&error))
}

fn size(text: &str) -> Result<String, String> {
    parse_eps(text).map_err(|error| accepted(&error))?;
    Ok(text.to_string())
}

fn norm(text: &str) -> Result<String, String> {
    text.parse::<Norm>().map_err(|error| accepted(&error))?;
    Ok(text.to_string())
}

impl AdversarialArgs {
    /// How the network is trained under attack, where it is.
    pub(crate) fn training(&self) -> Result<Option<UnderAttack>> {
        let Some(method) = &self.adversarial else {
            return Ok(None);
        };
        let config = || -> Result<AdversarialConfig, cnn_robust::Error> {
            let mut config = AdversarialConfig::new(method.parse()?, self.threat()?)?;
            if let Some(steps) = self.adv_steps {
                config = config.with_steps(steps as usize);
            }
            config.with_weight_perturbation(self.adv_awp.unwrap_or(0.))
        };
        Ok(Some(UnderAttack {
            config: config().context(Unusable)?,
            samples: self.adv_samples as usize,
        }))
    }

    /// The attacks on the best epoch, where they are asked for.
    pub(crate) fn attack_of_best(&self, seed: u64) -> Result<Option<BestUnderAttack>> {
        let Some(names) = &self.attack else {
            return Ok(None);
        };
        let found = names.split(',').map(find_attack);
        let attacks = found.collect::<Result<_, _>>().context(Unusable)?;
        let threat = self.threat().context(Unusable)?;
        Ok(Some(BestUnderAttack {
            options: AttackOptions::new(attacks, threat)?,
            samples: self.attack_samples as usize,
            seed,
        }))
    }

    fn threat(&self) -> Result<Threat, cnn_robust::Error> {
        Threat::new(self.adv_norm.parse()?, parse_eps(&self.adv_eps)?)
    }
}

/// What the best epoch of a run is attacked with.
pub(crate) struct BestUnderAttack {
    options: AttackOptions,
    samples: usize,
    seed: u64,
}

impl BestUnderAttack {
    /// Attacks a network on some of the images.
    pub(crate) fn run(
        &self,
        network: &Network,
        data: String,
        images: Arc<dyn Dataset>,
    ) -> Result<Attacked> {
        let images = some_of(images, self.samples)?;
        attack_network(&self.options, self.seed, network, data, images)
    }
}

/// Training under attack.
#[derive(Clone, Copy)]
pub(crate) struct UnderAttack {
    config: AdversarialConfig,
    samples: usize,
}

impl UnderAttack {
    /// The task with the accuracy under attack, or the certified one, as a metric and as its score.
    pub(crate) fn task(&self, task: Classification, network: &Network) -> Result<Classification> {
        let model: Arc<dyn Classifier> = Arc::from(network.build(Mode::Eval)?);
        let record = network.preprocessing();
        if let AdversarialMethod::Interval { .. } = self.config.method {
            let (store, eps) = (network.store(), self.config.threat.eps);
            let metric = CertifiedAccuracy::new(model, store, record, eps, self.samples)?;
            let task = task.with_image_metric(CERTIFIED_SCORE, move || metric.clone());
            return Ok(task.with_score(CERTIFIED_SCORE));
        }
        let metric = RobustAccuracy::new(model, record, self.config.threat, self.samples)?;
        let task = task.with_image_metric(SCORE, move || metric.clone());
        Ok(task.with_score(SCORE))
    }

    /// The step on images under attack, or with bounds.
    pub(crate) fn step(
        &self,
        network: &Network,
        step: GradientStep,
        batch_size: usize,
    ) -> Result<Box<dyn Step<Classification>>> {
        let attacked = network.build(Mode::Eval)?;
        let record = network.preprocessing();
        if let AdversarialMethod::Interval { ramp } = self.config.method {
            let eps = self.config.threat.eps;
            let bounds = IntervalStep::new(eps, ramp, attacked.as_ref(), network.store(), record);
            let bounds = bounds.context(Unusable)?;
            return Ok(Box::new(bounds.with_step(step)));
        }
        let under_attack = AdversarialStep::new(self.config, attacked, record, batch_size)?;
        Ok(Box::new(under_attack.with_step(step)))
    }
}

impl TrainingVariant for UnderAttack {
    fn task(
        &self,
        task: Classification,
        network: &Network,
    ) -> Result<Classification, cnn_transfer::Error> {
        Self::task(self, task, network).map_err(as_training)
    }

    fn step(
        &self,
        network: &Network,
        step: GradientStep,
        batch_size: usize,
    ) -> Result<Box<dyn Step<Classification>>, cnn_transfer::Error> {
        Self::step(self, network, step, batch_size).map_err(as_training)
    }
}

fn as_training(error: anyhow::Error) -> cnn_transfer::Error {
    cnn_train::Error::other(error).into()
}
