//! How well each class is told from the others.

use cnn_metrics::ConfusionMatrix;

/// The confusion matrix of an evaluation with the names of its classes.
///
/// The page shows the accuracy with its 95 % interval ([`cnn_metrics::bootstrap_interval`]), the
/// matrix (up to 20 classes), the most confused pairs, and per class precision, recall with its 95
/// % interval ([`cnn_metrics::wilson_interval`], which is no point where all are right) and F1.
#[derive(Clone, Debug, PartialEq)]
pub struct ClassResults {
    /// What was evaluated on what, such as "val split, weights of the best epoch".
    pub evaluated_on: String,
    /// The classes' names, by index.
    pub names: Vec<String>,
    /// The counts: rows are true classes, columns predicted ones.
    pub confusion: ConfusionMatrix,
}
