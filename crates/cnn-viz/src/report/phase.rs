//! What was trained when.

use serde::Serialize;

/// Consecutive epochs in which the same layers were trained.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ReportPhase {
    /// Its name, such as "head" or "all layers".
    pub name: String,
    /// Its first epoch; the run's first is 1.
    pub first_epoch: usize,
    /// Its last epoch, which belongs to it.
    pub last_epoch: usize,
    /// The layer groups from the image to the head, named differently within a phase. May be empty.
    pub groups: Vec<ReportLayerGroup>,
}

/// Layers that are frozen or trained together.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ReportLayerGroup {
    /// Its name, such as "layer3" or "head".
    pub name: String,
    /// Number of parameters.
    pub parameters: u64,
    /// The learning rate that the phase begins or peaks with; `None` if the group is frozen.
    pub learning_rate: Option<f64>,
    /// What its batch-norm layers do.
    pub norm_statistics: NormStatistics,
}

/// Whether a group's running means and variances change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum NormStatistics {
    /// The group has no layer that keeps statistics.
    #[default]
    None,
    /// They follow the batches.
    Moving,
    /// They stay as they were loaded.
    Fixed,
}
