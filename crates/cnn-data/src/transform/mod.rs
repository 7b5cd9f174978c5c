//! From an image to a network's input.

mod float_image;
mod placement;
mod preprocess;
mod resize;

pub(crate) use placement::fitted;

pub use float_image::FloatImage;
pub use placement::{InputPlacement, input_placement};
pub use preprocess::{normalize, preprocess, preprocess_mask, resize_and_crop};
pub use resize::{resize, resize_mask};
