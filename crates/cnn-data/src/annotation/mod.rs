//! What is known about an image beside its class: where its objects are.

mod bounding_box;
mod mask;

pub use bounding_box::BoundingBox;
pub use mask::Mask;
