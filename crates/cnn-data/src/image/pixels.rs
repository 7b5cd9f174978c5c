//! An image in memory: eight bits a channel, grey or RGB.

use std::fmt;

use image::metadata::Orientation;

use crate::Error;

/// Rows of pixels, top to bottom; each pixel is one grey byte or a red, a green and a blue one.
///
/// No side is zero.
///
/// ```
/// use cnn_data::Image;
///
/// let image = Image::from_pixels(1, 2, 3, vec![255, 0, 0, 255, 255, 255])?;
/// assert_eq!((image.height(), image.width(), image.channels()), (1, 2, 3));
/// assert_eq!(image.to_grey().bytes(), [76, 255]);
/// # Ok::<(), cnn_data::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Image {
    height: usize,
    width: usize,
    channels: usize,
    bytes: Vec<u8>,
}

impl Image {
    /// An image from its bytes in the order row, column, channel.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidImage`] if a side is zero, if there are not 1 or 3 channels, or if the
    /// number of bytes is not their product.
    pub fn from_pixels(
        height: usize,
        width: usize,
        channels: usize,
        bytes: Vec<u8>,
    ) -> Result<Self, Error> {
        let invalid = |expected| Error::InvalidImage {
            height,
            width,
            channels,
            found: bytes.len(),
            expected,
        };
        if !matches!(channels, 1 | 3) {
            return Err(invalid("1 or 3 channels"));
        }
        if height == 0 || width == 0 {
            return Err(invalid("no side to be zero"));
        }
        let expected = height
            .checked_mul(width)
            .and_then(|pixels| pixels.checked_mul(channels));
        if expected != Some(bytes.len()) {
            return Err(invalid("height · width · channels bytes"));
        }
        Ok(Self {
            height,
            width,
            channels,
            bytes,
        })
    }

    /// Number of rows.
    pub fn height(&self) -> usize {
        self.height
    }

    /// Number of columns.
    pub fn width(&self) -> usize {
        self.width
    }

    /// 1 (grey) or 3 (red, green, blue).
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// The bytes in the order row, column, channel.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The bytes in the order row, column, channel, without a copy.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// The same image with three channels; grey becomes three equal ones.
    pub fn to_rgb(&self) -> Self {
        if self.channels == 3 {
            return self.clone();
        }
        Self {
            channels: 3,
            bytes: self.bytes.iter().flat_map(|&grey| [grey; 3]).collect(),
            ..*self
        }
    }

    /// The same image with one channel: ITU-R 601-2 luma, `0.299 R + 0.587 G + 0.114 B` rounded, in
    /// Pillow's integer arithmetic.
    pub fn to_grey(&self) -> Self {
        if self.channels == 1 {
            return self.clone();
        }
        Self {
            channels: 1,
            bytes: self.bytes.chunks_exact(3).map(luma).collect(),
            ..*self
        }
    }

    /// The same image with 1 or 3 channels, by [`Image::to_grey`] or [`Image::to_rgb`].
    ///
    /// # Errors
    ///
    /// [`Error::Argument`] for any other number of channels.
    pub fn with_channels(self, channels: usize) -> Result<Self, Error> {
        match channels {
            _ if channels == self.channels => Ok(self),
            1 => Ok(self.to_grey()),
            3 => Ok(self.to_rgb()),
            _ => Err(Error::argument("channels", channels, "1 or 3")),
        }
    }

    /// The image turned and mirrored so that it stands upright.
    pub(crate) fn oriented(self, orientation: Orientation) -> Self {
        let height = self.height;
        let width = self.width;
        let bottom = height - 1;
        let right = width - 1;
        // For each pixel of the result, at row y and column x, the row and column that it comes
        // from.
        match orientation {
            Orientation::NoTransforms => self,
            Orientation::FlipHorizontal => self.gathered(height, width, |y, x| (y, right - x)),
            Orientation::Rotate180 => self.gathered(height, width, |y, x| (bottom - y, right - x)),
            Orientation::FlipVertical => self.gathered(height, width, |y, x| (bottom - y, x)),
            Orientation::Rotate90FlipH => self.gathered(width, height, |y, x| (x, y)),
            Orientation::Rotate90 => self.gathered(width, height, |y, x| (bottom - x, y)),
            Orientation::Rotate270FlipH => {
                self.gathered(width, height, |y, x| (bottom - x, right - y))
            }
            Orientation::Rotate270 => self.gathered(width, height, |y, x| (x, right - y)),
        }
    }

