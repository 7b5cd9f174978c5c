//! Metrics of semantic segmentation, over masks and label images.

mod bootstrap;
mod boundary;
mod components;
mod contours;
mod distance;
mod masks;
mod metrics;
mod overlap;
mod result;
mod split_merge;
mod thinning;

pub use bootstrap::{Bootstrap, SegmentationIntervals};
pub use boundary::{BoundaryF1, BoundaryF1Result, DEFAULT_BOUNDARY_TOLERANCE};
pub use components::connected_components;
pub use masks::IGNORED_TARGET;
pub use metrics::SegmentationMetrics;
pub use result::{ClassOverlap, SegmentationResult};
pub use split_merge::{SplitMerge, information_f_score, rand_f_score};
pub use thinning::thin_borders;
