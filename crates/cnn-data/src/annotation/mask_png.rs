//! Masks to PNG files.

use std::io::{self, Write};
use std::path::Path;

use cnn_core::write_atomic;
use png::{BitDepth, ColorType, Encoder};

use super::{Mask, MaskPalette};
use crate::{Error, Image};

impl Mask {
    /// Writes a PNG file with a palette of 8 bits, whole or not at all: each number of the file is
    /// the class number, and the palette is what other programs show it in.
    ///
    /// # Errors
    ///
    /// As [`Image::write_png`].
    pub fn write_png(&self, path: &Path, palette: &MaskPalette) -> Result<(), Error> {
        let written = write_atomic(path, |file| encode(self, palette, file));
        written.map_err(|error| match error {
            cnn_core::Error::Io {
                action,
                path,
                source,
            } => Error::Io {
                action,
                path,
                source,
            },
            other => Error::argument("path", other, "a file name"),
        })
    }

    /// The bytes of that PNG file.
    ///
    /// # Errors
    ///
    /// [`Error::Argument`] if a side is longer than PNG can say, 2³¹ − 1 pixels.
    pub fn to_png(&self, palette: &MaskPalette) -> Result<Vec<u8>, Error> {
        let mut bytes = Vec::new();
        encode(self, palette, &mut bytes)
            .map_err(|error| Error::argument("mask", error, "sides that fit a PNG"))?;
        Ok(bytes)
    }

    /// The mask as a picture: each class in its color.
    pub fn to_image(&self, palette: &MaskPalette) -> Result<Image, Error> {
        let colors = self.bytes().iter().flat_map(|&value| palette.color(value));
        Image::from_pixels(self.height(), self.width(), 3, colors.collect())
    }
}

fn encode(mask: &Mask, palette: &MaskPalette, writer: impl Write) -> io::Result<()> {
    let side = |side: usize| u32::try_from(side).map_err(io::Error::other);
    let mut encoder = Encoder::new(writer, side(mask.width())?, side(mask.height())?);
    encoder.set_color(ColorType::Indexed);
    encoder.set_depth(BitDepth::Eight);
    encoder.set_palette(palette.colors().as_flattened());
    let mut writer = encoder.write_header().map_err(io::Error::other)?;
    writer
        .write_image_data(mask.bytes())
        .map_err(io::Error::other)?;
    writer.finish().map_err(io::Error::other)
}