    fn gathered(
        &self,
        height: usize,
        width: usize,
        source: impl Fn(usize, usize) -> (usize, usize),
    ) -> Self {
        let channels = self.channels;
        let mut bytes = Vec::with_capacity(self.bytes.len());
        for y in 0..height {
            for x in 0..width {
                let (row, column) = source(y, x);
                let start = (row * self.width + column) * channels;
                bytes.extend_from_slice(&self.bytes[start..start + channels]);
            }
        }
        Self {
            height,
            width,
            channels,
            bytes,
        }
    }
}

impl fmt::Debug for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Image({}x{}x{})", self.height, self.width, self.channels)
    }
}

fn luma(rgb: &[u8]) -> u8 {
    const WEIGHTS: [u32; 3] = [19_595, 38_470, 7_471];
    let sum: u32 = rgb
        .iter()
        .zip(WEIGHTS)
        .map(|(&value, weight)| u32::from(value) * weight)
        .sum();
    ((sum + 0x8000) >> 16) as u8
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use super::*;

    #[test]
    fn bytes_and_dimensions_must_agree() {
        let cases = [
            (2, 3, 1, 6, true),
            (2, 3, 3, 18, true),
            (2, 3, 3, 17, false),
            (2, 3, 2, 12, false),
            (0, 3, 1, 0, false),
            (2, 0, 3, 0, false),
            (usize::MAX, 2, 3, 6, false),
        ];
        for (height, width, channels, len, accepted) in cases {
            let image = Image::from_pixels(height, width, channels, vec![0; len]);
            assert_eq!(
                image.is_ok(),
                accepted,
                "{height}x{width}x{channels} from {len}"
            );
        }
        let message = Image::from_pixels(2, 3, 2, vec![0; 12])
            .unwrap_err()
            .to_string();
        assert_eq!(
            message,
            "2x3 pixels with 2 channels from 12 bytes, expected 1 or 3 channels"
        );
    }

    #[test]
    fn grey_and_rgb_convert_to_each_other() {
        let grey = Image::from_pixels(2, 2, 1, vec![0, 1, 128, 255]).unwrap();
        assert_eq!(
            grey.to_rgb().bytes(),
            [0, 0, 0, 1, 1, 1, 128, 128, 128, 255, 255, 255]
        );
        assert_eq!(grey.to_rgb().to_grey(), grey);
        assert_eq!(grey.clone().with_channels(1).unwrap(), grey);
        assert_eq!(
            grey.with_channels(2).unwrap_err().to_string(),
            "`channels`: found 2, expected 1 or 3"
        );
    }

    // For the picture `ab/cd/ef` (three rows, two columns): what each orientation makes of it
    // upright.
    #[test]
    fn orientations_move_pixels() {
        let cases: [(u8, usize, &[u8]); 8] = [
            (1, 2, b"abcdef"),
            (2, 2, b"badcfe"),
            (3, 2, b"fedcba"),
            (4, 2, b"efcdab"),
            (5, 3, b"acebdf"),
            (6, 3, b"ecafdb"),
            (7, 3, b"fdbeca"),
            (8, 3, b"bdface"),
        ];
        for (exif, width, expected) in cases {
            let image = Image::from_pixels(3, 2, 1, b"abcdef".to_vec()).unwrap();
            let upright = image.oriented(Orientation::from_exif(exif).unwrap());
            assert_eq!(
                (upright.width(), upright.bytes()),
                (width, expected),
                "orientation {exif}"
            );
        }
    }
}
