//! COCO's JSON: objects with boxes, polygons and runs of pixels.

mod annotations;
mod document;
mod images;
mod layout;
mod object;
mod predictions;
mod region;

pub use annotations::CocoAnnotations;
pub use images::CocoImages;
pub(super) use layout::{CocoLayout, is_coco, is_split_with_year};
pub use predictions::{PredictedBox, parse_predictions, read_predictions, write_predictions};
