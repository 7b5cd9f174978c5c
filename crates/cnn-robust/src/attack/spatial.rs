//! Rotations and shifts (Engstrom et al. 2019, arXiv:1712.02779).

mod motion;

use super::checks::{at_least_one, not_negative};
use super::forms::scores_of;
use super::pgd::failures;
use super::{Attack, AttackBatch, MarginLoss};
use crate::{AttackedModel, Draw, Error, Images, LogitLoss, Threat};

pub use motion::{Fill, Motion};

/// How an attack looks among rotations and shifts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpatialSearch {
    /// All of a grid that is even from the lower limits to the upper ones.
    Grid {
        /// The number of angles.
        rotations: usize,
        /// The number of shifts in each of both directions.
        shifts: usize,
    },
    /// So many random ones: the paper's worst-of-k.
    Random {
        /// Their number.
        tries: usize,
    },
}

/// Looks for a rotation and a shift after which a network errs: the one whose margin is the best of
/// those that were tried, for each image. It asks for scores alone. The change is not in the ball
/// of any norm.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spatial {
    limits: Motion,
    search: SpatialSearch,
    fill: Fill,
}

impl Spatial {
    /// Rotations and shifts up to these, in both directions. The paper has 30 degrees, and a tenth
    /// of the side. Default: a grid of 31 angles and 5 shifts down and to the right, as in the
    /// paper, and black where nothing of the image comes to.
    ///
    /// # Errors
    /// [`Error::Argument`] if a limit is negative or not finite.
    pub fn new(limits: Motion) -> Result<Self, Error> {
        not_negative("degrees", limits.degrees)?;
        not_negative("down", limits.down)?;
        not_negative("right", limits.right)?;
        Ok(Self {
            limits,
            search: SpatialSearch::Grid {
                rotations: 31,
                shifts: 5,
            },
            fill: Fill::Black,
        })
    }

    /// What is tried. A single angle or shift of a grid is none at all.
    ///
    /// # Errors
    /// [`Error::Argument`] if a number is 0.
    pub fn with_search(self, search: SpatialSearch) -> Result<Self, Error> {
        match search {
            SpatialSearch::Grid { rotations, shifts } => {
                at_least_one("rotations", rotations)?;
                at_least_one("shifts", shifts)?;
            }
            SpatialSearch::Random { tries } => {
                at_least_one("tries", tries)?;
            }
        }
        Ok(Self { search, ..self })
    }

    /// What stands where nothing of the image comes to.
    #[must_use]
    pub fn with_fill(self, fill: Fill) -> Self {
        Self { fill, ..self }
    }

    /// What is tried for an image.
    fn motions(&self, batch: &AttackBatch<'_>) -> Result<Vec<Motion>, Error> {
        match self.search {
            SpatialSearch::Grid { rotations, shifts } => Ok(self.grid(rotations, shifts)),
            SpatialSearch::Random { tries } => {
                let draw = Draw::new("motion", batch.samples()[0]);
                let draws = batch.draws().uniform(draw, 3 * tries)?;
                let within = |limit: f64, draw: f64| limit * (2. * draw - 1.);
                let motion = |draws: &[f64]| Motion {
                    degrees: within(self.limits.degrees, draws[0]),
                    down: within(self.limits.down, draws[1]),
                    right: within(self.limits.right, draws[2]),
                };
                Ok(draws.chunks_exact(3).map(motion).collect())
            }
        }
    }

    fn grid(&self, rotations: usize, shifts: usize) -> Vec<Motion> {
        let mut motions = Vec::new();
        for degrees in even(self.limits.degrees, rotations) {
            for down in even(self.limits.down, shifts) {
                let of_shift = |right| Motion {
                    degrees,
                    down,
                    right,
                };
                motions.extend(even(self.limits.right, shifts).map(of_shift));
            }
        }
        motions
    }

    /// Attacks a batch of one image.
    fn worst(&self, model: &dyn AttackedModel, batch: &AttackBatch<'_>) -> Result<Images, Error> {
        let image = batch.images();
        let motions = self.motions(batch)?;
        let moved = motions.iter().map(|motion| {
            let mut moved = image.zeros_like();
            motion.apply(image.size(), image.image(0), self.fill, moved.image_mut(0));
            moved.values().to_vec()
        });
        let mut worst = image.clone();
        let mut best = f64::NEG_INFINITY;
        for (motion, scores) in motions.iter().zip(scores_of(model, image.size(), moved)?) {
            let margin = MarginLoss(batch).loss(0, &scores, &mut vec![0.; scores.len()]);
            if margin > best {
                best = margin;
                motion.apply(image.size(), image.image(0), self.fill, worst.image_mut(0));
            }
        }
        Ok(worst)
    }
}

impl Attack for Spatial {
    fn name(&self) -> &'static str {
        "spatial"
    }

    fn threat(&self) -> Option<Threat> {
        None
    }

    fn attack(&self, model: &dyn AttackedModel, batch: &AttackBatch<'_>) -> Result<Images, Error> {
        let mut images = batch.images().clone();
        for index in failures(batch, &model.logits(&images)?) {
            let found = self.worst(model, &batch.select(&[index]))?;
            images.replace(&[index], &found);
        }
        Ok(images)
    }
}

/// So many numbers from `−limit` to `limit`; one alone is 0.
fn even(limit: f64, count: usize) -> impl Iterator<Item = f64> {
    let steps = (count - 1).max(1) as f64;
    let first = if count == 1 { 0. } else { -limit };
    (0..count).map(move |step| first + 2. * limit * step as f64 / steps)
}
