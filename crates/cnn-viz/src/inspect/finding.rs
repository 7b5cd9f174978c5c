//! A filter that the network does not need.

use serde::Serialize;

/// Why a filter does nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FilterKind {
    /// Its output is 0 for every pixel of every image: a rectifier that never fires, or a norm
    /// whose scale and shift are 0.
    NeverActive,
    /// Its output is the same number for every pixel of every image, or varies so little that it
    /// might be.
    Constant,
    /// Its norm's scale is tiny beside those of its layer.
    NearZeroScale,
    /// Its output is that of another filter of its layer.
    Duplicate,
}

impl FilterKind {
    /// Every kind, in the order in which they are shown.
    pub const ALL: [Self; 4] = [
        Self::NeverActive,
        Self::Constant,
        Self::Duplicate,
        Self::NearZeroScale,
    ];

    /// The kind in words.
    pub fn name(self) -> &'static str {
        match self {
            Self::NeverActive => "never active",
            Self::Constant => "constant",
            Self::NearZeroScale => "near-zero scale",
            Self::Duplicate => "duplicate",
        }
    }
}

/// How a filter can be removed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(tag = "action", rename_all = "snake_case")]
pub enum Removal {
    /// Its output becomes 0.
    Drop,
    /// Its output becomes a constant, which belongs into the biases of what reads it.
    Fold {
        /// The constant, after the activation.
        value: f64,
    },
    /// Its output becomes that of another channel of the same layer.
    Merge {
        /// The other channel, which is no finding.
        into: usize,
    },
}

/// A filter that can be removed without a change of any logit beyond
/// [`Inspection::LIMIT`](super::Inspection::LIMIT).
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Finding {
    /// Path of the convolution.
    pub layer: String,
    /// Path of its batch norm.
    pub norm: Option<String>,
    /// Number of the filter: an output channel.
    pub channel: usize,
    /// Why it does nothing.
    pub kind: FilterKind,
    /// How it can be removed.
    #[serde(flatten)]
    pub removal: Removal,
    /// Learnable values that removing it alone saves.
    pub parameters: usize,
    /// Multiply-adds for one image that removing it alone saves.
    pub multiply_adds: u64,
    /// Whether its output was the same number, to the last bit, for every pixel of every image, so
    /// that removing it changes nothing.
    pub exact: bool,
    /// By how much any logit of any inspected image changed when all findings were removed
    /// together. An exact one has no part in that.
    pub max_logit_change: f64,
    /// Its place among the units.
    #[serde(skip)]
    pub(super) unit: usize,
}

/// How many filters of each kind there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct FilterCounts {
    /// Filters that are never active.
    pub never_active: usize,
    /// Filters with a constant output.
    pub constant: usize,
    /// Filters that their norm switches off.
    pub near_zero_scale: usize,
    /// Filters that repeat another.
    pub duplicate: usize,
}

impl FilterCounts {
    /// Counts kinds.
    pub fn of(kinds: impl IntoIterator<Item = FilterKind>) -> Self {
        kinds.into_iter().fold(Self::default(), |mut counts, kind| {
            *match kind {
                FilterKind::NeverActive => &mut counts.never_active,
                FilterKind::Constant => &mut counts.constant,
                FilterKind::NearZeroScale => &mut counts.near_zero_scale,
                FilterKind::Duplicate => &mut counts.duplicate,
            } += 1;
            counts
        })
    }

    /// Filters of one kind.
    pub fn get(&self, kind: FilterKind) -> usize {
        match kind {
            FilterKind::NeverActive => self.never_active,
            FilterKind::Constant => self.constant,
            FilterKind::NearZeroScale => self.near_zero_scale,
            FilterKind::Duplicate => self.duplicate,
        }
    }

    /// Filters of any kind.
    pub fn total(&self) -> usize {
        self.never_active + self.constant + self.near_zero_scale + self.duplicate
    }
}
