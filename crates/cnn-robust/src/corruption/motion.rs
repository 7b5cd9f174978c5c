//! Motion of the camera as ImageMagick has it.

use super::border::nearest;
use super::pixels::Pixels;

/// A motion in one direction.
#[derive(Clone, Copy)]
pub(super) struct Motion {
    /// In pixels, which says how long the kernel is.
    pub(super) radius: f64,
    /// The standard deviation of its weights, in pixels.
    pub(super) sigma: f64,
}

pub(super) const fn motion(radius: f64, sigma: f64) -> Motion {
    Motion { radius, sigma }
}

impl Motion {
    /// The image moved at an angle in degrees: half a Gaussian along a line, whose places are
    /// rounded to pixels. Values are rounded to those of bytes, in which ImageMagick gives its
    /// result.
    pub(super) fn blurred(self, pixels: &Pixels, angle: f64) -> Pixels {
        let blurred = pixels.correlated(&self.taps(angle), nearest);
        let values = blurred.values.iter();
        let rounded = values.map(|value| (value.clamp(0., 1.) * 255.).round() / 255.);
        blurred.with_values(rounded.collect())
    }

    fn taps(self, angle: f64) -> Vec<(i64, i64, f64)> {
        let Self { radius, sigma } = self;
        let width = 2. * radius.ceil() + 1.;
        let weight = |place: f64| libm::exp(-place * place / (2. * sigma * sigma));
        let places = || (0..width as usize).map(|place| place as f64);
        let sum: f64 = places().map(weight).sum();
        let (sine, cosine) = libm::sincos(angle.to_radians());
        let rounded = |place: f64| (place - 0.5).ceil() as i64;
        let tap = |place| {
            (
                rounded(place * sine),
                rounded(place * cosine),
                weight(place) / sum,
            )
        };
        places().map(tap).collect()
    }
}
