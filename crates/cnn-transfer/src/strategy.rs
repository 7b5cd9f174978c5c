//! What is trained when, and how fast.

use std::fmt;
use std::str::FromStr;

use cnn_core::did_you_mean;
use cnn_layers::LayerGroup;
use cnn_train::{OptimizerConfig, Schedule, ScheduleKind};
use serde::{Deserialize, Serialize};

use crate::{Error, GroupRate, Phase};

/// Which layers are trained, and in which order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Strategy {
    /// The new head alone, on a frozen backbone: feature extraction. Fast, and safe where there are
    /// few images.
    Head,
    /// All layers at once.
    Full,
    /// The head first, then all layers with rates that fall with the distance from it, so that the
    /// random head's first gradients do not spoil the backbone.
    #[default]
    TwoPhase,
    /// The head, then one layer group more in each phase, from the top (Howard and Ruder 2018,
    /// <https://arxiv.org/abs/1801.06146>, section 3.3).
    Gradual,
}

impl Strategy {
    /// The names that [`FromStr`] accepts.
    pub const NAMES: [&str; 4] = ["head", "full", "two-phase", "gradual"];
}

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Head => "head",
            Self::Full => "full",
            Self::TwoPhase => "two-phase",
            Self::Gradual => "gradual",
        })
    }
}

impl FromStr for Strategy {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        match name {
            "head" => Ok(Self::Head),
            "full" => Ok(Self::Full),
            "two-phase" => Ok(Self::TwoPhase),
            "gradual" => Ok(Self::Gradual),
            other => {
                let expected = format!(
                    "one of {}{}",
                    Self::NAMES.join(", "),
                    did_you_mean(other, Self::NAMES)
                );
                Err(Error::argument("strategy", other, expected))
            }
        }
    }
}

/// How a network is fine-tuned. The defaults hold for networks with and without batch normalisation
/// and from a few hundred images on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FineTuneConfig {
    /// Default [`Strategy::TwoPhase`].
    pub strategy: Strategy,
    /// Epochs of the head alone, where the strategy begins with it; default 10. They are cheap: the
    /// backbone's features are computed once.
    pub head_epochs: usize,
    /// Epochs with more than the head, in [`Strategy::Gradual`] split over the groups, at least one
    /// for each; default 5.
    pub epochs: usize,
    /// Learning rate of the head while it is trained alone; default 2e-3.
    pub head_learning_rate: f64,
    /// Learning rate of the head together with other layers; default 5e-4.
    pub learning_rate: f64,
    /// Learning rate of the layer group next to the head, as a share of the head's; default 0.1.
    pub body_scale: f64,
    /// Learning rate of each further group, as a share of that of the group above it; default 0.8.
    pub layer_decay: f64,
    /// Pull of the weights towards 0; biases and norm parameters are left alone. Default 0.01.
    pub weight_decay: f64,
    /// Default AdamW: its steps are bounded also for channels with tiny variances and huge gains,
    /// where SGD falls to chance.
    pub optimizer: OptimizerConfig,
    /// How the rates change within each phase, which runs through the whole of it; default a cosine
    /// to 0.
    #[serde(default = "cosine")]
    pub schedule: ScheduleKind,
    /// Epochs over which the rates rise at the start of each phase; a phase that is shorter only
    /// rises. Default a tenth of the phase's epochs, at most 1.
    #[serde(default)]
    pub warmup: Option<f64>,
    /// Ends a phase after this many epochs in a row, all of that phase, without a better score than
    /// the run's best; the next phase begins as usual, with the last epoch's weights. Default none.
    #[serde(default)]
    pub patience: Option<usize>,
    /// Whether batch normalisation below the head keeps the statistics that it came with while its
    /// other parameters are trained; default true. The head's norms, as those of a decoder, begin
    /// with nobody's statistics and always measure their own.
    pub frozen_statistics: bool,
    /// Images per batch; default 32, or all of them where there are fewer.
    pub batch_size: usize,
    /// Share of the target that is spread over all classes; default 0.1.
    pub label_smoothing: f64,
    /// Scales the gradients so that their global norm is at most this; default none.
    pub clip_norm: Option<f64>,
    /// The decay of a moving average of the weights, which is then what is evaluated and kept as
    /// best, through all phases; default none.
    #[serde(default)]
    pub ema: Option<f64>,
    /// Decides order, augmentation and dropout; default 0.
    pub seed: u64,
}

fn cosine() -> ScheduleKind {
    ScheduleKind::Cosine { end: 0. }
}

