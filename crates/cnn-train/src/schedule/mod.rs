//! Learning-rate schedules: pure functions of the epoch.

mod kind;
mod plateau;

use serde::{Deserialize, Serialize};

use crate::Error;

pub use kind::ScheduleKind;
pub use plateau::{Plateau, PlateauState};

/// What an update is made with.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rates {
    /// The learning rate.
    pub lr: f64,
    /// What takes the place of the optimiser's momentum, or of Adam's `beta1`; `None` leaves it.
    pub momentum: Option<f64>,
}

/// How far training has come.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Progress {
    /// Epochs done, with the fraction of the current one: updates made over updates per epoch.
    pub epoch: f64,
    /// Epochs in all.
    pub epochs: f64,
}

/// The learning rate and the momentum over time, evaluated before every update.
///
/// A warm-up raises the rate linearly from `warmup_start` times the kind's first rate to that rate.
/// Then the kind begins: its epochs, milestones included, count from the end of the warm-up, and
/// its last epoch is the training's last.
///
/// ```
/// use cnn_train::{Progress, Schedule, ScheduleKind};
///
/// let schedule = Schedule::new(ScheduleKind::named("cosine")?).with_warmup(5.)?;
/// let lr = |epoch| {
///     schedule
///         .rates(
///             0.1,
///             Progress {
///                 epoch,
///                 epochs: 105.,
///             },
///             1.,
///         )
///         .lr
/// };
/// assert!((lr(0.) - 0.001).abs() < 1e-12 && (lr(5.) - 0.1).abs() < 1e-12);
/// assert!((lr(55.) - 0.05).abs() < 1e-12 && lr(105.).abs() < 1e-12);
/// # Ok::<(), cnn_train::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Schedule {
    /// Epochs of warm-up; 0, the default, for none.
    #[serde(default)]
    pub warmup_epochs: f64,
    /// Where the warm-up starts, as a factor in `0..=1`; default 0.01.
    #[serde(default = "default_warmup_start")]
    pub warmup_start: f64,
    /// What follows.
    pub kind: ScheduleKind,
}

fn default_warmup_start() -> f64 {
    0.01
}

impl Schedule {
    /// Without a warm-up.
    pub fn new(kind: ScheduleKind) -> Self {
        Self {
            warmup_epochs: 0.,
            warmup_start: default_warmup_start(),
            kind,
        }
    }

    /// Begins with these many epochs of warm-up.
    ///
    /// # Errors
    /// If the number is negative or not finite.
    pub fn with_warmup(self, epochs: f64) -> Result<Self, Error> {
        let schedule = Self {
            warmup_epochs: epochs,
            ..self
        };
        schedule.validate()?;
        Ok(schedule)
    }

    /// Begins the warm-up with this factor.
    ///
    /// # Errors
    /// If it is not in `0..=1`.
    pub fn with_warmup_start(self, factor: f64) -> Result<Self, Error> {
        let schedule = Self {
            warmup_start: factor,
            ..self
        };
        schedule.validate()?;
        Ok(schedule)
    }

    /// Checks all ranges, the kind's included.
    ///
    /// # Errors
    /// Names the first number that is out of its range.
    pub fn validate(&self) -> Result<(), Error> {
        if !(self.warmup_epochs.is_finite() && self.warmup_epochs >= 0.) {
            return Err(Error::argument(
                "warmup_epochs",
                self.warmup_epochs,
                "a finite number, not negative",
            ));
        }
        if !(0. ..=1.).contains(&self.warmup_start) {
            return Err(Error::argument("warmup_start", self.warmup_start, "0 to 1"));
        }
        self.kind.validate()
    }

    /// The rates at a moment. `base_lr` is the rate of which the kind's factors are parts;
    /// `plateau_factor` is [`PlateauState::factor`], which counts for [`ScheduleKind::Plateau`]
    /// only.
    pub fn rates(&self, base_lr: f64, progress: Progress, plateau_factor: f64) -> Rates {
        let epochs = progress.epochs - self.warmup_epochs;
        let epoch = progress.epoch - self.warmup_epochs;
        let warmup = if epoch < 0. {
            self.warmup_start + (1. - self.warmup_start) * (progress.epoch / self.warmup_epochs)
        } else {
            1.
        };
        let (factor, momentum) = self.kind.factor(epoch.max(0.), epochs, plateau_factor);
        Rates {
            lr: base_lr * warmup * factor,
            momentum,
        }
    }
}
