//! What is known about an image beside its class: where its objects are, and which photo it was
//! made from.

mod affine;
mod bounding_box;
mod mask;
mod mask_fault;
mod mask_overlay;
mod mask_palette;
mod mask_png;
mod object;
mod origin;

pub use affine::Affine;
pub use bounding_box::BoundingBox;
pub use mask::Mask;
pub use mask_fault::MaskFault;
pub use mask_overlay::MaskOverlay;
pub use mask_palette::MaskPalette;
pub use object::AnnotatedObject;
pub(crate) use object::Trained;
pub use origin::Origin;
