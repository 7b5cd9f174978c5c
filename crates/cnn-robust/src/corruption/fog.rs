//! Fog.

use cnn_data::Image;

use super::Severity;
use super::chance::Chance;
use super::pixels::Pixels;
use super::plasma::Plasma;
use super::severity::Table;
use crate::Error;

/// How thick the fog is.
#[derive(Clone, Copy)]
struct Fog {
    /// What is added where it is thickest.
    thickness: f64,
    /// How fast its detail becomes finer.
    decay: f64,
}

const fn fog(thickness: f64, decay: f64) -> Fog {
    Fog { thickness, decay }
}

#[rustfmt::skip]
const FOGS: Table<Fog> = Table {
    large: [fog(1.5, 2.), fog(2., 2.), fog(2.5, 1.7), fog(2.5, 1.5), fog(3., 1.4)],
    small: [fog(0.2, 3.), fog(0.5, 3.), fog(0.75, 2.5), fog(1., 2.), fog(1.5, 1.75)],
};

/// `(x + t p) m / (m + t)` with the plasma fractal `p`, the thickness `t` and the image's largest
/// value `m`.
pub(super) fn corrupt(image: &Image, severity: Severity, chance: &Chance) -> Result<Image, Error> {
    let mut pixels = Pixels::of(image);
    let Fog { thickness, decay } = FOGS.of(&pixels, severity);
    let plasma = Plasma::new([pixels.height, pixels.width], decay, chance)?;
    let largest = pixels.values.iter().copied().fold(0., f64::max);
    let width = pixels.width;
    let channels = pixels.channels;
    for (place, pixel) in pixels.values.chunks_exact_mut(channels).enumerate() {
        let added = thickness * plasma.at(place / width, place % width);
        for value in pixel {
            *value = (*value + added) * largest / (largest + thickness);
        }
    }
    pixels.to_image()
}
