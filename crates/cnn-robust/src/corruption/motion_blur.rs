//! A camera that moves.

use cnn_data::Image;

use super::Severity;
use super::chance::Chance;
use super::motion::{Motion, motion};
use super::pixels::{Pixels, image as of_bytes};
use super::severity::Table;
use crate::Error;

#[rustfmt::skip]
const MOTIONS: Table<Motion> = Table {
    large: [motion(10., 3.), motion(15., 5.), motion(15., 8.), motion(15., 12.), motion(20., 15.)],
    small: [motion(6., 1.), motion(6., 1.5), motion(6., 2.), motion(8., 2.), motion(9., 2.5)],
};

/// A motion at an angle of −45 to 45 degrees to the rows.
pub(super) fn corrupt(image: &Image, severity: Severity, chance: &Chance) -> Result<Image, Error> {
    let pixels = Pixels::of(image);
    let angle = chance.between("angle", -45., 45.)?;
    let moved = MOTIONS.of(&pixels, severity).blurred(&pixels, angle);
    let bytes = moved
        .values
        .iter()
        .map(|value| (value * 255.).round() as u8);
    of_bytes(&pixels, bytes.collect())
}
