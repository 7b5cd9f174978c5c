//! Looking at runs and networks: the report of a training run, one HTML file that needs nothing else, and what a network's filters do.
//!
//! [`inspect()`] finds the filters of a network that do nothing, and what its stages see of the image.
//!
//! A [`Report`] is plain data (facts, epochs, a confusion matrix, pictures, phases, ...); [`Report::to_html`] makes the page. Any
//! part may be missing and is then left out, so that a program which knows only its losses has a report too.
//!
//! ```
//! use cnn_metrics::ConfusionMatrix;
//! use cnn_viz::{ClassResults, Epoch, EpochStrip, ExplainedOverlay, ExplainedPhoto, Fact, Report};
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
    ClassResults, Epoch, EpochStrip, ExplainedOverlay, ExplainedPhoto, Fact, FilterLayer, FilterReport, FreezeProof,
    Gallery, ImagePrediction, LayerGroup, NormStatistics, Phase, PictureGroup, Report, StripRow, Timing,
};
pub use trust::{
    InsertionDeletion, Road, Trust, TrustChecks, cascade, insertion_deletion, randomized, rank_correlation, road,
};
