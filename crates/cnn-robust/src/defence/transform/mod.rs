//! Input transforms as defences: a network sees a squeezed copy of each image.
//!
//! Most of their gain is that they hide the gradient (Athalye et al. 2018, arXiv:1802.00420): an
//! attack on the bare network finds changes that the transform undoes, and one that knows of it
//! finds others. So [`RobustnessMeter::add_defended`](crate::RobustnessMeter::add_defended) gives
//! both figures, and counts both in the worst case.

mod averaged;
mod bit_depth;
mod gaussian_smoothing;
mod input_transform;
mod jpeg;
mod median;
mod named;
mod transformed;

pub use averaged::Averaged;
pub use bit_depth::BitDepth;
pub use gaussian_smoothing::GaussianSmoothing;
pub use input_transform::InputTransform;
pub use jpeg::Jpeg;
pub use median::Median;
pub use named::parse_transform;
pub use transformed::Transformed;