impl Default for FineTuneConfig {
    fn default() -> Self {
        Self {
            strategy: Strategy::default(),
            head_epochs: 10,
            epochs: 5,
            head_learning_rate: 2e-3,
            learning_rate: 5e-4,
            body_scale: 0.1,
            layer_decay: 0.8,
            weight_decay: 0.01,
            optimizer: OptimizerConfig::adamw(),
            schedule: cosine(),
            warmup: None,
            patience: None,
            frozen_statistics: true,
            batch_size: 32,
            label_smoothing: 0.1,
            clip_norm: None,
            ema: None,
            seed: 0,
        }
    }
}

impl FineTuneConfig {
    /// For networks of small images, as those of CIFAR-10: they are cheap to train, and what they
    /// have seen is far from most data, so all layers move alike, ten times as fast, with batch
    /// statistics that follow; 8 epochs.
    pub fn small_images() -> Self {
        let config = Self {
            learning_rate: 5e-3,
            body_scale: 1.,
            layer_decay: 1.,
            ..Self::default()
        };
        Self {
            epochs: 8,
            frozen_statistics: false,
            ..config
        }
    }

    /// The same for a network of fresh weights: nothing in it would be saved by a small rate, so all
    /// layers learn alike, and batch statistics follow.
    pub fn for_fresh_weights(self) -> Self {
        Self {
            body_scale: 1.,
            layer_decay: 1.,
            frozen_statistics: false,
            ..self
        }
    }

    /// The phases for a network with these layer groups, from the input to the head, as
    /// [`Backbone::layer_groups`](cnn_layers::Backbone::layer_groups) lists them.
    ///
    /// # Errors
    /// [`Error::Argument`] if a number is out of its range or there is no group below the head.
    pub fn phases(&self, groups: &[LayerGroup]) -> Result<Vec<Phase>, Error> {
        self.validate()?;
        let Some(below) = groups.len().checked_sub(1).filter(|&below| below > 0) else {
            return Err(Error::argument(
                "layer groups",
                groups.len(),
                "at least one below the head",
            ));
        };
        let head = self.phase("head".to_string(), self.head_epochs, groups, 0);
        let all = |name: &str| self.phase(name.to_string(), self.epochs, groups, below);
        Ok(match self.strategy {
            Strategy::Head => vec![head],
            Strategy::Full => vec![all("all layers")],
            Strategy::TwoPhase => vec![head, all("all layers")],
            Strategy::Gradual => {
                let further = (1..=below).map(|thawed| {
                    // The first phases get the epochs that do not divide evenly.
                    let epochs = self.epochs / below + usize::from(thawed <= self.epochs % below);
                    let name = format!("from {}", groups[below - thawed].name);
                    self.phase(name, epochs.max(1), groups, thawed)
                });
                std::iter::once(head).chain(further).collect()
            }
        })
    }

    /// A phase in which the head and this many groups below it are trained.
    fn phase(&self, name: String, epochs: usize, groups: &[LayerGroup], thawed: usize) -> Phase {
        let head_rate = if thawed == 0 {
            self.head_learning_rate
        } else {
            self.learning_rate
        };
        let rate = |(place, group): (usize, &LayerGroup)| {
            let distance = groups.len() - 1 - place;
            let scale = match distance {
                0 => Some(1.),
                distance if distance <= thawed => {
                    Some(self.body_scale * self.layer_decay.powi(distance as i32 - 1))
                }
                _ => None,
            };
            GroupRate {
                group: group.clone(),
                learning_rate: scale.map(|scale| scale * head_rate),
                keeps_statistics: distance > 0 && (scale.is_none() || self.frozen_statistics),
            }
        };
        Phase {
            name,
            epochs,
            groups: groups.iter().enumerate().map(rate).collect(),
        }
    }

    /// The schedule of a phase of so many epochs.
    pub(crate) fn schedule_of(&self, epochs: usize) -> Result<Schedule, Error> {
        let warmup = self.warmup.unwrap_or_else(|| (0.1 * epochs as f64).min(1.));
        Ok(Schedule::new(self.schedule.clone()).with_warmup(warmup)?)
    }

