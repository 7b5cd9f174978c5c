//! The shapes of a schedule after its warm-up.

use std::f64::consts::PI;
use std::fmt;
use std::str::FromStr;

use cnn_core::did_you_mean;
use serde::{Deserialize, Serialize};

use super::Plateau;
use crate::Error;
use crate::settings::{Choice, Setting};

/// Where rounding of `step / steps per epoch` would miss a boundary by a hair.
const SLACK: f64 = 1e-9;

/// How the learning rate develops: a factor of the base rate, of the epoch `t` of `T` epochs.
///
/// As text it is a name, or a name with settings by the names of the fields:
/// `step:every=10,gamma=0.5`, `multi-step:milestones=30+60+80`,
/// `one-cycle:peak=0.2,momentum=0.85-0.95`, `one-cycle:momentum=none`. What is not set keeps its
/// default.
///
/// ```
/// use cnn_train::ScheduleKind;
///
/// let kind: ScheduleKind = "step:every=10".parse()?;
/// assert_eq!(
///     kind,
///     ScheduleKind::Step {
///         every: 10.,
///         gamma: 0.1
///     }
/// );
/// assert_eq!(kind.to_string(), "step:every=10,gamma=0.1");
/// # Ok::<(), cnn_train::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "kebab-case")]
pub enum ScheduleKind {
    /// 1.
    Constant,
    /// `gamma^⌊t / every⌋`.
    Step {
        /// Epochs, above 0; default 30.
        every: f64,
        /// Above 0; default 0.1.
        gamma: f64,
    },
    /// `gamma` to the power of the number of milestones reached.
    MultiStep {
        /// Epochs, ascending, above 0; default 30, 60 and 80.
        milestones: Vec<f64>,
        /// Above 0; default 0.1.
        gamma: f64,
    },
    /// `gamma^t`, also within an epoch.
    Exponential {
        /// Per epoch, above 0; default 0.95.
        gamma: f64,
    },
    /// `end + (1 − end) · (1 − t / T)^power`. With power 0.9 it is the poly policy with which
    /// networks of semantic segmentation are trained (Chen et al. 2017,
    /// <https://arxiv.org/abs/1606.00915>, section 4.1).
    Polynomial {
        /// Above 0; default 1, linear.
        power: f64,
        /// The last factor, 0 to 1; default 0.
        end: f64,
    },
    /// Half a cosine wave, `end + (1 − end) · (1 + cos(π t / T)) / 2` (Loshchilov and Hutter 2017,
    /// <https://arxiv.org/abs/1608.03983>, equation 5).
    Cosine {
        /// The last factor, 0 to 1; default 0.
        end: f64,
    },
    /// One cycle (Smith and Topin 2018, <https://arxiv.org/abs/1708.07120>): half a cosine wave up
    /// from `1 / div_factor` to 1 at `peak · T`, another down to
    /// `1 / (div_factor · final_div_factor)`. PyTorch's ends both phases one update earlier.
    OneCycle {
        /// The share of the epochs in which the rate rises, between 0 and 1; default 0.3.
        peak: f64,
        /// The base rate over the first one, at least 1; default 25.
        div_factor: f64,
        /// The first rate over the last one, at least 1; default 10⁴.
        final_div_factor: f64,
        /// Lowest (at the peak) and highest momentum; `None` leaves the optimiser's. Default 0.85
        /// and 0.95.
        momentum: Option<[f64; 2]>,
    },
    /// Triangles from `lower` to 1 and back (Smith 2017, <https://arxiv.org/abs/1506.01186>).
    Cyclical {
        /// Epochs from one low to the next, above 0; default 8.
        period: f64,
        /// The lowest factor, 0 to 1; default 0.25.
        lower: f64,
        /// Lowest (at the peaks) and highest momentum; `None` leaves the optimiser's. Default 0.8
        /// and 0.9.
        momentum: Option<[f64; 2]>,
    },
    /// Falls whenever the evaluation's score stops rising.
    Plateau(Plateau),
}

impl ScheduleKind {
    /// The names that [`named`](Self::named) and [`FromStr`] accept.
    pub const NAMES: [&str; 9] = [
        "constant",
        "step",
        "multi-step",
        "exponential",
        "polynomial",
        "cosine",
        "one-cycle",
        "cyclical",
        "plateau",
    ];

