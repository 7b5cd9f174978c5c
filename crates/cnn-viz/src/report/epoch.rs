//! One row of a run's log.

use serde::Serialize;

/// What was measured in one epoch; a curve has a gap where there is no value or none that is
/// finite.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct ReportEpoch {
    /// The epoch's number, the first is 1.
    pub epoch: usize,
    /// Learning rate, of the fastest parameter group if there are several.
    pub learning_rate: Option<f64>,
    /// Mean loss over the training samples.
    pub train_loss: Option<f64>,
    /// Mean loss over the validation samples.
    pub val_loss: Option<f64>,
    /// Share of training samples predicted right, in 0..1.
    pub train_accuracy: Option<f64>,
    /// Share of validation samples predicted right, in 0..1.
    pub val_accuracy: Option<f64>,
    /// Seconds that the epoch took, evaluation included.
    pub seconds: Option<f64>,
}
