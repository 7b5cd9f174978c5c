//! Gradients guessed from scores: SPSA (Uesato et al. 2018, arXiv:1802.05666; Spall 1992).

use super::adam::Adam;
use super::checks::{at_least_one, positive};
use super::fgsm::sign;
use super::forms::scores_of;
use super::{Attack, AttackBatch, MarginLoss};
use crate::{AttackedModel, Draw, Error, Images, LogitLoss, Norm, Threat};

/// Goes up the margin `m` of the wanted class within an L∞ ball by guesses of its gradient: the
/// mean of `(m(x + δ v) − m(x − δ v)) / 2δ · v` over random `v` of ±1, as steps of Adam. It asks
/// for scores alone, so a gradient that a defence hides does not stop it.
///
/// An image is left as soon as it succeeded. At most `steps · (2 · directions + 1)` queries.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spsa {
    threat: Threat,
    steps: usize,
    directions: usize,
    reach: f64,
    step_size: f64,
}

impl Spsa {
    /// Looks in the L∞ ball of radius `eps`. Default: 100 steps of 0.01, each by 64 directions and
    /// the reach `δ = 0.01`. The paper goes up to 4,096 directions.
    ///
    /// # Errors
    /// [`Error::Argument`] as [`Threat::new`].
    pub fn new(eps: f64) -> Result<Self, Error> {
        Ok(Self {
            threat: Threat::new(Norm::Linf, eps)?,
            steps: 100,
            directions: 64,
            reach: 0.01,
            step_size: 0.01,
        })
    }

    /// The largest number of steps.
    #[must_use]
    pub fn with_steps(self, steps: usize) -> Self {
        Self { steps, ..self }
    }

    /// How many random directions a guess is the mean of.
    ///
    /// # Errors
    /// [`Error::Argument`] if it is 0.
    pub fn with_directions(self, directions: usize) -> Result<Self, Error> {
        let directions = at_least_one("directions", directions)?;
        Ok(Self { directions, ..self })
    }

    /// How far from the image the scores are asked for: `δ`.
    ///
    /// # Errors
    /// [`Error::Argument`] if it is not above 0 or not finite.
    pub fn with_reach(self, reach: f64) -> Result<Self, Error> {
        let reach = positive("reach", reach)?;
        Ok(Self { reach, ..self })
    }

    /// The step size of Adam.
    ///
    /// # Errors
    /// [`Error::Argument`] if it is not above 0 or not finite.
    pub fn with_step_size(self, step_size: f64) -> Result<Self, Error> {
        let step_size = positive("step_size", step_size)?;
        Ok(Self { step_size, ..self })
    }

    /// The guess at a point; none if the attack has succeeded there.
    fn guess(
        &self,
        model: &dyn AttackedModel,
        batch: &AttackBatch<'_>,
        point: &Images,
        step: usize,
    ) -> Result<Option<Vec<f64>>, Error> {
        let values = point.image(0);
        let draw = Draw::new("direction", batch.samples()[0]).in_step(step);
        let draws = batch
            .draws()
            .uniform(draw, self.directions * values.len())?;
        let signs: Vec<f64> = draws.into_iter().map(|draw| sign(draw - 0.5)).collect();
        let moved = |direction: &[f64], by: f64| -> Vec<f64> {
            let pairs = values.iter().zip(direction);
            pairs.map(|(value, sign)| value + by * sign).collect()
        };
        let directions = signs.chunks_exact(values.len());
        let both = directions
            .clone()
            .flat_map(|signs| [moved(signs, self.reach), moved(signs, -self.reach)]);
        let here = scores_of(model, point.size(), [values.to_vec()])?;
        if batch.is_success(0, &here[0]) {
            return Ok(None);
        }
        let scores = scores_of(model, point.size(), both)?;
        let margin =
            |scores: &[f64]| MarginLoss(batch).loss(0, scores, &mut vec![0.; scores.len()]);
        let mut gradient = vec![0.; values.len()];
        for (signs, pair) in directions.zip(scores.chunks_exact(2)) {
            let slope = (margin(&pair[0]) - margin(&pair[1])) / (2. * self.reach);
            for (gradient, sign) in gradient.iter_mut().zip(signs) {
                *gradient += slope * sign / self.directions as f64;
            }
        }
        Ok(Some(gradient))
    }

    /// Attacks a batch of one image.
    fn ascend(&self, model: &dyn AttackedModel, batch: &AttackBatch<'_>) -> Result<Images, Error> {
        let mut point = batch.images().clone();
        let mut adam = Adam::new(point.values_per_image());
        for step in 0..self.steps {
            let Some(gradient) = self.guess(model, batch, &point, step)? else {
                break;
            };
            adam.step(point.image_mut(0), &gradient, self.step_size);
            point = self.threat.project(&point, batch.images());
        }
        Ok(point)
    }
}

impl Attack for Spsa {
    fn name(&self) -> &'static str {
        "spsa"
    }

    fn threat(&self) -> Option<Threat> {
        Some(self.threat)
    }

    fn attack(&self, model: &dyn AttackedModel, batch: &AttackBatch<'_>) -> Result<Images, Error> {
        let mut images = batch.images().clone();
        for index in 0..batch.len() {
            let found = self.ascend(model, &batch.select(&[index]))?;
            images.replace(&[index], &found);
        }
        Ok(images)
    }
}
