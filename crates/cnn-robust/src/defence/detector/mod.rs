//! Detectors: scores by which images under attack are told from others.

mod feature_squeezing;
mod input_detector;
mod meter;

pub use feature_squeezing::FeatureSqueezing;
pub use input_detector::InputDetector;
pub use meter::DetectorMeter;
