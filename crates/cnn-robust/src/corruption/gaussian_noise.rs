//! Normal noise.

use cnn_data::Image;

use super::Severity;
use super::chance::Chance;
use super::pixels::Pixels;
use super::severity::Table;
use crate::Error;

/// Standard deviations.
const SCALES: Table<f64> = Table {
    large: [0.08, 0.12, 0.18, 0.26, 0.38],
    small: [0.04, 0.06, 0.08, 0.09, 0.10],
};

/// `x + σ n` with `n` of the standard normal distribution, each value by itself.
pub(super) fn corrupt(image: &Image, severity: Severity, chance: &Chance) -> Result<Image, Error> {
    let pixels = Pixels::of(image);
    let scale = SCALES.of(&pixels, severity);
    let noise = chance.normal("noise", pixels.values.len())?;
    let noisy = pixels.values.iter().zip(noise);
    let noisy = noisy.map(|(value, noise)| value + scale * noise).collect();
    pixels.with_values(noisy).to_image()
}
