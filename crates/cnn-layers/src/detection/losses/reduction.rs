//! How the losses of boxes become one number.

use crate::Error;

/// How many losses become one number: `Σ wᵢ lᵢ / d`.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use cnn_layers::detection::losses::{Reduction, SmoothL1Loss};
///
/// let predictions = Tensor::new(&[[1f32, 0.], [0., 3.]], &Device::Cpu)?;
/// let loss = |reduction: &Reduction| {
///     SmoothL1Loss::l1()
///         .loss(&predictions, &[0.; 4], reduction)?
///         .to_scalar::<f32>()
/// };
/// assert_eq!(loss(&Reduction::sum())?, 4.);
/// assert_eq!(loss(&Reduction::mean())?, 1.);
/// // Of two boxes, of which the second counts twice, over the number of objects.
/// let weighted = Reduction::over(2.).with_weights(vec![1., 2.]);
/// assert_eq!(loss(&weighted)?, 3.5);
/// # Ok::<(), candle_core::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Reduction {
    weights: Option<Vec<f32>>,
    divisor: Divisor,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Divisor {
    Number(f64),
    /// How many losses there are.
    Losses,
}

impl Reduction {
    /// The sum.
    pub const fn sum() -> Self {
        Self::over(1.)
    }

    /// The sum over a number, as that of the objects of a batch.
    pub const fn over(divisor: f64) -> Self {
        Self {
            weights: None,
            divisor: Divisor::Number(divisor),
        }
    }

    /// The sum over the number of losses, whatever their weights; 0 without losses.
    pub const fn mean() -> Self {
        Self {
            weights: None,
            divisor: Divisor::Losses,
        }
    }

    /// The same with weights: one per row of the predictions, or one per element where each element
    /// has a loss.
    #[must_use]
    pub fn with_weights(self, weights: Vec<f32>) -> Self {
        Self {
            weights: Some(weights),
            ..self
        }
    }

    /// The weights of so many losses, of which a row has `per_row`.
    pub(super) fn weights(&self, losses: usize, per_row: usize) -> Result<Weights, Error> {
        let rows = losses / per_row.max(1);
        let Some(weights) = &self.weights else {
            return Ok(Weights {
                values: Vec::new(),
                losses_per_weight: 1,
            });
        };
        if let Some(weight) = weights.iter().find(|weight| !weight.is_finite()) {
            return Err(Error::argument("weights", weight, "finite numbers"));
        }
        let losses_per_weight = match weights.len() {
            count if count == rows => per_row,
            count if count == losses => 1,
            count => {
                let expected = if per_row == 1 {
                    format!("{losses}, one per row")
                } else {
                    format!("{rows}, one per row, or {losses}, one per element")
                };
                return Err(Error::argument(
                    "weights",
                    format!("{count} of them"),
                    expected,
                ));
            }
        };
        Ok(Weights {
            values: weights.clone(),
            losses_per_weight,
        })
    }

    /// What every loss is multiplied by, of which there are so many.
    pub(super) fn factor(&self, losses: usize) -> Result<f64, Error> {
        let divisor = match self.divisor {
            Divisor::Losses => losses.max(1) as f64,
            Divisor::Number(divisor) => divisor,
        };
        if divisor > 0. && divisor.is_finite() {
            return Ok(1. / divisor);
        }
        Err(Error::argument(
            "divisor",
            divisor,
            "a finite number above 0",
        ))
    }
}

/// Weights of losses.
pub(super) struct Weights {
    /// Empty where all are 1.
    values: Vec<f32>,
    losses_per_weight: usize,
}

impl Weights {
    pub(super) fn of(&self, loss: usize) -> f64 {
        if self.values.is_empty() {
            return 1.;
        }
        f64::from(self.values[loss / self.losses_per_weight])
    }
}
