//! Falling snow.

use cnn_data::Image;

use super::Severity;
use super::chance::Chance;
use super::motion::{Motion, motion};
use super::pixels::Pixels;
use super::severity::Table;
use super::zoom::clipped_zoom;
use crate::Error;

/// How much it snows.
#[derive(Clone, Copy)]
struct Snowfall {
    /// Of the noise that flakes are made of.
    mean: f64,
    /// Of the same.
    deviation: f64,
    /// How much flakes are enlarged.
    zoom: f64,
    /// Noise below it is no flake.
    threshold: f64,
    /// How flakes fall.
    fall: Motion,
    /// What stays of the photo, the rest of which is whitened.
    kept: f64,
}

const fn snowfall(
    [mean, deviation]: [f64; 2],
    zoom: f64,
    threshold: f64,
    fall: Motion,
    kept: f64,
) -> Snowfall {
    Snowfall {
        mean,
        deviation,
        zoom,
        threshold,
        fall,
        kept,
    }
}

const SNOWFALLS: Table<Snowfall> = Table {
    large: [
        snowfall([0.1, 0.3], 3., 0.5, motion(10., 4.), 0.8),
        snowfall([0.2, 0.3], 2., 0.5, motion(12., 4.), 0.7),
        snowfall([0.55, 0.3], 4., 0.9, motion(12., 8.), 0.7),
        snowfall([0.55, 0.3], 4.5, 0.85, motion(12., 8.), 0.65),
        snowfall([0.55, 0.3], 2.5, 0.85, motion(12., 12.), 0.55),
    ],
    small: [
        snowfall([0.1, 0.2], 1., 0.6, motion(8., 3.), 0.95),
        snowfall([0.1, 0.2], 1., 0.5, motion(10., 4.), 0.9),
        snowfall([0.15, 0.3], 1.75, 0.55, motion(10., 4.), 0.9),
        snowfall([0.25, 0.3], 2.25, 0.6, motion(12., 6.), 0.85),
        snowfall([0.3, 0.3], 1.25, 0.65, motion(14., 12.), 0.8),
    ],
};

/// Noise of which what is above a threshold falls, at −135 to −45 degrees, over a photo that was
/// mixed with a whiter one; the same flakes are there once more, turned by 180 degrees.
pub(super) fn corrupt(image: &Image, severity: Severity, chance: &Chance) -> Result<Image, Error> {
    let mut pixels = Pixels::of(image);
    let snowfall = SNOWFALLS.of(&pixels, severity);
    let flakes = snowfall.flakes(&pixels, chance)?;
    let both = flakes.iter().zip(flakes.iter().rev());
    let channels = pixels.channels;
    for (pixel, (flake, other)) in pixels.values.chunks_exact_mut(channels).zip(both) {
        let white = luma(pixel) * 1.5 + 0.5;
        for value in pixel {
            let whitened = value.max(white);
            *value = snowfall.kept * *value + (1. - snowfall.kept) * whitened + flake + other;
        }
    }
    pixels.to_image()
}

/// ITU-R 601-2.
fn luma(pixel: &[f64]) -> f64 {
    match *pixel {
        [red, green, blue] => 0.299 * red + 0.587 * green + 0.114 * blue,
        _ => pixel[0],
    }
}

impl Snowfall {
    /// How white each pixel becomes.
    fn flakes(self, pixels: &Pixels, chance: &Chance) -> Result<Vec<f64>, Error> {
        let noise = chance.normal("flakes", pixels.area())?;
        let noise = noise.iter().map(|noise| self.mean + self.deviation * noise);
        let noise = Pixels::layer(pixels.height, pixels.width, noise.collect());
        let mut flakes = clipped_zoom(&noise, self.zoom);
        for value in &mut flakes.values {
            let flake = if *value < self.threshold { 0. } else { *value };
            // The published program keeps them as bytes.
            *value = (flake.clamp(0., 1.) * 255.).floor() / 255.;
        }
        let angle = chance.between("angle", -135., -45.)?;
        Ok(self.fall.blurred(&flakes, angle).values)
    }
}
