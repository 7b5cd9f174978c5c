//! Images as shifts compute with them.

use cnn_core::Interpolation;
use cnn_data::{Image, resize};

use crate::Error;

/// What is finer than a pixel of an image whose shorter side has so many pixels is lost to networks
/// for photos, so a shift of larger images would be lost, too.
const SHORTER_SIDE: usize = 256;

/// An image with numbers in the range of bytes, in the order row, column, channel.
#[derive(Debug, Clone)]
pub(super) struct PixelImage {
    pub(super) height: usize,
    pub(super) width: usize,
    pub(super) channels: usize,
    pub(super) values: Vec<f64>,
}

impl PixelImage {
    pub(super) fn of(image: &Image) -> Self {
        Self {
            height: image.height(),
            width: image.width(),
            channels: image.channels(),
            values: image.bytes().iter().map(|&byte| f64::from(byte)).collect(),
        }
    }

    /// The number of pixels along the shorter side.
    pub(super) fn shorter_side(&self) -> usize {
        self.height.min(self.width)
    }

    /// The bytes of the values, rounded and cut to their range.
    pub(super) fn to_image(&self) -> Result<Image, Error> {
        let bytes = self.values.iter().map(|value| value.round() as u8);
        let [height, width, channels] = [self.height, self.width, self.channels];
        Ok(Image::from_pixels(
            height,
            width,
            channels,
            bytes.collect(),
        )?)
    }
}

/// The image at the size at which it is shifted: smaller where its shorter side is long.
pub(super) fn at_most_shorter_side(image: &Image) -> Result<Image, Error> {
    let shorter = image.height().min(image.width());
    if shorter <= SHORTER_SIDE {
        return Ok(image.clone());
    }
    let scaled = |side: usize| (side * SHORTER_SIDE + shorter / 2) / shorter;
    let [height, width] = [image.height(), image.width()].map(scaled);
    Ok(resize(image, height, width, Interpolation::Bilinear)?)
}
