//! A camera that comes nearer.

use cnn_data::Image;

use super::Severity;
use super::chance::Chance;
use super::pixels::Pixels;
use super::severity::Table;
use super::zoom::clipped_zoom;
use crate::Error;

/// Factors of enlargement from 1 on.
#[derive(Clone, Copy)]
struct Factors {
    end: f64,
    step: f64,
}

const fn up_to(end: f64, step: f64) -> Factors {
    Factors { end, step }
}

#[rustfmt::skip]
const FACTORS: Table<Factors> = Table {
    large: [up_to(1.11, 0.01), up_to(1.16, 0.01), up_to(1.21, 0.02), up_to(1.26, 0.02), up_to(1.31, 0.03)],
    small: [up_to(1.06, 0.01), up_to(1.11, 0.01), up_to(1.16, 0.01), up_to(1.21, 0.01), up_to(1.26, 0.01)],
};

impl Factors {
    /// The numbers of NumPy's `arange`, whose end is among them where it is rounded upwards.
    fn list(self) -> Vec<f64> {
        let count = ((self.end - 1.) / self.step).ceil() as usize;
        let step = (1. + self.step) - 1.;
        (0..count).map(|place| 1. + place as f64 * step).collect()
    }
}

/// The mean of the image and of its enlargements by all factors.
pub(super) fn corrupt(image: &Image, severity: Severity, _: &Chance) -> Result<Image, Error> {
    let pixels = Pixels::of(image);
    let factors = FACTORS.of(&pixels, severity).list();
    let mut sum = pixels.values.clone();
    for &factor in &factors {
        let nearer = clipped_zoom(&pixels, factor);
        for (sum, value) in sum.iter_mut().zip(&nearer.values) {
            *sum += value;
        }
    }
    let count = (factors.len() + 1) as f64;
    sum.iter_mut().for_each(|value| *value /= count);
    pixels.with_values(sum).to_image()
}
