//! What was measured.

use cnn_data::Skipped;
use cnn_robust::certify::CertifiedImages;

/// What was measured.
pub(super) struct Figures {
    pub(super) certified: CertifiedImages,
    /// How many images the network itself is right about.
    pub(super) clean_correct: usize,
    pub(super) notes: Vec<String>,
    pub(super) skipped: Vec<Skipped>,
    pub(super) seconds: f64,
}

impl Figures {
    pub(super) fn clean_top1(&self) -> f64 {
        self.clean_correct as f64 / self.certified.samples().max(1) as f64
    }
}

/// A share as the page has it.
pub(super) fn percent(share: f64) -> String {
    format!("{:.1}\u{a0}%", 100. * share)
}

/// A share as the table has it, in per cent.
pub(super) fn in_percent(share: f64) -> String {
    format!("{:.2}", 100. * share)
}
