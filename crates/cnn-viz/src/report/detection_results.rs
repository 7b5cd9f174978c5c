//! How well the objects of each class are found.

use cnn_metrics::DetectionResult;

/// The results of an evaluation in which objects are found by their boxes.
///
/// The page shows COCO's average precisions and recalls with what each means; precision, recall and
/// F1 over the score from which on detections are kept, and the score at which F1 is highest; which
/// class was taken for which, or for background (up to 20 classes), and the most confused pairs of
/// classes; the errors by kind with what each costs; and per class AP, AP50, AP75, AR100 and the
/// highest F1 with its score, the lowest AP first.
#[derive(Clone, Debug, PartialEq)]
pub struct DetectionResults {
    /// What was evaluated on what, such as "val split, weights of the best epoch".
    pub evaluated_on: String,
    /// The classes' names, by index.
    pub names: Vec<String>,
    /// The scores of the classes and over all;
    /// [`DetectionMetrics::result`](cnn_metrics::DetectionMetrics::result) gives them.
    pub result: DetectionResult,
}
