//! Images to files.

use std::io;
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
    /// [`Error::Io`] if the file cannot be written; [`Error::InvalidArgument`] if `path` is a directory.
    pub fn write_png(&self, path: &Path) -> Result<(), Error> {
        let color = if self.channels() == 1 { ExtendedColorType::L8 } else { ExtendedColorType::Rgb8 };
        let side = |side: usize| u32::try_from(side).map_err(io::Error::other);
        let written = write_atomic(path, |file| {
            let (width, height) = (side(self.width())?, side(self.height())?);
            PngEncoder::new(file).write_image(self.bytes(), width, height, color).map_err(io::Error::other)
        });
        written.map_err(|error| match error {
            cnn_core::Error::Io { action, path, source } => Error::Io { action, path, source },
            other => Error::argument("path", other, "a file name"),
        })
    }
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
        }
    }

    #[test]
    fn directories_and_missing_folders_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let image = Image::from_pixels(1, 1, 1, vec![0]).unwrap();
        let message = image.write_png(folder.path()).unwrap_err().to_string();
        assert!(message.starts_with("`path`: found cannot write") && message.contains("directory"), "{message}");
        assert!(matches!(image.write_png(&folder.path().join("no/image.png")), Err(Error::Io { .. })));
    }
}
