//! How large a photo is, and how it is turned, read from the headers of its file.

use image::metadata::Orientation;

use super::orientation::Orientations;
use super::{Decoded, FileFormat, Limits, bmp, header, jpeg, metadata};
use crate::Error;

/// Height and width of a photo as it is stored and upright.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct PhotoFrame {
    stored: [usize; 2],
    orientation: Orientation,
}

impl PhotoFrame {
    /// Reads the headers of a file, and no pixels. What is wrong with the pixels stays unseen.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, Error> {
        let format = FileFormat::recognise(bytes)?;
        let broken = || Error::BrokenImage {
            format,
            reason: "no whole header".to_owned(),
        };
        let of_header = |header: Option<header::Header>, orientations: Orientations<'_>| {
            let header = header.ok_or_else(broken)?;
            Ok(([header.width, header.height], orientations.first()))
        };
        let ([width, height], orientation) = match format {
            FileFormat::Jpeg => jpeg::sides_and_orientation(bytes),
            FileFormat::Png => of_header(header::png(bytes), metadata::png(bytes).orientations()),
            FileFormat::Gif => of_header(header::gif(bytes), Orientations::default()),
            FileFormat::WebP => of_header(
                header::webp(bytes),
                Orientations {
                    exif: header::webp_exif(bytes),
                    xmp: header::webp_xmp(bytes),
                },
            ),
            FileFormat::Bmp => bmp::sides(bytes).map(|sides| (sides, Orientation::NoTransforms)),
        }?;
        Limits::default().check(width, height)?;
        Ok(Self {
            stored: [height, width].map(|side| side as usize),
            orientation,
        })
    }

    /// That of a photo that is decoded already.
    pub(crate) fn of(decoded: &Decoded) -> Self {
        Self {
            stored: [decoded.info.height, decoded.info.width],
            orientation: decoded.orientation,
        }
    }

    /// Height and width as stored.
    pub(crate) fn stored(&self) -> [usize; 2] {
        self.stored
    }

    /// Height and width of the upright photo.
    pub(crate) fn upright(&self) -> [usize; 2] {
        let [height, width] = self.stored;
        match self.orientation {
            Orientation::Rotate90
            | Orientation::Rotate270
            | Orientation::Rotate90FlipH
            | Orientation::Rotate270FlipH => [width, height],
            _ => [height, width],
        }
    }

    /// How the stored pixels are turned to stand upright.
    pub(crate) fn orientation(&self) -> Orientation {
        self.orientation
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use super::*;
    use crate::decode_with_limits;

    #[test]
    fn headers_say_what_decoding_says() {
        let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden");
        let mut count = 0;
        for entry in std::fs::read_dir(golden).unwrap() {
            let path = entry.unwrap().path();
            let Some(bytes) = std::fs::read(&path).ok() else {
                continue;
            };
            let Ok(decoded) = decode_with_limits(&bytes, &Limits::default()) else {
                continue;
            };
            let frame = PhotoFrame::read(&bytes).unwrap();
            assert_eq!(frame, PhotoFrame::of(&decoded), "{}", path.display());
            let image = [decoded.image.height(), decoded.image.width()];
            assert_eq!(frame.upright(), image, "{}", path.display());
            count += 1;
        }
        assert!(count > 30, "{count}");
    }
}
