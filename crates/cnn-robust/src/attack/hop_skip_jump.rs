//! Along the boundary by predictions alone: HopSkipJump (Chen et al. 2020, arXiv:1904.02144).

mod oracle;
mod search;

use super::checks::at_least_one;
use super::{Attack, AttackBatch};
use crate::{AttackedModel, Error, Images, Norm, Threat};

/// Looks for the smallest change with nothing but the predicted classes: from a point on the wrong
/// side of the boundary, a bisection goes to the boundary, the share of random directions that stay
/// on the wrong side gives the boundary's normal, and a step along it ends further inside.
///
/// It starts at the first of [`with_starts`](Self::with_starts) that the network takes for a wrong
/// class, or at noise; with targets it needs starts. It gives the nearest image that it found, a
/// thousandth beyond the boundary, or the image itself where no start was wrong.
#[derive(Clone, Debug, PartialEq)]
pub struct HopSkipJump {
    norm: Norm,
    steps: usize,
    directions: usize,
    max_queries: usize,
    starts: Option<Images>,
}

impl HopSkipJump {
    /// Measures changes by a norm. Default: 40 steps, of which the `n`th asks about `100 √n`
    /// directions, and at most 25,000 queries for each image.
    ///
    /// # Errors
    /// [`Error::Argument`] for L1, for which the method has no form.
    pub fn new(norm: Norm) -> Result<Self, Error> {
        if norm == Norm::L1 {
            return Err(Error::argument("norm", norm, "linf or l2"));
        }
        Ok(Self {
            norm,
            steps: 40,
            directions: 100,
            max_queries: 25_000,
            starts: None,
        })
    }

    /// How many steps.
    #[must_use]
    pub fn with_steps(self, steps: usize) -> Self {
        Self { steps, ..self }
    }

    /// How many directions the first step asks about.
    ///
    /// # Errors
    /// [`Error::Argument`] if it is 0.
    pub fn with_directions(self, directions: usize) -> Result<Self, Error> {
        let directions = at_least_one("directions", directions)?;
        Ok(Self { directions, ..self })
    }

    /// How many images it may ask about for each image under attack.
    #[must_use]
    pub fn with_max_queries(self, max_queries: usize) -> Self {
        Self {
            max_queries,
            ..self
        }
    }

    /// Images to start at, such as those of the target classes.
    #[must_use]
    pub fn with_starts(self, starts: Images) -> Self {
        Self {
            starts: Some(starts),
            ..self
        }
    }

    fn check_starts(&self, batch: &AttackBatch<'_>) -> Result<(), Error> {
        let size = batch.images().size();
        match &self.starts {
            Some(starts) if starts.size() != size => {
                let [found, wanted] = [starts.size(), size].map(|size| format!("{size:?}"));
                let expected = format!("{wanted}, the size of the attacked images");
                Err(Error::argument("starts", found, expected))
            }
            None if batch.targets().is_some() => {
                let expected = "images of the target classes, by HopSkipJump::with_starts";
                Err(Error::argument("starts", "none", expected))
            }
            _ => Ok(()),
        }
    }
}

impl Attack for HopSkipJump {
    fn name(&self) -> &'static str {
        "hopskipjump"
    }

    fn threat(&self) -> Option<Threat> {
        None
    }

    fn attack(&self, model: &dyn AttackedModel, batch: &AttackBatch<'_>) -> Result<Images, Error> {
        self.check_starts(batch)?;
        let mut images = batch.images().clone();
        for index in 0..batch.len() {
            let one = batch.select(&[index]);
            let found = self.find(model, &one)?;
            images.image_mut(index).copy_from_slice(&found);
        }
        Ok(images)
    }
}
