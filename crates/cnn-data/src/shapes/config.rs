//! The settings of the dataset `shapes`.

use std::ops::RangeInclusive;

use super::ShapesDomain;
use crate::{Error, Split};

/// The most objects that an image can be asked to hold.
const MAX_OBJECTS: usize = 16;
const MIN_SIDE: usize = 8;
const MAX_SIDE: usize = 4096;

/// Settings of [`Shapes`](super::Shapes), checked by [`Shapes::new`](super::Shapes::new).
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ShapesConfig {
    /// Height and width of every image in pixels, 8 to 4096 each; 32×32 by default.
    pub size: [usize; 2],
    /// Number of images, at least 1; 4000 by default.
    pub samples: usize,
    /// The seed of all randomness; 0 by default.
    pub seed: u64,
    /// Which of the disjoint streams of images; [`Split::Train`] by default.
    pub split: Split,
    /// How many objects an image holds, within 1 to 16; exactly one by default. An image that has
    /// no room left for another object holds fewer.
    pub objects: RangeInclusive<usize>,
    /// How hard the objects are to recognise, from 0, where a glance is enough, to 1; 0.5 by
    /// default. It sets contrast, sizes, rotation, occluding strokes, clutter, blur and noise.
    pub difficulty: f64,
    /// What the scenes look like; [`ShapesDomain::Day`] by default.
    pub domain: ShapesDomain,
}

impl Default for ShapesConfig {
    fn default() -> Self {
        Self {
            size: [32, 32],
            samples: 4000,
            seed: 0,
            split: Split::Train,
            objects: 1..=1,
            difficulty: 0.5,
            domain: ShapesDomain::Day,
        }
    }
}

impl ShapesConfig {
    /// Sets height and width.
    #[must_use]
    pub fn with_size(self, height: usize, width: usize) -> Self {
        Self {
            size: [height, width],
            ..self
        }
    }

    /// Sets the number of images.
    #[must_use]
    pub fn with_samples(self, samples: usize) -> Self {
        Self { samples, ..self }
    }

    /// Sets the seed.
    #[must_use]
    pub fn with_seed(self, seed: u64) -> Self {
        Self { seed, ..self }
    }

    /// Sets the split.
    #[must_use]
    pub fn with_split(self, split: Split) -> Self {
        Self { split, ..self }
    }

    /// Sets how many objects an image holds.
    #[must_use]
    pub fn with_objects(self, objects: RangeInclusive<usize>) -> Self {
        Self { objects, ..self }
    }

    /// Sets the difficulty.
    #[must_use]
    pub fn with_difficulty(self, difficulty: f64) -> Self {
        Self { difficulty, ..self }
    }

    /// Sets the domain.
    #[must_use]
    pub fn with_domain(self, domain: ShapesDomain) -> Self {
        Self { domain, ..self }
    }

    pub(super) fn check(&self) -> Result<(), Error> {
        let [height, width] = self.size;
        let sides = MIN_SIDE..=MAX_SIDE;
        if !sides.contains(&height) || !sides.contains(&width) {
            let expected = format!("{MIN_SIDE} to {MAX_SIDE} pixels on each side");
            return Err(Error::argument(
                "size",
                format!("{height}x{width}"),
                expected,
            ));
        }
        if self.samples == 0 {
            return Err(Error::argument("samples", 0, "at least 1"));
        }
        let fewest = *self.objects.start();
        let most = *self.objects.end();
        if fewest == 0 || fewest > most || most > MAX_OBJECTS {
            let expected = format!("a range within 1 to {MAX_OBJECTS} that is not empty");
            return Err(Error::argument(
                "objects",
                format!("{fewest}..={most}"),
                expected,
            ));
        }
        if !(0.0..=1.0).contains(&self.difficulty) {
            return Err(Error::argument(
                "difficulty",
                self.difficulty,
                "a number from 0 to 1",
            ));
        }
        Ok(())
    }
}
