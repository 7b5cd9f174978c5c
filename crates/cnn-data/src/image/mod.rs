//! Images in memory, and how they are read from files and written to them.

mod bmp;
mod contact_sheet;
pub(crate) mod contain;
mod decode;
mod file_format;
mod frame;
mod header;
mod jpeg;
mod limits;
mod metadata;
mod orientation;
mod pixels;
mod raster;
pub(crate) mod stored;
mod write;

pub use contact_sheet::contact_sheet;
pub use decode::{Decoded, decode, decode_with_limits, open_image};
pub use file_format::{ColorModel, FileFormat, ImageInfo};
pub(crate) use frame::PhotoFrame;
pub use limits::Limits;
pub use pixels::Image;
