//! How long, with what, and how fast to train.

use serde::{Deserialize, Serialize};

use crate::{Error, OptimizerConfig, Schedule, ScheduleKind};

/// How long, with what, and how fast to train.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainConfig {
    /// Passes over the data.
    pub epochs: usize,
    /// Decides the order of the data, augmentation and dropout.
    pub seed: u64,
    /// The update rule.
    pub optimizer: OptimizerConfig,
    /// The learning rate that the schedule scales.
    pub learning_rate: f64,
    /// Pulls weights towards 0; biases and norm parameters are left alone.
    pub weight_decay: f64,
    /// How the learning rate changes.
    pub schedule: Schedule,
    /// How many batches make one update.
    pub accumulation: usize,
    /// Stop after this many epochs without a better score.
    pub patience: Option<usize>,
    /// The decay of a moving average of the weights, as 0.999: the average is then what is
    /// evaluated and kept as best, while training goes on with the weights themselves. Default
    /// none.
    pub ema: Option<f64>,
}

impl TrainConfig {
    /// These many epochs of SGD with momentum 0.9, a constant rate of 0.1 and no weight decay.
    pub fn new(epochs: usize) -> Self {
        Self {
            epochs,
            seed: 0,
            optimizer: OptimizerConfig::sgd(),
            learning_rate: 0.1,
            weight_decay: 0.,
            schedule: Schedule::new(ScheduleKind::Constant),
            accumulation: 1,
            patience: None,
            ema: None,
        }
    }

    /// Checks the ranges; [`Trainer::run`](crate::Trainer::run) does so first.
    ///
    /// # Errors
    /// [`Error::Argument`] for the first value out of its range.
    pub fn validate(&self) -> Result<(), Error> {
        let positive = |name, value: usize| match value {
            0 => Err(Error::argument(name, 0, "at least 1")),
            _ => Ok(()),
        };
        positive("epochs", self.epochs)?;
        positive("accumulation", self.accumulation)?;
        positive("patience", self.patience.unwrap_or(1))?;
        if !(self.learning_rate > 0. && self.learning_rate.is_finite()) {
            return Err(Error::argument(
                "learning_rate",
                self.learning_rate,
                "a finite number above 0",
            ));
        }
        if !(self.weight_decay >= 0. && self.weight_decay.is_finite()) {
            return Err(Error::argument(
                "weight_decay",
                self.weight_decay,
                "a finite number, at least 0",
            ));
        }
        if let Some(ema) = self.ema.filter(|ema| !(0.0..1.0).contains(ema)) {
            return Err(Error::argument("ema", ema, "0 or more, below 1"));
        }
        self.optimizer.validate()?;
        self.schedule.validate()
    }
}
