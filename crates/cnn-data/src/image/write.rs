//! Images to files.

use std::io::{self, Write};
use std::path::Path;

use cnn_core::write_atomic;
use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder as _};

use super::Image;
use crate::Error;

impl Image {
    /// Writes a PNG file, whole or not at all.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the file cannot be written; [`Error::Argument`] if `path` is a
    /// directory.
    pub fn write_png(&self, path: &Path) -> Result<(), Error> {
        write_atomic(path, |file| encode_png(self, file)).map_err(Error::of_write)
    }

    /// The bytes of a PNG file.
    ///
    /// # Errors
    ///
    /// [`Error::Argument`] if a side is longer than PNG can say, 2³¹ − 1 pixels.
    pub fn to_png(&self) -> Result<Vec<u8>, Error> {
        let mut bytes = Vec::new();
        let encoded = encode_png(self, &mut bytes);
        encoded.map_err(|error| Error::argument("image", error, "sides that fit a PNG"))?;
        Ok(bytes)
    }
}

fn encode_png(image: &Image, writer: impl Write) -> io::Result<()> {
    let color = if image.channels() == 1 {
        ExtendedColorType::L8
    } else {
        ExtendedColorType::Rgb8
    };
    let side = |side: usize| u32::try_from(side).map_err(io::Error::other);
    let width = side(image.width())?;
    let height = side(image.height())?;
    PngEncoder::new(writer)
        .write_image(image.bytes(), width, height, color)
        .map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use super::*;
    use crate::open_image;

    #[test]
    fn what_is_written_reads_back() {
        let folder = tempfile::tempdir().unwrap();
        for channels in [1, 3] {
            let bytes = (0..5 * 7 * channels).map(|at| (at * 37) as u8).collect();
            let image = Image::from_pixels(5, 7, channels, bytes).unwrap();
            let path = folder.path().join("image.png");
            image.write_png(&path).unwrap();
            assert_eq!(open_image(&path).unwrap(), image);
            assert_eq!(image.to_png().unwrap(), std::fs::read(&path).unwrap());
        }
    }

    #[test]
    fn directories_and_missing_folders_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let image = Image::from_pixels(1, 1, 1, vec![0]).unwrap();
        let message = image.write_png(folder.path()).unwrap_err().to_string();
        assert!(
            message.starts_with("`path`: found cannot write") && message.contains("directory"),
            "{message}"
        );
        assert!(matches!(
            image.write_png(&folder.path().join("no/image.png")),
            Err(Error::Io { .. })
        ));
    }
}
