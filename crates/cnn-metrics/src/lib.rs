//! Metrics for vision models on plain slices: no tensors, nothing of a framework.
//!
//! | question | answer |
//! |---|---|
//! | how often is it right? | [`top_k_accuracy`], with its uncertainty [`wilson_interval`] |
//! | which classes does it miss, and for which others? | [`ConfusionMatrix`], [`precision_recall`] |
//! | how far are its probabilities from the truth? | [`cross_entropy`], [`brier_score`] |
//! | may one believe its confidence? | [`expected_calibration_error`], [`Reliability`] |
//! | all that an evaluation prints, batch by batch | [`ClassificationMetrics`] |
//! | what does it see in this one image? | [`top_k`] |
//! | how well does it segment? | [`SegmentationMetrics`], with its uncertainty [`Bootstrap`] |
//! | does it follow contours? | [`BoundaryF1`] |
//! | does it separate what touches? | [`rand_f_score`], [`information_f_score`] |
//! | how well does it detect objects? | [`DetectionMetrics`]: COCO's and VOC's average precision |
//! | from which confidence on may one believe a detection? | [`ScoreCurves`] |
//! | what kinds of errors does a detector make? | [`DetectionErrors`], [`DetectionConfusion`] |
//! | how good is it on images without labels? | [`information_maximization`], [`mean_entropy`], [`batch_nuclear_norm`], [`soft_neighborhood_density`], [`deep_embedded_validation`] |
//! | how far are two domains apart? | [`a_distance`], [`DomainClassifier`] |
//!
//! # Conventions
//!
//! - `logits` are row-major, one row of `classes` numbers per sample; `labels` are class indices.
//!   Who has probabilities passes their logarithms: softmax turns these into the same probabilities
//!   again.
//! - A logit may be −∞ (a class that is ruled out) as long as its row has a finite one; NaN and +∞
//!   are errors, never silently ranked.
//! - Where logits are equal the lower class index ranks first.
//! - A mask is the class of every pixel, row by row; a target of [`IGNORED_TARGET`] (255) counts
//!   nowhere.
//! - Boxes have edges of pixels as coordinates: no metric adds one to a width. Where scores are
//!   equal, the detection that was given earlier ranks first.
//! - Sums are taken in f64, sample by sample, so that results do not depend on how samples were
//!   batched.
//!
//! ```
//! use cnn_metrics::ClassificationMetrics;
//!
//! let mut metrics = ClassificationMetrics::new(3)?;
//! metrics.update(&[2.0, 1.0, 0.0, 0.0, 3.0, 1.0], &[0, 1])?; // both right
//! metrics.update(&[0.5, 0.0, 0.1], &[2])?; // takes class 2 for class 0
//!
//! let result = metrics.result()?;
//! assert_eq!(result.samples, 3);
//! assert_eq!(result.top1, 2.0 / 3.0);
//! assert_eq!(result.per_class[0].precision, 0.5);
//! assert_eq!(result.per_class[2].recall, 0.0);
//! # Ok::<(), cnn_metrics::Error>(())
//! ```
//!
//! # Its neighbours
//!
//! It stands alone, beside any framework; `cnn-train` evaluates with it, and `cnn-viz` shows what
//! it measured. [All crates](https://github.com/cnn-rs/cnn/blob/main/docs/crates.md) are on one
//! page.
//!
//! # In your project
//!
//! A debug build of a project that depends on this crate is slow unless its dependencies are
//! optimised: build with `--release`, or add to the workspace's `Cargo.toml`
//!
//! ```toml
//! [profile.dev.package."*"]
//! opt-level = 3
//! debug-assertions = false
//! overflow-checks = false
//! ```
//!
//! [Use it in your project](https://github.com/cnn-rs/cnn/blob/main/docs/use-in-your-project.md)
//! has the dependencies and the figures.

#![forbid(unsafe_code)]

mod batch;
mod brier;
mod calibration;
mod classification;
mod confusion;
mod cross_entropy;
mod decomposition;
mod detection;
mod error;
mod exact_interval;
#[cfg(test)]
mod fixture;
mod interval;
mod mean;
mod precision_recall;
mod random;
mod roc;
mod segmentation;
mod top_k;
mod unlabelled;

pub use brier::brier_score;
pub use calibration::{DEFAULT_BINS, Reliability, ReliabilityBin, expected_calibration_error};
pub use classification::{ClassificationMetrics, ClassificationResult};
pub use confusion::{ConfusedPair, ConfusionMatrix};
pub use cross_entropy::cross_entropy;
pub use decomposition::{Eigenpair, largest_eigenpairs, singular_values};
pub use detection::{
    CocoClass, CocoResult, ConfusionThresholds, DetectedBox, DetectionConfusion, DetectionErrors,
    DetectionMetrics, DetectionResult, ErrorShare, ErrorThresholds, GroundTruthBox, MeanF1, Rect,
    ScoreCurve, ScoreCurves, ScorePoint, VocClass, VocInterpolation, VocResult,
};
pub use error::Error;
pub use exact_interval::{clopper_pearson_lower, even_odds_p_value};
pub use interval::{Interval, bootstrap_interval, two_sided_quantile, wilson_interval};
pub use precision_recall::{Average, ClassScores, PrecisionRecall, ZeroDivision, precision_recall};
pub use roc::{RocCurve, RocPoint};
pub use segmentation::{
    Bootstrap, BoundaryF1, BoundaryF1Result, ClassOverlap, DEFAULT_BOUNDARY_TOLERANCE,
    IGNORED_TARGET, SegmentationIntervals, SegmentationMetrics, SegmentationResult, SplitMerge,
    connected_components, information_f_score, rand_f_score, thin_borders,
};
pub use top_k::{Ranked, top_k, top_k_accuracy};
pub use unlabelled::{
    ADistance, DomainClassifier, DomainClassifierConfig, DomainFeatures, SND_TEMPERATURE,
    a_distance, batch_nuclear_norm, deep_embedded_validation, information_maximization,
    mean_entropy, soft_neighborhood_density,
};
