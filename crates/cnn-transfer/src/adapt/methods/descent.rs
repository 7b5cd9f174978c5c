//! One loss after the other in an update, each minimised by its own optimiser.

use candle_core::Tensor;
use cnn_layers::backward;
use cnn_train::{Error as TrainError, GradientStep, Gradients, Optimizer, Rates, StepReport};

use super::super::task::DomainBatch;
use crate::Error;

/// What a descent came from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Descent {
    pub(super) loss: f64,
    pub(super) gradient_norm: f64,
}

/// One step of an optimiser down a loss.
pub(super) fn descend(
    loss: Tensor,
    optimizer: &mut Optimizer,
    rates: &Rates,
) -> Result<Descent, Error> {
    let value = finite(&loss)?;
    let gradients = Gradients::take(&mut backward(&loss)?, optimizer);
    // The graph holds every activation.
    drop(loss);
    Ok(Descent {
        loss: value,
        gradient_norm: GradientStep::default().apply(gradients, optimizer, rates)?,
    })
}

/// The value of a loss.
pub(super) fn finite(loss: &Tensor) -> Result<f64, Error> {
    let value = loss.to_dtype(candle_core::DType::F64)?.to_scalar::<f64>()?;
    if value.is_finite() {
        Ok(value)
    } else {
        Err(TrainError::not_finite("the loss").into())
    }
}

/// Does something with each batch, and reports the last one: these methods accumulate no gradients.
pub(super) fn in_turn(
    batches: &[DomainBatch],
    mut update: impl FnMut(&DomainBatch) -> Result<StepReport, Error>,
) -> Result<StepReport, TrainError> {
    let mut report = StepReport::default();
    for batch in batches {
        report = update(batch).map_err(TrainError::other)?;
    }
    Ok(report)
}
