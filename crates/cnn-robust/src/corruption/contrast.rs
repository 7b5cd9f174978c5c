//! Less contrast.

use cnn_data::Image;

use super::Severity;
use super::chance::Chance;
use super::pixels::Pixels;
use super::severity::Table;
use crate::Error;

/// What of it stays.
const KEPT: Table<f64> = Table {
    large: [0.4, 0.3, 0.2, 0.1, 0.05],
    small: [0.75, 0.5, 0.4, 0.3, 0.15],
};

/// `(x − m) c + m` with the mean `m` of each channel.
pub(super) fn corrupt(image: &Image, severity: Severity, _: &Chance) -> Result<Image, Error> {
    let mut pixels = Pixels::of(image);
    let kept = KEPT.of(&pixels, severity);
    let channels = pixels.channels;
    let area = pixels.area() as f64;
    for channel in 0..channels {
        let values = || pixels.values.iter().skip(channel).step_by(channels);
        let mean = values().sum::<f64>() / area;
        for value in pixels.values.iter_mut().skip(channel).step_by(channels) {
            *value = (*value - mean) * kept + mean;
        }
    }
    pixels.to_image()
}
