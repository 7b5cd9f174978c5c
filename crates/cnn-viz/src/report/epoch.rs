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
    /// How good it is on the training samples, in 0..1: what [`Report::score`](super::Report::score)
    /// says.
    pub train_score: Option<f64>,
    /// The same on the validation samples.
    pub val_score: Option<f64>,
    /// Seconds that the epoch took, evaluation included.
    pub seconds: Option<f64>,
}
