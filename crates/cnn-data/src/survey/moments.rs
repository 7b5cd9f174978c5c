//! Mean and standard deviation of pixels, exact and hence the same in any order of addition.

use serde::Serialize;

use crate::Image;

/// Mean and standard deviation of each channel over all pixels, in 0..1.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ChannelStatistics {
    /// The mean of each channel: one if all images are grey, else red, green and blue.
    pub mean: Vec<f64>,
    /// The standard deviation of each channel, of the population.
    pub std: Vec<f64>,
}

/// Sums over the pixels of images; grey counts as three equal channels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Moments {
    pixels: u128,
    sums: [u128; 3],
    squares: [u128; 3],
    has_color: bool,
}

impl Moments {
    pub(super) fn of(image: &Image) -> Self {
        let mut histogram = [[0_u64; 256]; 3];
        for pixel in image.bytes().chunks_exact(image.channels()) {
            for (counts, &byte) in histogram.iter_mut().zip(pixel) {
                counts[usize::from(byte)] += 1;
            }
        }
        if image.channels() == 1 {
            histogram = [histogram[0]; 3];
        }
        let weighted = |counts: &[u64; 256], power: u32| {
            (0_u128..)
                .zip(counts)
                .map(|(byte, &count)| byte.pow(power) * u128::from(count))
                .sum()
        };
        Self {
            pixels: (image.height() * image.width()) as u128,
            sums: histogram.each_ref().map(|counts| weighted(counts, 1)),
            squares: histogram.each_ref().map(|counts| weighted(counts, 2)),
            has_color: image.channels() == 3,
        }
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.pixels += other.pixels;
        for channel in 0..3 {
            self.sums[channel] += other.sums[channel];
            self.squares[channel] += other.squares[channel];
        }
        self.has_color |= other.has_color;
    }

    /// `None` without pixels.
    pub(super) fn statistics(&self) -> Option<ChannelStatistics> {
        if self.pixels == 0 {
            return None;
        }
        let channels = if self.has_color { 3 } else { 1 };
        let pixels = self.pixels as f64;
        let mean = |channel: usize| self.sums[channel] as f64 / pixels / 255.0;
        let std = |channel: usize| {
            let sum = self.sums[channel];
            let squares = self.squares[channel];
            let scaled_variance = self.pixels * squares - sum * sum;
            (scaled_variance as f64).sqrt() / pixels / 255.0
        };
        Some(ChannelStatistics {
            mean: (0..channels).map(mean).collect(),
            std: (0..channels).map(std).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use super::*;

    #[test]
    fn statistics_are_those_of_all_pixels_together() {
        let grey = Image::from_pixels(1, 3, 1, vec![0, 51, 255]).unwrap();
        let rgb = Image::from_pixels(1, 1, 3, vec![102, 0, 255]).unwrap();
        let mut moments = Moments::of(&grey);
        let ChannelStatistics { mean, std } = moments.statistics().unwrap();
        assert_eq!(mean, [0.4]);
        // sqrt(((0 - 0.4)² + (0.2 - 0.4)² + (1 - 0.4)²) / 3)
        assert!((std[0] - 0.432_049_379_893_857_3).abs() < 1e-15);
        moments.add(&Moments::of(&rgb));
        let ChannelStatistics { mean, std } = moments.statistics().unwrap();
        assert_eq!(mean, [0.4, 0.3, 0.55]);
        assert!((std[2] - 0.455_521_678_957_215_1).abs() < 1e-15);
        assert_eq!(Moments::default().statistics(), None);
    }
}
