//! WebDataset: tar archives of samples, whose images are read where they lie.

mod images;
mod labels;
mod layout;
mod shard;
mod tar;

pub use images::WebDataset;
pub(super) use layout::{WebDatasetLayout, is_tar_name, packed_reason};
