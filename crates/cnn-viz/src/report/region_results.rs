//! How well the regions of each class are found.

use cnn_metrics::{SegmentationIntervals, SegmentationResult};

/// The results of an evaluation in which every pixel has a class.
///
/// The page shows mean IoU with its interval, which class's pixels were taken for which (up to 20
/// classes), the most confused pairs, and per class IoU with its interval, Dice, recall and
/// precision.
#[derive(Clone, Debug, PartialEq)]
pub struct RegionResults {
    /// What was evaluated on what, such as "val split, weights of the best epoch".
    pub evaluated_on: String,
    /// The classes' names, by index.
    pub names: Vec<String>,
    /// The scores of the classes and over all.
    pub result: SegmentationResult,
    /// How uncertain they are.
    pub intervals: SegmentationIntervals,
}
