//! A sketch: dark lines on white paper.

use cnn_data::Image;

use super::blur::{blurred, mirrored};
use super::pixel_image::PixelImage;
use crate::Error;

/// Gradients up to so many times the image's mean one leave the paper white.
const PAPER: f64 = 1.;
/// Gradients from so many times the mean one on are black.
const INK: f64 = 4.;

/// Draws the edges of an image, smoothed before with a standard deviation of the share `sigma` of
/// its shorter side. The sketch is grey.
pub(super) fn shifted(image: &Image, sigma: f64) -> Result<Image, Error> {
    let grey = PixelImage::of(&image.to_grey());
    let deviation = sigma * grey.shorter_side() as f64;
    let slopes = gradient_norms(&blurred(&grey, deviation));
    let mean = slopes.iter().sum::<f64>() / slopes.len() as f64;
    let paper = |slope: &f64| {
        // An image without edges is a blank sheet.
        let ink = (slope / mean.max(f64::MIN_POSITIVE) - PAPER) / (INK - PAPER);
        255. * (1. - ink.clamp(0., 1.))
    };
    let values = slopes.iter().map(paper).collect();
    PixelImage { values, ..grey }.to_image()
}

/// The length of the gradient at each pixel, from differences of the pixels around it (Canny 1986).
fn gradient_norms(grey: &PixelImage) -> Vec<f64> {
    let at = |row: i64, column: i64| {
        let row = mirrored(row, grey.height);
        grey.values[row * grey.width + mirrored(column, grey.width)]
    };
    let norm = |place: usize| {
        let row = (place / grey.width) as i64;
        let column = (place % grey.width) as i64;
        let down = at(row + 1, column) - at(row - 1, column);
        let along = at(row, column + 1) - at(row, column - 1);
        (down * down + along * along).sqrt() / 2.
    };
    (0..grey.values.len()).map(norm).collect()
}
