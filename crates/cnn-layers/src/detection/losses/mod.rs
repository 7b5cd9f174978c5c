//! The losses of detectors, each one operation of candle's graph with a closed gradient.
//!
//! A loss reads the predictions once for its value and once for its gradient and keeps nothing in
//! between but what it was given. Terms are computed and summed in f64 for both element types, in
//! chunks of a fixed size whose sums are added in order, so that no result depends on the number of
//! threads.

mod binary;
mod box_pair;
mod boxes;
mod cross_entropy;
mod distribution;
mod focal;
mod multi_box;
mod operation;
mod reduction;
mod smooth_l1;
mod targets;

pub use binary::BinaryCrossEntropy;
pub use boxes::{BoxFormat, BoxLoss, BoxLossKind};
pub use cross_entropy::SoftmaxCrossEntropy;
pub use distribution::DistributionFocalLoss;
pub use focal::SigmoidFocalLoss;
pub use multi_box::{LabelledBoxes, MultiBoxLoss, MultiBoxLosses};
pub use reduction::Reduction;
pub use smooth_l1::SmoothL1Loss;
pub use targets::BinaryTargets;