    /// The kind of this name with its defaults: one of [`NAMES`](Self::NAMES).
    ///
    /// # Errors
    /// If there is none; the nearest name is suggested.
    pub fn named(name: &str) -> Result<Self, Error> {
        match name {
            "constant" => Ok(Self::Constant),
            "step" => Ok(Self::Step {
                every: 30.,
                gamma: 0.1,
            }),
            "multi-step" => Ok(Self::MultiStep {
                milestones: vec![30., 60., 80.],
                gamma: 0.1,
            }),
            "exponential" => Ok(Self::Exponential { gamma: 0.95 }),
            "polynomial" => Ok(Self::Polynomial { power: 1., end: 0. }),
            "cosine" => Ok(Self::Cosine { end: 0. }),
            "one-cycle" => {
                let momentum = Some([0.85, 0.95]);
                Ok(Self::OneCycle {
                    peak: 0.3,
                    div_factor: 25.,
                    final_div_factor: 1e4,
                    momentum,
                })
            }
            "cyclical" => Ok(Self::Cyclical {
                period: 8.,
                lower: 0.25,
                momentum: Some([0.8, 0.9]),
            }),
            "plateau" => Ok(Self::Plateau(Plateau::default())),
            _ => {
                let expected = format!(
                    "one of {}{}",
                    Self::NAMES.join(", "),
                    did_you_mean(name, Self::NAMES)
                );
                Err(Error::argument("schedule", format!("`{name}`"), expected))
            }
        }
    }

    pub(super) fn validate(&self) -> Result<(), Error> {
        match self {
            Self::Constant => Ok(()),
            Self::Step { every, gamma } => {
                is_positive("every", *every).and(is_positive("gamma", *gamma))
            }
            Self::MultiStep { milestones, gamma } => {
                milestones
                    .iter()
                    .try_for_each(|milestone| is_positive("milestones", *milestone))?;
                if !milestones.is_sorted() {
                    return Err(Error::argument(
                        "milestones",
                        format!("{milestones:?}"),
                        "an ascending list",
                    ));
                }
                is_positive("gamma", *gamma)
            }
            Self::Exponential { gamma } => is_positive("gamma", *gamma),
            Self::Polynomial { power, end } => {
                is_positive("power", *power).and(is_part("end", *end))
            }
            Self::Cosine { end } => is_part("end", *end),
            Self::OneCycle {
                peak,
                div_factor,
                final_div_factor,
                momentum,
            } => {
                if !(*peak > 0. && *peak < 1.) {
                    return Err(Error::argument("peak", peak, "between 0 and 1"));
                }
                is_divisor("div_factor", *div_factor)?;
                is_divisor("final_div_factor", *final_div_factor)?;
                is_momentum_range(*momentum)
            }
            Self::Cyclical {
                period,
                lower,
                momentum,
            } => {
                is_positive("period", *period)?;
                is_part("lower", *lower)?;
                is_momentum_range(*momentum)
            }
            Self::Plateau(plateau) => plateau.validate(),
        }
    }

    /// Factor of the base rate, and momentum. Where the warm-up leaves no epochs, the factor is the
    /// first one.
    pub(super) fn factor(
        &self,
        epoch: f64,
        epochs: f64,
        plateau_factor: f64,
    ) -> (f64, Option<f64>) {
        let done = match epoch {
            0. => 0.,
            epoch if epoch < epochs => epoch / epochs,
            _ => 1.,
        };
        let factor = match self {
            Self::Constant => 1.,
            Self::Step { every, gamma } => gamma.powf((epoch / every + SLACK).floor()),
            Self::MultiStep { milestones, gamma } => gamma.powf(
                milestones
                    .iter()
                    .filter(|milestone| epoch + SLACK >= **milestone)
                    .count() as f64,
            ),
            Self::Exponential { gamma } => gamma.powf(epoch),
            Self::Polynomial { power, end } => end + (1. - end) * (1. - done).powf(*power),
            Self::Cosine { end } => cosine(1., *end, done),
            Self::OneCycle {
                peak,
                div_factor,
                final_div_factor,
                momentum,
            } => {
                let first = 1. / div_factor;
                let last = first / final_div_factor;
                let (factor, height) = if done < *peak {
                    (cosine(first, 1., done / peak), cosine(0., 1., done / peak))
                } else {
                    let falling = (done - peak) / (1. - peak);
                    (cosine(1., last, falling), cosine(1., 0., falling))
                };
                return (factor, momentum.map(|range| opposite(range, height)));
            }
            Self::Cyclical {
                period,
                lower,
                momentum,
            } => {
                let phase = (epoch / period).fract();
                let height = 1. - (2. * phase - 1.).abs();
                return (
                    lower + (1. - lower) * height,
                    momentum.map(|range| opposite(range, height)),
                );
            }
            Self::Plateau(_) => plateau_factor,
        };
        (factor, None)
    }
}

