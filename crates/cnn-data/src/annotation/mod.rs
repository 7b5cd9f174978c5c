//! What is known about an image beside its class: where its objects are, and which photo it was
//! made from.

mod affine;
mod bounding_box;
mod mask;
mod origin;

pub use affine::Affine;
pub use bounding_box::BoundingBox;
pub use mask::Mask;
pub use origin::Origin;
