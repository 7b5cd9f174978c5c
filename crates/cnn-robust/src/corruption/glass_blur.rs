//! Frosted glass.

use cnn_data::Image;

use super::Severity;
use super::border::nearest;
use super::chance::Chance;
use super::gaussian::blurred;
use super::pixels::Pixels;
use super::severity::Table;
use crate::Error;

/// How rough the glass is.
#[derive(Clone, Copy)]
struct Glass {
    /// The standard deviation of the blur before and after, in pixels.
    sigma: f64,
    /// How far pixels are displaced at most.
    distance: usize,
    /// How often.
    iterations: usize,
}

const fn glass(sigma: f64, distance: usize, iterations: usize) -> Glass {
    Glass {
        sigma,
        distance,
        iterations,
    }
}

#[rustfmt::skip]
const GLASSES: Table<Glass> = Table {
    large: [glass(0.7, 1, 2), glass(0.9, 2, 1), glass(1., 2, 3), glass(1.1, 3, 2), glass(1.5, 4, 2)],
    small: [glass(0.05, 1, 1), glass(0.25, 1, 1), glass(0.4, 1, 1), glass(0.25, 1, 2), glass(0.4, 1, 2)],
};

const TRUNCATE: f64 = 4.;

/// A blur, pixels that take the place of near ones, and the same blur again.
///
/// From the last pixel to the first, each is overwritten by one of its neighbours. The paper speaks
/// of exchanging the two, and its program writes it so; what NumPy makes of those lines, and what
/// the published images show, is that one value is there twice.
pub(super) fn corrupt(image: &Image, severity: Severity, chance: &Chance) -> Result<Image, Error> {
    let pixels = Pixels::of(image);
    let glass = GLASSES.of(&pixels, severity);
    let soft = blurred(&pixels, glass.sigma, TRUNCATE, nearest).to_image()?;
    let mut soft = Pixels::of(&soft);
    glass.displace(&mut soft, chance)?;
    blurred(&soft, glass.sigma, TRUNCATE, nearest).to_image()
}

impl Glass {
    fn displace(self, pixels: &mut Pixels, chance: &Chance) -> Result<(), Error> {
        let distance = self.distance;
        let places = |side: usize| (distance + 1..=side.saturating_sub(distance)).rev();
        let of_each = 2 * places(pixels.height).count() * places(pixels.width).count();
        for iteration in 0..self.iterations {
            let drawn = chance.uniform_in_step("displacement", iteration, of_each)?;
            let displacement = |share: f64| (share * 2. * distance as f64) as usize;
            let mut drawn = drawn.chunks_exact(2);
            for row in places(pixels.height) {
                for column in places(pixels.width) {
                    let Some(&[along, down]) = drawn.next() else {
                        continue;
                    };
                    // Displacements begin at the distance, backwards.
                    let from = pixels.at(
                        row + displacement(down) - distance,
                        column + displacement(along) - distance,
                    );
                    let to = pixels.at(row, column);
                    pixels.values.copy_within(from..from + pixels.channels, to);
                }
            }
        }
        Ok(())
    }
}
