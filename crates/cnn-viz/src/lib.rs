//! What a network sees, why it decides, which of its filters do nothing, and the report of a run.
//!
//! - [`Explainer`]: attributions and class activation maps ([`Method`]) for any network that fills the contract of `cnn-layers`; [`Heatmap`], [`overlay`] to look at them;
//! - [`TrustChecks`], [`Trust::verdicts`], [`insertion_deletion`], [`road()`], [`randomized`]: whether a map can be believed;
//! - [`feature_maps`], [`map_grid`]: what any stage or layer gives for an image;
//! - [`inspect()`]: filters that do nothing, activations and weights, receptive fields;
//! - [`Report`], [`Gallery`]: pages that need no other file.
//!
//! A [`Report`] is plain data (facts, epochs, a confusion matrix, pictures, phases, ...); [`Report::to_html`] makes the page. Any
//! part may be missing and is then left out, so that a program which knows only its losses has a report too.
//!
//! ```
//! use cnn_metrics::ConfusionMatrix;
//! use cnn_viz::{ClassResults, Epoch, Fact, Report};
//!
//! let report = Report {
//!     title: "resnet20 on shapes".into(),
//!     summary: vec![Fact::new("val accuracy", "75.0 %")],
//!     epochs: vec![Epoch { epoch: 1, train_loss: Some(1.2), val_loss: Some(1.1), ..Epoch::default() }],
//!     classes: Some(ClassResults {
//!         evaluated_on: "val split".into(),
//!         names: vec!["circle".into(), "<square>".into()],
//!         confusion: ConfusionMatrix::from_pairs(2, &[0, 0, 1, 1], &[0, 1, 1, 1])?,
//!     }),
//!     ..Report::default()
//! };
//! let html = report.to_html()?;
//! assert!(html.starts_with("<!doctype html>") && html.contains("<svg"));
//! // Whatever is given is text: names cannot become markup.
//! assert!(!html.contains("<square>"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![forbid(unsafe_code)]

mod error;
mod explain;
mod inspect;
mod page;
mod picture;
mod report;
mod trust;

pub use error::Error;
pub use explain::{Explainer, Explanation, Method, Place, Region, Score, Smoothing, Target, feature_maps};
pub use inspect::{
    ChannelStatistics, FilterCounts, FilterGraph, FilterKind, FilterUnit, Finding, InspectConfig, InspectedLayer,
    Inspection, OtherLayer, Reader, ReceptiveField, Removal, Savings, Spread, StageField, Totals, UnitActivation,
    WeightStatistics, filter_grid, inspect,
};
pub use page::thumbnail;
pub use picture::{ColorMap, Heatmap, map_grid, overlay};
pub use report::{
    ClassResults, DataPart, Epoch, EpochStrip, ExplainedOverlay, ExplainedPhoto, Fact, FileLink, FilterLayer,
    FilterReport, FreezeProof, Gallery, ImagePrediction, LayerGroup, NextStep, NormStatistics, Phase, PictureGroup,
    RatePoint, Report, StripRow, Timing,
};
pub use trust::{
    InsertionDeletion, Road, Trust, TrustCheck, TrustChecks, TrustVerdict, cascade, insertion_deletion, randomized,
    rank_correlation, road,
};
