//! What a network sees, why it decides, which of its filters do nothing, and the report of a run.
//!
//! - [`Explainer`]: attributions and class activation maps ([`Method`]) for any network that fills
//!   the contract of `cnn-layers`; [`Heatmap`], [`overlay`] to look at them;
//! - [`TrustChecks`], [`Trust::verdicts`], [`insertion_deletion`], [`road()`], [`randomized`]:
//!   whether a map can be believed;
//! - [`draw_boxes`], [`draw_small_boxes`]: a photo with the objects that are in it or were found;
//! - [`feature_maps`], [`map_grid`]: what any stage or layer gives for an image;
//! - [`inspect()`]: filters that do nothing, activations and weights, receptive fields;
//! - [`principal_components`], [`tsne()`]: features as points of a plane (the feature `report`);
//! - [`Report`], [`Gallery`]: pages that need no other file (the feature `report`).
//!
//! | feature | what it adds |
//! |---|---|
//! | `report` | [`Report`], [`Gallery`] and what goes into them, [`Inspection::report`], [`tsne()`]; it is not on by default |
//!
//! A [`Report`] is plain data (facts, epochs, a confusion matrix, pictures, phases, ...);
//! [`Report::to_html`] makes the page. Any part may be missing and is then left out, so that a
//! program which knows only its losses has a report too.
//!
//! ```
//! # #[cfg(feature = "report")] {
//! use cnn_metrics::ConfusionMatrix;
//! use cnn_viz::{ClassResults, Fact, Report, ReportEpoch};
//!
//! let report = Report {
//!     title: "resnet20 on shapes".into(),
//!     summary: vec![Fact::new("val accuracy", "75.0 %")],
//!     epochs: vec![ReportEpoch {
//!         epoch: 1,
//!         train_loss: Some(1.2),
//!         val_loss: Some(1.1),
//!         ..ReportEpoch::default()
//!     }],
//!     classes: vec![ClassResults {
//!         evaluated_on: "val split".into(),
//!         names: vec!["circle".into(), "<square>".into()],
//!         confusion: ConfusionMatrix::from_pairs(2, &[0, 0, 1, 1], &[0, 1, 1, 1])?,
//!     }],
//!     ..Report::default()
//! };
//! let html = report.to_html()?;
//! assert!(html.starts_with("<!doctype html>") && html.contains("<svg"));
//! // Whatever is given is text: names cannot become markup.
//! assert!(!html.contains("<square>"));
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Its neighbours
//!
//! It uses `cnn-models`, `cnn-data` and `cnn-metrics`; it explains whatever fills the contract of
//! `cnn-layers`, and reports runs of `cnn-train` and `cnn-transfer`. [All
//! crates](https://github.com/cnn-rs/cnn/blob/main/docs/crates.md) are on one page.
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

mod error;
mod explain;
mod inspect;
#[cfg(feature = "report")]
mod page;
mod picture;
#[cfg(feature = "report")]
mod projection;
#[cfg(feature = "report")]
mod report;
mod trust;

pub use cnn_graph::ReceptiveField;
pub use error::Error;
pub use explain::{
    Explainable, Explained, Explainer, Explanation, Method, Place, Region, Score, Smoothing,
    Target, feature_maps,
};
pub use inspect::{
    ChannelStatistics, FilterCounts, FilterGraph, FilterKind, FilterUnit, Finding, HeldOut,
    InspectConfig, InspectedLayer, Inspection, OtherLayer, Rarefaction, RarefactionPoint, Reader,
    Removal, Savings, Spread, StageField, Totals, UnitActivation, WeightStatistics, filter_grid,
    inspect,
};
pub use picture::{
    ColorMap, Heatmap, PictureBox, draw_boxes, draw_small_boxes, map_grid, overlay, thumbnail,
};
#[cfg(feature = "report")]
pub use projection::{
    MOST_TSNE_POINTS, PrincipalComponents, Tsne, TsneConfig, principal_components, tsne,
};
#[cfg(feature = "report")]
pub use report::{
    AttackRow, AttackedPicture, BoxGroup, BoxedPhoto, ClassResults, CloudPoint, DataPart,
    DetectionResults, EpochChart, EpochCurve, ExplainedOverlay, ExplainedPhoto, Fact, FileLink,
    FilterLayer, FilterReport, Gallery, ImagePrediction, ImageStrip, MaskGroup, NormStatistics,
    PictureGroup, PointCloud, PointClouds, RatePoint, RegionResults, Report, ReportEpoch,
    ReportFreezeProof, ReportLayerGroup, ReportNextStep, ReportPhase, ReportSection, ReportTable,
    RobustnessResults, ScoreGrid, ScoreGridRow, SegmentedPhoto, SizePoint, StripRow, TableColumn,
    Timing,
};
pub use trust::{
    InsertionDeletion, Road, Trust, TrustCheck, TrustChecks, TrustVerdict, cascade,
    insertion_deletion, randomized, rank_correlation, road,
};
