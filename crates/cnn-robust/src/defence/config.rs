//! How a network is trained against attacks.

use std::fmt;
use std::str::FromStr;

use super::interval::Ramp;
use crate::attack::{at_least_one, not_negative};
use crate::{Error, Norm, Threat};

/// How the images under attack enter the loss.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum AdversarialMethod {
    /// Images after some steps of PGD in place of the images (Madry et al. 2018, arXiv:1706.06083).
    Pgd,
    /// Images after one step from a random start (Wong et al. 2020, arXiv:2001.03994).
    Fast,
    /// The loss of the images, and how far what the network says changes under attack (Zhang et al.
    /// 2019, arXiv:1901.08573).
    Trades {
        /// How much the latter counts.
        beta: f64,
    },
    /// As TRADES, where images count the more the less sure the network is of them (Wang et al.
    /// 2020, "Improving Adversarial Robustness Requires Revisiting Misclassified Examples").
    Mart {
        /// How much the change counts.
        beta: f64,
    },
    /// One gradient for both, the weights and the images, several times for each batch (Shafahi et
    /// al. 2019, arXiv:1904.12843).
    Free {
        /// How often each batch is used.
        replays: usize,
    },
    /// The images, and bounds of what the network can say of all images within the size of them:
    /// interval bound propagation (Gowal et al. 2018, arXiv:1810.12715);
    /// [`IntervalStep`](super::IntervalStep) trains so.
    Interval {
        /// The share of the training over which the size grows to its whole.
        ramp: f64,
    },
}

impl AdversarialMethod {
    /// All, as their papers set them.
    pub const ALL: [Self; 6] = [
        Self::Pgd,
        Self::Fast,
        Self::Trades { beta: 6. },
        Self::Mart { beta: 5. },
        Self::Free { replays: 4 },
        Self::Interval { ramp: 0.2 },
    ];

    /// Its name: `pgd`, `fast`, `trades`, `mart`, `free`, `interval`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pgd => "pgd",
            Self::Fast => "fast",
            Self::Trades { .. } => "trades",
            Self::Mart { .. } => "mart",
            Self::Free { .. } => "free",
            Self::Interval { .. } => "interval",
        }
    }
}

impl fmt::Display for AdversarialMethod {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Trades { beta } | Self::Mart { beta } => {
                write!(formatter, "{}:{beta}", self.name())
            }
            Self::Free { replays } => write!(formatter, "free:{replays}"),
            Self::Interval { ramp } => write!(formatter, "interval:{ramp}"),
            Self::Pgd | Self::Fast => formatter.write_str(self.name()),
        }
    }
}

/// A name, and behind a colon what the method takes: `trades:6`, `free:8`, `interval:0.5`.
impl FromStr for AdversarialMethod {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let accepted = "pgd, fast, trades[:BETA], mart[:BETA], free[:REPLAYS] or interval[:RAMP]";
        let wrong = || Error::argument("adversarial", text, accepted);
        let (name, value) = match text.split_once(':') {
            Some((name, value)) => (name, Some(value)),
            None => (text, None),
        };
        let method = Self::ALL.into_iter().find(|method| method.name() == name);
        let method = method.ok_or_else(wrong)?;
        let Some(value) = value else {
            return Ok(method);
        };
        let number = value
            .parse::<f64>()
            .ok()
            .filter(|value| value.is_finite() && *value > 0.);
        let number = number.ok_or_else(wrong)?;
        match method {
            Self::Trades { .. } => Ok(Self::Trades { beta: number }),
            Self::Mart { .. } => Ok(Self::Mart { beta: number }),
            Self::Free { .. } if number.fract() == 0. => Ok(Self::Free {
                replays: number as usize,
            }),
            Self::Interval { .. } if number <= 1. => Ok(Self::Interval { ramp: number }),
            _ => Err(wrong()),
        }
    }
}

/// How a network is trained against attacks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdversarialConfig {
    /// How the images under attack enter the loss.
    pub method: AdversarialMethod,
    /// What the attack may change.
    pub threat: Threat,
    /// Steps of the attack; [`AdversarialMethod::Fast`] has one, free training as many as it has
    /// replays, and [`AdversarialMethod::Interval`] none.
    pub steps: usize,
    /// How far a step goes.
    pub step_size: f64,
    /// How far the weights are moved against the training, relative to their size, while the
    /// gradient is measured; 0 for not (Wu et al. 2020, arXiv:2004.05884).
    pub weight_perturbation: f64,
}

