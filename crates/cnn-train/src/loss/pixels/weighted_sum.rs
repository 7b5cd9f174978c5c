//! Weighted sums of losses of pixels.

use std::fmt;
use std::str::FromStr;

use candle_core::Tensor;
use serde::{Deserialize, Serialize};

use super::arguments::not_negative;
use super::closed_form::{ClosedForm, Evaluated, Pixels, apply};
use super::real::Real;
use super::{FocalLoss, PixelCrossEntropy, PixelLoss, PixelLossKind, PixelTargets};
use crate::Error;
use crate::settings::number;

/// A sum of losses of pixels, each with a weight: `Σ w L`.
///
/// As text it is losses as [`PixelLossKind`] has them, joined by `+`, each with `WEIGHT*` before it
/// where the weight is not 1: `dice`, `dice+cross-entropy`, `0.5*dice+0.5*focal:gamma=2`. It is
/// serialised as that text.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use cnn_train::{Error, PixelLoss, PixelLossSum, PixelTargets};
///
/// let both: PixelLossSum = "0.5*dice:classes=1+2+2*cross-entropy".parse()?;
/// assert_eq!(both.terms.len(), 2);
/// assert_eq!(both.terms[1].weight, 2.);
///
/// let logits = Tensor::new(&[[[[1f64, 0., 3.], [0., 2., 0.]]]], &Device::Cpu)?;
/// let targets = PixelTargets::new(&Tensor::new(&[[[0u8, 1]]], &Device::Cpu)?)?;
/// let value = |loss: &dyn PixelLoss| -> Result<f64, Error> {
///     Ok(loss.loss(&logits, &targets)?.to_scalar()?)
/// };
/// let apart = 0.5 * value(&both.terms[0].loss)? + 2. * value(&both.terms[1].loss)?;
/// assert!((value(&both)? - apart).abs() < 1e-15);
/// # Ok::<(), Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PixelLossSum {
    /// What is added; at least one.
    pub terms: Vec<PixelLossTerm>,
}

/// A loss with its weight in a sum.
#[derive(Debug, Clone, PartialEq)]
pub struct PixelLossTerm {
    /// `w`; finite, not negative.
    pub weight: f64,
    /// `L`.
    pub loss: PixelLossKind,
}

impl PixelLossSum {
    /// The same with these weights of the classes in cross-entropy and focal loss, where they have
    /// none of their own.
    ///
    /// ```
    /// use cnn_train::PixelLossSum;
    ///
    /// let plain: PixelLossSum = "cross-entropy+dice".parse()?;
    /// let weighted = plain.with_class_weights(&[1., 4.])?;
    /// assert!(weighted.to_string().contains("class_weights=1+4"));
    /// # Ok::<(), cnn_train::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Argument`] if neither of them is in the sum, or both have weights already.
    pub fn with_class_weights(mut self, weights: &[f64]) -> Result<Self, Error> {
        let mut is_weighted = false;
        for term in &mut self.terms {
            let (PixelLossKind::CrossEntropy(PixelCrossEntropy { class_weights, .. })
            | PixelLossKind::Focal(FocalLoss { class_weights, .. })) = &mut term.loss
            else {
                continue;
            };
            if class_weights.is_none() {
                *class_weights = Some(weights.to_vec());
                is_weighted = true;
            }
        }
        if is_weighted {
            return Ok(self);
        }
        Err(Error::argument(
            "class_weights",
            format!("weights for the loss `{self}`"),
            "cross-entropy or focal in it, without weights of their own",
        ))
    }
}

impl From<PixelLossKind> for PixelLossSum {
    /// That loss alone, with weight 1.
    fn from(loss: PixelLossKind) -> Self {
        Self {
            terms: vec![PixelLossTerm { weight: 1., loss }],
        }
    }
}

impl PixelLoss for PixelLossSum {
    fn loss(&self, logits: &Tensor, targets: &PixelTargets) -> Result<Tensor, Error> {
        apply(self, logits, targets)
    }
}

impl ClosedForm for PixelLossSum {
    const NAME: &'static str = "sum of losses of pixels";

    fn check(&self) -> Result<(), Error> {
        if self.terms.is_empty() {
            return Err(Error::argument("loss", "no loss", "at least one"));
        }
        self.terms
            .iter()
            .try_for_each(|term| not_negative("weight", term.weight).and(term.loss.check()))
    }

    fn check_channels(&self, channels: usize) -> Result<(), Error> {
        self.terms
            .iter()
            .try_for_each(|term| term.loss.check_channels(channels))
    }

    fn evaluate<T: Real>(&self, pixels: &Pixels<'_, T>) -> Evaluated<T> {
        let terms: Vec<(f64, Evaluated<T>)> = self
            .terms
            .iter()
            .map(|term| (term.weight, term.loss.evaluate(pixels)))
            .collect();
        Evaluated {
            value: terms.iter().map(|(weight, term)| weight * term.value).sum(),
            reads_probabilities: terms.iter().any(|(_, term)| term.reads_probabilities),
            // The probabilities are computed once for all, and the gradient is made in one place.
            slope: Box::new(move |chunk, scale, gradient| {
                for (weight, term) in &terms {
                    (term.slope)(chunk, weight * scale, gradient);
                }
            }),
        }
    }
}

impl fmt::Display for PixelLossSum {
    /// Weights other than 1, names and all settings.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, term) in self.terms.iter().enumerate() {
            if place > 0 {
                f.write_str("+")?;
            }
            if term.weight != 1. {
                write!(f, "{}*", number(term.weight))?;
            }
            write!(f, "{}", term.loss)?;
        }
        Ok(())
    }
}

impl FromStr for PixelLossSum {
    type Err = Error;

    /// Reads losses joined by `+`.
    ///
    /// # Errors
    /// Names the part that is not understood, or the first number that is out of its range, and
    /// what would be accepted.
    fn from_str(text: &str) -> Result<Self, Error> {
        let terms = terms(text)
            .iter()
            .map(|term| PixelLossTerm::read(term))
            .collect::<Result<_, Error>>()?;
        Ok(Self { terms })
    }
}

impl PixelLossTerm {
    fn read(text: &str) -> Result<Self, Error> {
        let Some((weight, loss)) = text.split_once('*') else {
            return Ok(Self {
                weight: 1.,
                loss: text.trim().parse()?,
            });
        };
        let Ok(weight) = weight.trim().parse() else {
            return Err(Error::argument(
                "loss",
                format!("`{text}`"),
                "a number before `*`, as 0.5*dice",
            ));
        };
        not_negative("weight", weight)?;
        Ok(Self {
            weight,
            loss: loss.trim().parse()?,
        })
    }
}

/// Cuts at each `+` that a loss follows; in lists of numbers a `+` joins them.
fn terms(text: &str) -> Vec<String> {
    let mut terms: Vec<String> = Vec::new();
    for part in text.split('+') {
        let is_number = part
            .trim_start()
            .starts_with(|first: char| first.is_numeric() || "-.".contains(first));
        let begins = part.contains('*') || !is_number;
        match terms.last_mut() {
            Some(term) if !begins => {
                term.push('+');
                term.push_str(part);
            }
            _ => terms.push(part.to_string()),
        }
    }
    terms
}

impl TryFrom<String> for PixelLossSum {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        text.parse()
    }
}

impl From<PixelLossSum> for String {
    fn from(sum: PixelLossSum) -> Self {
        sum.to_string()
    }
}