impl Choice for ScheduleKind {
    const WHAT: &'static str = "schedule";

    fn with_defaults(name: &str) -> Result<Self, Error> {
        Self::named(name)
    }

    fn settings(&mut self) -> (&'static str, Vec<(&'static str, Setting<'_>)>) {
        use Setting::{Count, List, Number, Range};
        match self {
            Self::Constant => ("constant", vec![]),
            Self::Step { every, gamma } => (
                "step",
                vec![("every", Number(every)), ("gamma", Number(gamma))],
            ),
            Self::MultiStep { milestones, gamma } => (
                "multi-step",
                vec![("milestones", List(milestones)), ("gamma", Number(gamma))],
            ),
            Self::Exponential { gamma } => ("exponential", vec![("gamma", Number(gamma))]),
            Self::Polynomial { power, end } => (
                "polynomial",
                vec![("power", Number(power)), ("end", Number(end))],
            ),
            Self::Cosine { end } => ("cosine", vec![("end", Number(end))]),
            Self::OneCycle {
                peak,
                div_factor,
                final_div_factor,
                momentum,
            } => {
                let settings = vec![
                    ("peak", Number(peak)),
                    ("div_factor", Number(div_factor)),
                    ("final_div_factor", Number(final_div_factor)),
                    ("momentum", Range(momentum)),
                ];
                ("one-cycle", settings)
            }
            Self::Cyclical {
                period,
                lower,
                momentum,
            } => {
                let settings = vec![
                    ("period", Number(period)),
                    ("lower", Number(lower)),
                    ("momentum", Range(momentum)),
                ];
                ("cyclical", settings)
            }
            Self::Plateau(Plateau {
                factor,
                patience,
                threshold,
                min_factor,
            }) => {
                let settings = vec![
                    ("factor", Number(factor)),
                    ("patience", Count(patience)),
                    ("threshold", Number(threshold)),
                    ("min_factor", Number(min_factor)),
                ];
                ("plateau", settings)
            }
        }
    }

    fn check(&self) -> Result<(), Error> {
        self.validate()
    }
}

impl fmt::Display for ScheduleKind {
    /// Name and all settings.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f)
    }
}

impl FromStr for ScheduleKind {
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

/// From `start` to `end` along half a cosine wave.
fn cosine(start: f64, end: f64, done: f64) -> f64 {
    end + (start - end) * (1. + (PI * done).cos()) / 2.
}

/// Lowest where the rate is highest.
fn opposite([low, high]: [f64; 2], height: f64) -> f64 {
    high - (high - low) * height
}

fn is_positive(name: &'static str, value: f64) -> Result<(), Error> {
    let is_valid = value > 0. && value.is_finite();
    if is_valid {
        Ok(())
    } else {
        Err(Error::argument(name, value, "a finite number above 0"))
    }
}

fn is_part(name: &'static str, value: f64) -> Result<(), Error> {
    if (0. ..=1.).contains(&value) {
        Ok(())
    } else {
        Err(Error::argument(name, value, "0 to 1"))
    }
}

fn is_divisor(name: &'static str, value: f64) -> Result<(), Error> {
    let is_valid = value >= 1. && value.is_finite();
    if is_valid {
        Ok(())
    } else {
        Err(Error::argument(name, value, "a finite number, at least 1"))
    }
}

fn is_momentum_range(range: Option<[f64; 2]>) -> Result<(), Error> {
    match range {
        Some([low, high]) if !(0. <= low && low <= high && high < 1.) => Err(Error::argument(
            "momentum",
            format!("{low} to {high}"),
            "0 or more, ascending, below 1",
        )),
        _ => Ok(()),
    }
}
