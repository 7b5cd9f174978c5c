//! Which update rule, with which constants.

use std::fmt;
use std::str::FromStr;

use cnn_core::did_you_mean;
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::settings::{Choice, Setting};

/// The update rule, with PyTorch's definitions and defaults. `g` is the gradient, `p` the
/// parameter, `λ` the group's weight decay; all rules but AdamW use `g + λp` in place of `g`.
///
/// As text it is a name, or a name with settings by the names of the fields:
/// `sgd:momentum=0.9,nesterov`, `adamw:beta2=0.99`. What is not set keeps its default.
///
/// ```
/// use cnn_train::OptimizerConfig;
///
/// let config: OptimizerConfig = "sgd:nesterov".parse()?;
/// assert_eq!(
///     config,
///     OptimizerConfig::Sgd {
///         momentum: 0.9,
///         nesterov: true
///     }
/// );
/// assert_eq!(config.to_string(), "sgd:momentum=0.9,nesterov");
/// # Ok::<(), cnn_train::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "lowercase")]
pub enum OptimizerConfig {
    /// Gradient descent: `b ← momentum·b + g`, `p ← p − lr·b`; Nesterov's has `g + momentum·b` in
    /// place of the last `b`.
    Sgd {
        /// In `0..1`; 0 keeps no buffer. A schedule's momentum takes its place unless it is 0.
        momentum: f64,
        /// Looks one step ahead; needs a momentum.
        nesterov: bool,
    },
    /// Adam (Kingma and Ba 2015, <https://arxiv.org/abs/1412.6980>, algorithm 1).
    Adam {
        /// Decay of the mean of gradients, in `0..1`. A schedule's momentum takes its place.
        beta1: f64,
        /// Decay of the mean of squared gradients, in `0..1`.
        beta2: f64,
        /// Added to the square root; above 0.
        eps: f64,
    },
    /// Adam with decoupled weight decay, `p ← (1 − lr·λ)·p` (Loshchilov and Hutter 2019,
    /// <https://arxiv.org/abs/1711.05101>, algorithm 2).
    AdamW {
        /// Decay of the mean of gradients, in `0..1`. A schedule's momentum takes its place.
        beta1: f64,
        /// Decay of the mean of squared gradients, in `0..1`.
        beta2: f64,
        /// Added to the square root; above 0.
        eps: f64,
    },
    /// RMSprop (Hinton, Neural Networks for Machine Learning, lecture 6e), optionally centred
    /// (Graves 2013, <https://arxiv.org/abs/1308.0850>, equations 38 to 45).
    RmsProp {
        /// Decay of the mean of squared gradients, in `0..1`.
        alpha: f64,
        /// Added to the square root; above 0.
        eps: f64,
        /// In `0..1`; 0 keeps no buffer. A schedule's momentum takes its place unless it is 0.
        momentum: f64,
        /// Subtracts the squared mean of gradients: divides by an estimate of the deviation.
        centered: bool,
    },
}

impl OptimizerConfig {
    /// The names that [`named`](Self::named) and [`FromStr`] accept.
    pub const NAMES: [&str; 4] = ["sgd", "adam", "adamw", "rmsprop"];

    /// Momentum 0.9, not Nesterov's.
    pub fn sgd() -> Self {
        Self::Sgd {
            momentum: 0.9,
            nesterov: false,
        }
    }

    /// Betas 0.9 and 0.999, eps 1e-8.
    pub fn adam() -> Self {
        Self::Adam {
            beta1: 0.9,
            beta2: 0.999,
            eps: 1e-8,
        }
    }

    /// Betas 0.9 and 0.999, eps 1e-8.
    pub fn adamw() -> Self {
        Self::AdamW {
            beta1: 0.9,
            beta2: 0.999,
            eps: 1e-8,
        }
    }

    /// Alpha 0.99, eps 1e-8, no momentum, not centred.
    pub fn rmsprop() -> Self {
        Self::RmsProp {
            alpha: 0.99,
            eps: 1e-8,
            momentum: 0.,
            centered: false,
        }
    }

    /// The rule of this name with its defaults: one of [`NAMES`](Self::NAMES).
    ///
    /// # Errors
    /// If there is none; the nearest name is suggested.
    pub fn named(name: &str) -> Result<Self, Error> {
        match name {
            "sgd" => Ok(Self::sgd()),
            "adam" => Ok(Self::adam()),
            "adamw" => Ok(Self::adamw()),
            "rmsprop" => Ok(Self::rmsprop()),
            _ => {
                let expected = format!(
                    "one of {}{}",
                    Self::NAMES.join(", "),
                    did_you_mean(name, Self::NAMES)
                );
                Err(Error::argument("optimizer", format!("`{name}`"), expected))
            }
        }
    }

