//! The class of every pixel.

use std::fmt;

use crate::{Error, Image};

/// One class number per pixel, row by row, for semantic segmentation; [`Mask::IGNORE`] where the
/// class is unknown.
///
/// A number is an index into [`Dataset::mask_classes`](crate::Dataset::mask_classes), from 0. That
/// list is not [`Dataset::classes`](crate::Dataset::classes): where pixels can belong to no object,
/// it has a class for them, by custom the first one, `background`. No side is zero.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Mask {
    height: usize,
    width: usize,
    bytes: Vec<u8>,
}

impl Mask {
    /// The number of pixels whose class is unknown: losses and metrics leave them out.
    pub const IGNORE: u8 = 255;

    /// A mask from its class numbers in the order row, column.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidImage`] if a side is zero or the number of bytes is not the product of the
    /// sides.
    pub fn new(height: usize, width: usize, bytes: Vec<u8>) -> Result<Self, Error> {
        let invalid = |expected| Error::InvalidImage {
            height,
            width,
            channels: 1,
            found: bytes.len(),
            expected,
        };
        if height == 0 || width == 0 {
            return Err(invalid("no side to be zero"));
        }
        if height.checked_mul(width) != Some(bytes.len()) {
            return Err(invalid("height · width bytes"));
        }
        Ok(Self {
            height,
            width,
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

    /// The class numbers in the order row, column.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The class numbers in the order row, column, without a copy.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// The mask after a change of its pixels, to which it looks like a grey image.
    pub(crate) fn map_pixels(
        self,
        change: impl FnOnce(Image) -> Result<Image, Error>,
    ) -> Result<Self, Error> {
        let changed = change(Image::from_pixels(self.height, self.width, 1, self.bytes)?)?;
        Self::new(changed.height(), changed.width(), changed.into_bytes())
    }
}

impl fmt::Debug for Mask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mask({}x{})", self.height, self.width)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use super::*;

    #[test]
    fn bytes_and_sides_must_agree() {
        let cases = [
            (2, 3, 6, true),
            (2, 3, 5, false),
            (0, 3, 0, false),
            (2, 0, 0, false),
            (usize::MAX, 2, 6, false),
        ];
        for (height, width, len, accepted) in cases {
            assert_eq!(
                Mask::new(height, width, vec![0; len]).is_ok(),
                accepted,
                "{height}x{width} from {len}"
            );
        }
        let message = Mask::new(2, 3, vec![0; 5]).unwrap_err().to_string();
        assert_eq!(
            message,
            "2x3 pixels with 1 channels from 5 bytes, expected height · width bytes"
        );
    }
}
