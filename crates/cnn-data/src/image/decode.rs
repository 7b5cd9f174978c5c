//! Decoding an image from the bytes of a file.

use std::path::Path;

use image::metadata::Orientation;

use super::{FileFormat, Image, ImageInfo, Limits, bmp, jpeg, raster};
use crate::Error;

/// An image together with what its file's header says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decoded {
    /// The pixels, upright.
    pub image: Image,
    /// The header.
    pub info: ImageInfo,
    /// How the stored pixels were turned to stand upright.
    pub(crate) orientation: Orientation,
}

/// Decodes an image file of any accepted format, with the default [`Limits`].
///
/// The result is what Pillow's `ImageOps.exif_transpose(Image.open(f)).convert("RGB")` gives (for
/// grey files `convert("L")`): the orientation of EXIF or XMP is applied, 16 bits become 8 by keeping the
/// upper byte, transparency is dropped and the colors under it shown as stored, CMYK becomes RGB
/// without a color profile, embedded profiles are ignored, animations give their first frame.
///
/// Two oddities of Pillow's are left out: 16-bit grey keeps its upper byte too, and the part of the
/// screen that an animation's first frame leaves free is black. A JPEG without an end marker is
/// broken, unless its pixels are whole and other bytes follow them. Pixels that are missing before
/// an end marker are grey, as in libjpeg.
///
/// # Errors
///
/// [`Error::NotAnImage`] for bytes of another kind, [`Error::TooLarge`] for dimensions beyond the
/// limits (before anything is allocated), [`Error::BrokenImage`] for damaged and truncated data.
pub fn decode(bytes: &[u8]) -> Result<Image, Error> {
    Ok(decode_with_limits(bytes, &Limits::default())?.image)
}

/// [`decode`] with other limits, returning the header's facts too.
///
/// # Errors
///
/// As [`decode`].
pub fn decode_with_limits(bytes: &[u8], limits: &Limits) -> Result<Decoded, Error> {
    match FileFormat::recognise(bytes)? {
        FileFormat::Jpeg => jpeg::decode(bytes, limits),
        FileFormat::Png => raster::decode_png(bytes, limits),
        FileFormat::Bmp => bmp::decode(bytes, limits),
        FileFormat::Gif => raster::decode_gif(bytes, limits),
        FileFormat::WebP => raster::decode_webp(bytes, limits),
    }
}

/// Reads and decodes an image file as [`decode`] does.
///
/// # Errors
///
/// As [`decode`], with the file's name, and [`Error::Io`] if it cannot be read.
pub fn open_image(path: &Path) -> Result<Image, Error> {
    let bytes = std::fs::read(path).map_err(|error| Error::io("read", path, error))?;
    decode(&bytes).map_err(|error| error.at(path.display().to_string()))
}
