//! Another light, and hues turned round the wheel.

use std::f64::consts::TAU;

use cnn_data::Image;

use super::pixel_image::PixelImage;
use crate::Error;

/// How much of red, green and blue there is in the light of a lamp, beside daylight.
const LAMP: [f64; 3] = [1.1, 0.95, 0.7];

/// The colours under a lamp, each channel scaled by itself as von Kries has it, then turned by
/// `turn` of the colour wheel. A grey image is dyed.
pub(super) fn shifted(image: &Image, turn: f64) -> Result<Image, Error> {
    let mut pixels = PixelImage::of(&image.to_rgb());
    let hue = HueTurn::new(turn);
    let (colors, _) = pixels.values.as_chunks_mut::<3>();
    for color in colors {
        let lit = std::array::from_fn(|channel| (LAMP[channel] * color[channel]).min(255.));
        *color = hue.of(lit);
    }
    pixels.to_image()
}

/// A turn of the colour cube about its grey diagonal (Haeberli 1993, "Matrix Operations for Image
/// Processing"): a third of a turn makes red green, green blue and blue red.
#[derive(Debug, Clone, Copy)]
pub(super) struct HueTurn {
    /// The weight of a channel itself, of the one before it and of the one behind it.
    weights: [f64; 3],
}

impl HueTurn {
    pub(super) fn new(turn: f64) -> Self {
        let (sin, cos) = libm::sincos(TAU * turn);
        let even = (1. - cos) / 3.;
        let odd = sin / 3f64.sqrt();
        Self {
            weights: [cos + even, even + odd, even - odd],
        }
    }

    /// What becomes of a colour; it may leave the range of bytes.
    pub(super) fn of(self, color: [f64; 3]) -> [f64; 3] {
        let [own, before, behind] = self.weights;
        std::array::from_fn(|channel| {
            own * color[channel]
                + before * color[(channel + 2) % 3]
                + behind * color[(channel + 1) % 3]
        })
    }
}
