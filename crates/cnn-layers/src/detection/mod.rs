//! What detectors have in common beside their layers: boxes, anchors, how boxes are coded, which
//! candidate is which object's, and the suppression of doubles.
//!
//! A box is its edges `[x1, y1, x2, y2]` ([`BoxEdges`]) in pixels, with `x1 ≤ x2` to the right and
//! `y1 ≤ y2` downwards, and classes are numbers. All of it works on plain slices; what has gradients
//! takes tensors.

mod anchors;
mod boxes;
mod coding;
mod default_boxes;
mod levels;
pub mod losses;
mod matching;
mod sampling;
mod soft_nms;
mod suppression;

pub use anchors::{AnchorGenerator, AnchorLevel};
pub use boxes::{
    BoxEdges, BoxOverlap, CentreSize, OverlapMatrix, box_area, clip_box, iou, iou_matrix,
};
pub use coding::{BoxCoder, BoxLinearCoder};
pub use default_boxes::{DefaultBoxGenerator, DefaultBoxScales};
pub use levels::LevelMapper;
pub use matching::{LowQuality, Match, Matcher};
pub use sampling::{BalancedSampler, Sampled};
pub use soft_nms::{Decay, Rescored, SoftNms};
pub use suppression::{batched_nms, nms};

use crate::Error;

/// Boxes that a generator makes at most; more are a mistake in a size.
const MAX_BOXES: usize = 1 << 28;

/// As many of something as there are boxes.
fn check_count(name: &'static str, found: usize, boxes: usize) -> Result<(), Error> {
    if found == boxes {
        return Ok(());
    }
    Err(Error::argument(
        name,
        format!("{found} of them"),
        format!("{boxes}, one per box"),
    ))
}

/// A share, from 0 to 1.
fn check_share(name: &'static str, value: f64) -> Result<(), Error> {
    if (0. ..=1.).contains(&value) {
        return Ok(());
    }
    Err(Error::argument(name, value, "0 to 1"))
}

/// Whether something is finite and above 0.
fn check_positive(name: &'static str, value: f64) -> Result<(), Error> {
    if value > 0. && value.is_finite() {
        return Ok(());
    }
    Err(Error::argument(name, value, "a finite number above 0"))
}
