//! Salt and pepper.

use cnn_data::Image;

use super::Severity;
use super::chance::Chance;
use super::pixels::{Pixels, image as of_bytes};
use super::severity::Table;
use crate::Error;

/// The share of values that are lost.
const AMOUNTS: Table<f64> = Table {
    large: [0.03, 0.06, 0.09, 0.17, 0.27],
    small: [0.01, 0.02, 0.03, 0.05, 0.07],
};

/// Some values, each by itself, become black or white, which are equally likely.
pub(super) fn corrupt(image: &Image, severity: Severity, chance: &Chance) -> Result<Image, Error> {
    let pixels = Pixels::of(image);
    let amount = AMOUNTS.of(&pixels, severity);
    let count = image.bytes().len();
    let lost = chance.uniform("lost", count)?;
    let salt = chance.uniform("salt", count)?;
    let values = image.bytes().iter().zip(lost.iter().zip(&salt));
    let bytes = values.map(|(&byte, (&lost, &salt))| match () {
        () if lost >= amount => byte,
        () if salt < 0.5 => 255,
        () => 0,
    });
    of_bytes(&pixels, bytes.collect())
}
