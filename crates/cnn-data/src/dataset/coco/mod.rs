//! COCO's JSON: objects with boxes, polygons and runs of pixels.

mod annotations;
mod document;
mod images;
mod layout;
mod object;
mod region;

pub use annotations::CocoAnnotations;
pub use images::CocoImages;
pub(super) use layout::{CocoLayout, is_coco, is_split_with_year};
