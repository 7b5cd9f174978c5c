//! Regions of maps at a fixed size: what the second stage of a detector looks at.

mod align;
mod axis;
mod gather;
mod max_pool;
mod regions;

pub use align::{RoiAlignSpec, roi_align};
pub use max_pool::roi_max_pool;
pub use regions::{Roi, RoiMap};
