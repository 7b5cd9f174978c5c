//! A lens out of focus: a Gaussian in place of each point.

use cnn_data::Image;

use super::pixel_image::PixelImage;
use crate::Error;

/// A Gaussian is cut at so many standard deviations.
const REACH: f64 = 4.;

/// Blurs with a standard deviation of the share `sigma` of the shorter side.
pub(super) fn shifted(image: &Image, sigma: f64) -> Result<Image, Error> {
    let pixels = PixelImage::of(image);
    let deviation = sigma * pixels.shorter_side() as f64;
    blurred(&pixels, deviation).to_image()
}

/// Blurs along both axes with a standard deviation of so many pixels; the image is mirrored at its
/// edges, as scipy's `gaussian_filter` does by default.
pub(super) fn blurred(pixels: &PixelImage, deviation: f64) -> PixelImage {
    let weights = weights(deviation);
    let row = pixels.width * pixels.channels;
    let vertical = Lines {
        length: pixels.height,
        step: row,
    };
    let horizontal = Lines {
        length: pixels.width,
        step: pixels.channels,
    };
    let values = horizontal.smoothed(&vertical.smoothed(&pixels.values, &weights), &weights);
    PixelImage { values, ..*pixels }
}

/// The weights of a pixel and of those behind it; those before it have the same.
fn weights(deviation: f64) -> Vec<f64> {
    let reach = (REACH * deviation + 0.5) as usize;
    let weight = |offset: usize| libm::exp(-0.5 * (offset as f64 / deviation).powi(2));
    // Without a reach there is one pixel, whatever the deviation.
    let behind: Vec<f64> = (1..=reach).map(weight).collect();
    let sum = 1. + 2. * behind.iter().sum::<f64>();
    let all = std::iter::once(1.).chain(behind);
    all.map(|weight| weight / sum).collect()
}

/// The lines of an image along one of its axes.
struct Lines {
    /// Pixels of a line.
    length: usize,
    /// Numbers from one of its pixels to the next.
    step: usize,
}

impl Lines {
    fn smoothed(&self, values: &[f64], weights: &[f64]) -> Vec<f64> {
        let mut smoothed = vec![0.; values.len()];
        let line = self.length * self.step;
        let lines = values.chunks_exact(line);
        for (from, to) in lines.zip(smoothed.chunks_exact_mut(line)) {
            for (place, to) in to.chunks_exact_mut(self.step).enumerate() {
                for (offset, &weight) in weights.iter().enumerate() {
                    let offset = offset as i64;
                    let both = [place as i64 - offset, place as i64 + offset];
                    for place in &both[..if offset == 0 { 1 } else { 2 }] {
                        let at = mirrored(*place, self.length) * self.step;
                        for (to, from) in to.iter_mut().zip(&from[at..]) {
                            *to += weight * from;
                        }
                    }
                }
            }
        }
        smoothed
    }
}

/// The pixel that a place stands for where a line is mirrored at its ends again and again.
pub(super) fn mirrored(place: i64, length: usize) -> usize {
    let period = 2 * length as i64;
    let inside = place.rem_euclid(period);
    inside.min(period - 1 - inside) as usize
}
