//! Fewer pixels.

use cnn_data::Image;

use super::Severity;
use super::chance::Chance;
use super::pixels::{Pixels, image as of_bytes};
use super::severity::Table;
use crate::Error;

/// The share of the pixels of each side.
const SHARES: Table<f64> = Table {
    large: [0.6, 0.5, 0.4, 0.3, 0.25],
    small: [0.95, 0.9, 0.85, 0.75, 0.65],
};

/// Resized to fewer pixels and back, both with Pillow's box filter.
pub(super) fn corrupt(image: &Image, severity: Severity, _: &Chance) -> Result<Image, Error> {
    let pixels = Pixels::of(image);
    let share = SHARES.of(&pixels, severity);
    let fewer = |side: usize| ((side as f64 * share) as usize).max(1);
    let bytes = image.bytes().iter().map(|&byte| f64::from(byte));
    let sharp = pixels.with_values(bytes.collect());
    let coarse = resized(&sharp, fewer(pixels.height), fewer(pixels.width));
    let enlarged = resized(&coarse, pixels.height, pixels.width);
    let bytes = enlarged.values.iter().map(|&value| value as u8);
    of_bytes(&pixels, bytes.collect())
}

/// Resized with the box filter, columns first, rounded in between as Pillow does.
fn resized(pixels: &Pixels, height: usize, width: usize) -> Pixels {
    let channels = pixels.channels;
    let columns = boxes(pixels.width, width);
    let mut narrow = Pixels {
        width,
        values: vec![0.; pixels.height * width * channels],
        ..*pixels
    };
    for row in 0..pixels.height {
        for (column, range) in columns.iter().enumerate() {
            let to = narrow.at(row, column);
            for channel in 0..channels {
                let value = |from: usize| pixels.values[pixels.at(row, from) + channel];
                narrow.values[to + channel] = rounded_mean(range.clone().map(value));
            }
        }
    }
    let mut values = Vec::with_capacity(height * width * channels);
    for range in boxes(pixels.height, height) {
        for place in 0..width * channels {
            let value = |from: usize| narrow.values[from * width * channels + place];
            values.push(rounded_mean(range.clone().map(value)));
        }
    }
    Pixels {
        height,
        values,
        ..narrow
    }
}

fn rounded_mean(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let count = values.len() as f64;
    (values.sum::<f64>() / count + 0.5).floor()
}

/// For each pixel of the result those whose centres lie in its box.
fn boxes(len: usize, resized: usize) -> Vec<std::ops::Range<usize>> {
    let scale = len as f64 / resized as f64;
    let reach = 0.5 * scale.max(1.);
    let of_place = |place: usize| {
        let center = (place as f64 + 0.5) * scale;
        let first = ((center - reach + 0.5).max(0.) as usize).min(len - 1);
        let end = ((center + reach + 0.5) as usize).clamp(first + 1, len);
        // A centre on the box's left edge is outside, one on its right edge inside.
        let inside = |from: usize| {
            let place = (from as f64 - center + 0.5) / scale.max(1.);
            place > -0.5 && place <= 0.5
        };
        let first = (first..end).find(|&from| inside(from)).unwrap_or(first);
        let end = (first..end).rfind(|&from| inside(from)).unwrap_or(first) + 1;
        first..end
    };
    (0..resized).map(of_place).collect()
}