    fn validate(&self) -> Result<(), Error> {
        self.schedule_of(self.epochs)?;
        let counts = [
            ("head_epochs", self.head_epochs),
            ("epochs", self.epochs),
            ("batch_size", self.batch_size),
        ];
        for (name, count) in counts
            .into_iter()
            .chain([("patience", self.patience.unwrap_or(1))])
        {
            if count == 0 {
                return Err(Error::argument(name, 0, "at least 1"));
            }
        }
        let rates = [
            ("head_learning_rate", self.head_learning_rate),
            ("learning_rate", self.learning_rate),
        ];
        for (name, rate) in rates.into_iter().chain([
            ("body_scale", self.body_scale),
            ("layer_decay", self.layer_decay),
        ]) {
            if !(rate > 0. && rate.is_finite()) {
                return Err(Error::argument(name, rate, "a finite number above 0"));
            }
        }
        if let Some(ema) = self.ema.filter(|ema| !(0.0..1.0).contains(ema)) {
            return Err(Error::argument("ema", ema, "0 or more, below 1"));
        }
        if !(0.0..=1.0).contains(&self.label_smoothing) {
            return Err(Error::argument(
                "label_smoothing",
                self.label_smoothing,
                "a number from 0 to 1",
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn groups() -> Vec<LayerGroup> {
        ["stem", "stage1", "stage2", "head"]
            .map(|name| LayerGroup::new(name, [name]))
            .into()
    }

    fn rates(phase: &Phase) -> Vec<Option<f64>> {
        phase
            .groups
            .iter()
            .map(|group| group.learning_rate)
            .collect()
    }

    fn config(strategy: Strategy) -> FineTuneConfig {
        let config = FineTuneConfig {
            strategy,
            head_epochs: 2,
            epochs: 4,
            ..FineTuneConfig::default()
        };
        FineTuneConfig {
            head_learning_rate: 1.,
            learning_rate: 0.5,
            body_scale: 0.5,
            layer_decay: 0.5,
            ..config
        }
    }

    #[test]
    fn rates_fall_with_the_distance_from_the_head() {
        let phases = config(Strategy::TwoPhase).phases(&groups()).unwrap();
        assert_eq!(phases.len(), 2);
        assert_eq!(
            (rates(&phases[0]), phases[0].epochs),
            (vec![None, None, None, Some(1.)], 2)
        );
        assert_eq!(
            (rates(&phases[1]), phases[1].epochs),
            (vec![Some(0.0625), Some(0.125), Some(0.25), Some(0.5)], 4)
        );
    }

    #[test]
    fn the_heads_norms_measure_their_own_statistics() {
        let keeps = |config: FineTuneConfig| -> Vec<[bool; 3]> {
            let phases = config.phases(&groups()).unwrap();
            let keeps = |phase: &Phase| {
                ["stem", "stage2", "head"].map(|group| phase.keeps_statistics(group))
            };
            phases.iter().map(keeps).collect()
        };
        let frozen = config(Strategy::TwoPhase);
        assert!(frozen.frozen_statistics);
        assert_eq!(keeps(frozen.clone()), [[true, true, false]; 2]);
        let moving = FineTuneConfig {
            frozen_statistics: false,
            ..frozen
        };
        assert_eq!(keeps(moving), [[true, true, false], [false; 3]]);
    }

    #[test]
    fn gradual_thaws_from_the_top() {
        let phases = config(Strategy::Gradual).phases(&groups()).unwrap();
        let names: Vec<_> = phases
            .iter()
            .map(|phase| (phase.name.as_str(), phase.epochs))
            .collect();
        assert_eq!(
            names,
            [
                ("head", 2),
                ("from stage2", 2),
                ("from stage1", 1),
                ("from stem", 1)
            ]
        );
        assert_eq!(
            rates(&phases[2]),
            [None, Some(0.125), Some(0.25), Some(0.5)]
        );
    }

    #[test]
    fn names_and_numbers_are_checked() {
        for name in Strategy::NAMES {
            assert_eq!(name.parse::<Strategy>().unwrap().to_string(), name);
        }
        let message = "two-fase".parse::<Strategy>().unwrap_err().to_string();
        assert!(message.contains("did you mean `two-phase`?"), "{message}");
        let message = FineTuneConfig {
            epochs: 0,
            ..FineTuneConfig::default()
        }
        .phases(&groups())
        .unwrap_err();
        assert_eq!(
            message.to_string(),
            "`epochs`: found 0, expected at least 1"
        );
        let message = FineTuneConfig {
            patience: Some(0),
            ..FineTuneConfig::default()
        }
        .phases(&groups())
        .unwrap_err();
        assert_eq!(
            message.to_string(),
            "`patience`: found 0, expected at least 1"
        );
        let schedule = ScheduleKind::Step {
            every: 0.,
            gamma: 0.1,
        };
        let message = FineTuneConfig {
            schedule,
            ..FineTuneConfig::default()
        }
        .phases(&groups())
        .unwrap_err();
        assert_eq!(
            message.to_string(),
            "`every`: found 0, expected a finite number above 0"
        );
        let message = FineTuneConfig {
            warmup: Some(-1.),
            ..FineTuneConfig::default()
        }
        .phases(&groups())
        .unwrap_err();
        assert!(
            message.to_string().starts_with("`warmup_epochs`: found -1"),
            "{message}"
        );
        assert!(FineTuneConfig::default().phases(&groups()[..1]).is_err());
    }
}