    /// Checks the ranges.
    ///
    /// # Errors
    /// Names the first constant that is out of its range.
    pub fn validate(&self) -> Result<(), Error> {
        let decay = |name, value: f64| match value {
            0.0..1.0 => Ok(()),
            _ => Err(Error::argument(name, value, "0 or more, below 1")),
        };
        let eps_is_positive = |eps: f64| {
            if eps > 0. && eps.is_finite() {
                Ok(())
            } else {
                Err(Error::argument("eps", eps, "a finite number above 0"))
            }
        };
        match *self {
            Self::Sgd {
                momentum: 0.,
                nesterov: true,
            } => Err(Error::argument(
                "momentum",
                0,
                "above 0, as `nesterov` needs",
            )),
            Self::Sgd { momentum, .. } => decay("momentum", momentum),
            Self::Adam { beta1, beta2, eps } | Self::AdamW { beta1, beta2, eps } => {
                decay("beta1", beta1)?;
                decay("beta2", beta2)?;
                eps_is_positive(eps)
            }
            Self::RmsProp {
                alpha,
                eps,
                momentum,
                ..
            } => {
                decay("alpha", alpha)?;
                decay("momentum", momentum)?;
                eps_is_positive(eps)
            }
        }
    }

    /// The tensors kept per parameter, by PyTorch's names.
    pub(super) fn slots(&self) -> Vec<&'static str> {
        match *self {
            Self::Sgd { momentum, .. } => {
                if momentum > 0. {
                    vec!["momentum_buffer"]
                } else {
                    vec![]
                }
            }
            Self::Adam { .. } | Self::AdamW { .. } => vec!["exp_avg", "exp_avg_sq"],
            Self::RmsProp {
                momentum, centered, ..
            } => {
                let optional = [(momentum > 0., "momentum_buffer"), (centered, "grad_avg")];
                let optional = optional
                    .into_iter()
                    .filter_map(|(is_kept, name)| is_kept.then_some(name));
                std::iter::once("square_avg").chain(optional).collect()
            }
        }
    }

    /// With the schedule's momentum in place of its own.
    pub(super) fn with_scheduled_momentum(mut self, scheduled: Option<f64>) -> Self {
        let Some(scheduled) = scheduled else {
            return self;
        };
        match &mut self {
            Self::Sgd { momentum, .. } | Self::RmsProp { momentum, .. } if *momentum == 0. => {}
            Self::Sgd { momentum, .. } | Self::RmsProp { momentum, .. } => *momentum = scheduled,
            Self::Adam { beta1, .. } | Self::AdamW { beta1, .. } => *beta1 = scheduled,
        }
        self
    }
}

impl Choice for OptimizerConfig {
    const WHAT: &'static str = "optimizer";

    fn with_defaults(name: &str) -> Result<Self, Error> {
        Self::named(name)
    }

    fn settings(&mut self) -> (&'static str, Vec<(&'static str, Setting<'_>)>) {
        use Setting::{Flag, Number};
        let name = match self {
            Self::AdamW { .. } => "adamw",
            _ => "adam",
        };
        match self {
            Self::Sgd { momentum, nesterov } => (
                "sgd",
                vec![("momentum", Number(momentum)), ("nesterov", Flag(nesterov))],
            ),
            Self::Adam { beta1, beta2, eps } | Self::AdamW { beta1, beta2, eps } => (
                name,
                vec![
                    ("beta1", Number(beta1)),
                    ("beta2", Number(beta2)),
                    ("eps", Number(eps)),
                ],
            ),
            Self::RmsProp {
                alpha,
                eps,
                momentum,
                centered,
            } => {
                let settings = vec![
                    ("alpha", Number(alpha)),
                    ("eps", Number(eps)),
                    ("momentum", Number(momentum)),
                    ("centered", Flag(centered)),
                ];
                ("rmsprop", settings)
            }
        }
    }

    fn check(&self) -> Result<(), Error> {
        self.validate()
    }
}

impl fmt::Display for OptimizerConfig {
    /// Name and all settings.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f)
    }
}

impl FromStr for OptimizerConfig {
    type Err = Error;

    /// Reads a name, or a name with settings.
    ///
    /// # Errors
    /// Names the part that is not understood, or the first number that is out of its range, and
    /// what would be accepted.
    fn from_str(text: &str) -> Result<Self, Error> {
        Self::read(text)
    }
}
