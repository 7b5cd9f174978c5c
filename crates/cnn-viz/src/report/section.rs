//! A section that a command puts together for itself.

use super::{EpochChart, PointClouds, ReportTable};

/// A section of tables, curves and pictures of points, in this order, for what no block of its own
/// is made for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ReportSection {
    /// The heading.
    pub title: String,
    /// Sentences below it, a paragraph each.
    pub notes: Vec<String>,
    /// The tables.
    pub tables: Vec<ReportTable>,
    /// The curves.
    pub charts: Vec<EpochChart>,
    /// The pictures of points.
    pub points: Option<PointClouds>,
}