/// Steps of the attack in training.
const STEPS: usize = 7;
/// The step of [`AdversarialMethod::Fast`], as a share of the allowed size.
const FAST_STEP: f64 = 1.25;

impl AdversarialConfig {
    /// Trains by a method against changes in L∞ or L2. Default: 7 steps of a quarter of the size,
    /// of `fast` one of 1.25 times the size; weights are not moved.
    ///
    /// # Errors
    /// As [`check`](Self::check).
    pub fn new(method: AdversarialMethod, threat: Threat) -> Result<Self, Error> {
        let step_size = match method {
            AdversarialMethod::Fast => FAST_STEP * threat.eps,
            AdversarialMethod::Free { .. } => threat.eps,
            _ => threat.eps / 4.,
        };
        let config = Self {
            method,
            threat,
            steps: match method {
                AdversarialMethod::Fast => 1,
                AdversarialMethod::Free { replays } => replays,
                AdversarialMethod::Interval { .. } => 0,
                _ => STEPS,
            },
            step_size,
            weight_perturbation: 0.,
        };
        config.check()?;
        Ok(config)
    }

    /// Whether all fields have a meaning together.
    ///
    /// # Errors
    /// [`Error::Argument`] for `fast`, `free` and `interval` in another norm than L∞, and for L1; for
    /// a size, a step size, `beta` or a weight perturbation that is negative or not finite; for no
    /// replay; for a ramp that is not a share; and for a weight perturbation with free training,
    /// which has no gradient to spare, or with bounds.
    pub fn check(&self) -> Result<(), Error> {
        let Threat { norm, eps } = self.threat;
        Threat::new(norm, eps)?;
        let only_linf = matches!(
            self.method,
            AdversarialMethod::Fast
                | AdversarialMethod::Free { .. }
                | AdversarialMethod::Interval { .. }
        );
        if norm == Norm::L1 || (only_linf && norm != Norm::Linf) {
            let accepted = if only_linf { "linf" } else { "linf or l2" };
            let expected = format!("{accepted} for {}", self.method.name());
            return Err(Error::argument("norm", norm, expected));
        }
        not_negative("step_size", self.step_size)?;
        match self.method {
            AdversarialMethod::Trades { beta } | AdversarialMethod::Mart { beta } => {
                not_negative("beta", beta)?;
            }
            AdversarialMethod::Free { replays } => {
                at_least_one("replays", replays)?;
            }
            AdversarialMethod::Interval { ramp } => {
                Ramp::new(ramp)?;
            }
            AdversarialMethod::Pgd | AdversarialMethod::Fast => {}
        }
        let share = self.weight_perturbation;
        if !(share.is_finite() && share >= 0.) {
            return Err(Error::argument("awp", share, "0 or more, as 0.005"));
        }
        let without = match self.method {
            AdversarialMethod::Free { .. } => "0 for free training",
            AdversarialMethod::Interval { .. } => "0 for training with bounds",
            _ => return Ok(()),
        };
        if share > 0. {
            return Err(Error::argument("awp", share, without));
        }
        Ok(())
    }

    /// So many steps of the attack, of `2.5 ε / steps` each, where the method takes several.
    #[must_use]
    pub fn with_steps(self, steps: usize) -> Self {
        let is_iterative = !matches!(
            self.method,
            AdversarialMethod::Fast
                | AdversarialMethod::Free { .. }
                | AdversarialMethod::Interval { .. }
        );
        if !is_iterative || steps == 0 {
            return self;
        }
        Self {
            steps,
            step_size: 2.5 * self.threat.eps / steps as f64,
            ..self
        }
    }

    /// Moves the weights against the training.
    ///
    /// # Errors
    /// As [`check`](Self::check).
    pub fn with_weight_perturbation(self, share: f64) -> Result<Self, Error> {
        let config = Self {
            weight_perturbation: share,
            ..self
        };
        config.check()?;
        Ok(config)
    }
}
