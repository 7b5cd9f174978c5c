//! More light.

use cnn_data::Image;

use super::Severity;
use super::chance::Chance;
use super::pixels::Pixels;
use super::severity::Table;
use crate::Error;

/// What is added.
const ADDED: Table<f64> = Table {
    large: [0.1, 0.2, 0.3, 0.4, 0.5],
    small: [0.05, 0.1, 0.15, 0.2, 0.3],
};

/// The value of hue, saturation and value, which is the largest channel `v`, becomes `min(v + c,
/// 1)`. Hue and saturation stay: the channels are scaled together.
pub(super) fn corrupt(image: &Image, severity: Severity, _: &Chance) -> Result<Image, Error> {
    let mut pixels = Pixels::of(image);
    let added = ADDED.of(&pixels, severity);
    for pixel in pixels.values.chunks_exact_mut(pixels.channels) {
        let value = pixel.iter().copied().fold(0., f64::max);
        let raised = (value + added).min(1.);
        for channel in pixel {
            *channel = match () {
                // Black has no hue.
                () if value == 0. => raised,
                () => raised * (*channel / value),
            };
        }
    }
    pixels.to_image()
}
