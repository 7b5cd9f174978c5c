//! Training that makes a classifier robust: the network learns from images under attack. Input
//! transforms, which mostly seem to, and detectors.

mod adversarial_step;
mod config;
mod crafted;
mod detector;
mod free;
mod interval;
mod mart;
mod overfitting_watch;
mod robust_accuracy;
mod trades;
mod transform;
mod weight_perturbation;

pub use adversarial_step::AdversarialStep;
pub use config::{AdversarialConfig, AdversarialMethod};
pub use detector::{DetectorMeter, FeatureSqueezing, InputDetector};
pub use interval::{CertifiedAccuracy, IntervalStep};
pub use robust_accuracy::RobustAccuracy;
pub use transform::{
    Averaged, BitDepth, GaussianSmoothing, InputTransform, Jpeg, Median, Transformed,
    parse_transform,
};
