//! Stretched and contracted regions.

use cnn_data::Image;

use super::Severity;
use super::border::{reflect_101, symmetric};
use super::chance::Chance;
use super::gaussian::blurred;
use super::pixels::Pixels;
use super::severity::Table;
use crate::Error;

/// How much regions are moved, in pixels.
#[derive(Clone, Copy)]
struct Elastic {
    /// What the blurred field of directions is multiplied by.
    strength: f64,
    /// The standard deviation of its blur.
    sigma: f64,
    /// How far the corners of the affine map move at most in each direction.
    corners: f64,
}

/// Numbers that are shares of a length.
const fn elastic(length: f64, [strength, sigma, corners]: [f64; 3]) -> Elastic {
    Elastic {
        strength: length * strength,
        sigma: length * sigma,
        corners: length * corners,
    }
}

/// The published program has 244, not 224.
const LARGE: f64 = 244.;
const SMALL: f64 = 32.;

const ELASTICS: Table<Elastic> = Table {
    large: [
        elastic(LARGE, [2., 0.7, 0.1]),
        elastic(LARGE, [2., 0.08, 0.2]),
        elastic(LARGE, [0.05, 0.01, 0.02]),
        elastic(LARGE, [0.07, 0.01, 0.02]),
        elastic(LARGE, [0.12, 0.01, 0.02]),
    ],
    small: [
        elastic(SMALL, [0., 0., 0.08]),
        elastic(SMALL, [0.05, 0.2, 0.07]),
        elastic(SMALL, [0.08, 0.06, 0.06]),
        elastic(SMALL, [0.1, 0.04, 0.05]),
        elastic(SMALL, [0.1, 0.03, 0.03]),
    ],
};

const TRUNCATE: f64 = 3.;
/// The most that a corner moves, as a share of the square's half side: what ImageNet-C has at 224
/// pixels, so that no smaller image is turned inside out.
const MOST: f64 = 2. / 3.;

/// An affine map that moves three corners of a square at random, then a field of random directions,
/// blurred; bilinear, mirrored beyond the edge.
pub(super) fn corrupt(image: &Image, severity: Severity, chance: &Chance) -> Result<Image, Error> {
    let pixels = Pixels::of(image);
    let elastic = ELASTICS.of(&pixels, severity);
    let corners = chance.uniform("corners", 6)?;
    let moved = elastic.with_corners_moved(&pixels, &corners);
    let field = |name| -> Result<Pixels, Error> {
        let drawn = chance.uniform(name, pixels.area())?;
        let directions = drawn.iter().map(|share| 2. * share - 1.).collect();
        let directions = Pixels::layer(pixels.height, pixels.width, directions);
        Ok(blurred(&directions, elastic.sigma, TRUNCATE, symmetric))
    };
    let along = field("along")?;
    let down = field("down")?;
    let source = |row: usize, column: usize| {
        let place = along.at(row, column);
        [
            row as f64 + elastic.strength * down.values[place],
            column as f64 + elastic.strength * along.values[place],
        ]
    };
    moved.sampled(source, symmetric).to_image()
}

impl Elastic {
    fn with_corners_moved(self, pixels: &Pixels, drawn: &[f64]) -> Pixels {
        let [x, y] = [pixels.width / 2, pixels.height / 2].map(|side| side as f64);
        let half = (pixels.height.min(pixels.width) / 3).max(1) as f64;
        let reach = self.corners.min(MOST * half);
        let old = [
            [x + half, y + half],
            [x + half, y - half],
            [x - half, y - half],
        ];
        let moved = |corner: usize, axis: usize| {
            old[corner][axis] + reach * (2. * drawn[2 * corner + axis] - 1.)
        };
        let new = [0, 1, 2].map(|corner| [moved(corner, 0), moved(corner, 1)]);
        let back = Back::new(new, old);
        pixels.sampled(|row, column| back.source(row, column), reflect_101)
    }
}

/// The affine map from places of the moved image to those of the image.
struct Back {
    corner: [f64; 2],
    source: [f64; 2],
    /// What a step along and a step down are in the image, `[x, y]` each.
    steps: [[f64; 2]; 2],
}

impl Back {
    /// The map that takes three points to three others.
    fn new(from: [[f64; 2]; 3], to: [[f64; 2]; 3]) -> Self {
        let side = |points: [[f64; 2]; 3], of: usize| {
            [0, 1].map(|axis| points[of][axis] - points[1][axis])
        };
        let [a, b] = [side(from, 0), side(from, 2)];
        let [to_a, to_b] = [side(to, 0), side(to, 2)];
        let determinant = a[0] * b[1] - a[1] * b[0];
        // Shares of both sides that a step along and a step down have.
        let along = [b[1] / determinant, -a[1] / determinant];
        let down = [-b[0] / determinant, a[0] / determinant];
        let step =
            |[of_a, of_b]: [f64; 2]| [0, 1].map(|axis| of_a * to_a[axis] + of_b * to_b[axis]);
        Self {
            corner: from[1],
            source: to[1],
            steps: [step(along), step(down)],
        }
    }

    /// Row and column in the image.
    fn source(&self, row: usize, column: usize) -> [f64; 2] {
        let along = column as f64 - self.corner[0];
        let down = row as f64 - self.corner[1];
        let [x, y] = [0, 1].map(|axis| {
            self.source[axis] + along * self.steps[0][axis] + down * self.steps[1][axis]
        });
        [y, x]
    }
}
