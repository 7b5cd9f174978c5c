//! Image datasets, strict decoding and preprocessing for convolutional networks.

#![forbid(unsafe_code)]

mod dataset;
mod error;
mod image;
mod transform;

pub use dataset::Split;
pub use error::Error;
pub use image::{ColorModel, Decoded, FileFormat, Image, ImageInfo, Limits, decode, decode_with_limits, open_image};
pub use transform::{FloatImage, preprocess, resize};
