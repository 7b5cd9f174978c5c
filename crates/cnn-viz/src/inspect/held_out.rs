//! Whether what some images say of the filters holds on others.

use serde::Serialize;

/// The filters that do nothing on four fifths of the images, tried on the other fifth, from which the claim was not made.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct HeldOut {
    /// Images from which the claim was made.
    pub made_from: usize,
    /// Other images on which it was tried: every fifth.
    pub images: usize,
    /// Filters that do nothing on the former.
    pub claimed: usize,
    /// How many of them do something on the latter, and so are no findings.
    pub contradicted: usize,
    /// By how much any logit of the latter changes at most when all that were claimed are removed together.
    pub max_logit_change: f64,
}

impl HeldOut {
    /// With fewer images than these nothing is held out.
    pub const LEAST_IMAGES: usize = 10;

    /// The share of the claimed filters that the other images contradict, in 0..1; 0 where nothing was claimed.
    pub fn contradicted_share(&self) -> f64 {
        self.contradicted as f64 / self.claimed.max(1) as f64
    }
}
