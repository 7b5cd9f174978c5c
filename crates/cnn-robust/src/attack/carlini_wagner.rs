//! The smallest change in L2 by descent: Carlini & Wagner 2017, arXiv:1608.04644, section VI.A.

mod weight_search;

use super::adam::Adam;
use super::checks::{at_least_one, not_negative, positive};
use super::{Attack, AttackBatch, MarginLoss};
use crate::{AttackedModel, Error, Images, LogitLoss, Threat};
use weight_search::WeightSearch;

/// How near to black and white a value is at the start, where `tanh` has a slope.
const EDGE: f64 = 1. - 1e-6;
/// How often in a descent it is asked whether the cost still falls.
const CHECKS: usize = 10;

/// Minimises `‖x′ − x‖² + c · max(z_y − max_{i≠y} z_i, −κ)` with `x′ = (tanh w + 1) / 2` by Adam,
/// so that values stay in 0..1 by themselves; with a target `t` the second term is `max(max_{i≠t}
/// z_i − z_t, −κ)`. A binary search finds the weight `c` of each image.
///
/// It gives the nearest image that it succeeded on, or the image itself. What becomes of an image
/// does not depend on its batch: a descent that no longer falls ends for that image alone.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CarliniWagner {
    weight: f64,
    search_steps: usize,
    confidence: f64,
    steps: usize,
    step_size: f64,
    early_stop: bool,
}

impl Default for CarliniWagner {
    fn default() -> Self {
        Self {
            weight: 1.,
            search_steps: 9,
            confidence: 0.,
            steps: 200,
            step_size: 0.005,
            early_stop: false,
        }
    }
}

impl CarliniWagner {
    /// Default: 9 weights beginning with `c = 1`, for each a descent of 200 steps of 0.005, so
    /// 1,800 gradients for each image, and the confidence `κ = 0`. The paper's own program goes up
    /// to 10,000 steps of 0.01 for each weight; so few as here leave a smaller change with shorter
    /// ones.
    pub fn new() -> Self {
        Self::default()
    }

    /// The first weight `c` of the scores.
    ///
    /// # Errors
    /// [`Error::Argument`] if it is not above 0 or not finite.
    pub fn with_weight(self, weight: f64) -> Result<Self, Error> {
        let weight = positive("weight", weight)?;
        Ok(Self { weight, ..self })
    }

    /// How many weights are tried: with 1 the first alone, as torchattacks does.
    ///
    /// # Errors
    /// [`Error::Argument`] if it is 0.
    pub fn with_search_steps(self, search_steps: usize) -> Result<Self, Error> {
        let search_steps = at_least_one("search_steps", search_steps)?;
        Ok(Self {
            search_steps,
            ..self
        })
    }

    /// How far the wanted class has to be ahead of the others: `κ`, in the units of the scores.
    ///
    /// # Errors
    /// [`Error::Argument`] if it is negative or not finite.
    pub fn with_confidence(self, confidence: f64) -> Result<Self, Error> {
        let confidence = not_negative("confidence", confidence)?;
        Ok(Self { confidence, ..self })
    }

    /// The largest number of steps of a descent.
    #[must_use]
    pub fn with_steps(self, steps: usize) -> Self {
        Self { steps, ..self }
    }

    /// The step size of Adam.
    ///
    /// # Errors
    /// [`Error::Argument`] if it is not above 0 or not finite.
    pub fn with_step_size(self, step_size: f64) -> Result<Self, Error> {
        let step_size = positive("step_size", step_size)?;
        Ok(Self { step_size, ..self })
    }

    /// Whether an image's descent ends when its cost has not fallen within a tenth of the steps, as
    /// torchattacks has it. That is faster and leaves larger changes, for the cost rises where the
    /// attack succeeds first. Default: no.
    #[must_use]
    pub fn with_early_stop(self, early_stop: bool) -> Self {
        Self { early_stop, ..self }
    }

    /// A descent of each image with its weight; says which it succeeded on.
    fn descend(
        &self,
        model: &dyn AttackedModel,
        batch: &AttackBatch<'_>,
        searches: &[WeightSearch],
        best: &mut Best,
    ) -> Result<Vec<bool>, Error> {
        let clean = batch.images();
        let mut inner = clean.map(|value| (2. * value - 1.).clamp(-EDGE, EDGE).atanh());
        let mut adams = vec![Adam::new(clean.values_per_image()); clean.len()];
        let mut earlier = vec![f64::INFINITY; clean.len()];
        let mut succeeded = vec![false; clean.len()];
        let mut running: Vec<usize> = (0..clean.len()).collect();
        for step in 0..self.steps {
            if running.is_empty() {
                break;
            }
            let part = batch.select(&running);
            let images = inner.select(&running).map(|value| (value.tanh() + 1.) / 2.);
            let reward = Reward {
                margin: MarginLoss(&part),
                confidence: self.confidence,
            };
            let found = model.gradient(&images, &reward)?;
            let mut ended = Vec::new();
            for (place, &index) in running.iter().enumerate() {
                let weight = searches[index].weight;
                let reward = found.losses[place];
                let image = images.image(place);
                let change = pairwise(image, clean.image(index), |a, b| a - b);
                let distance: f64 = change.iter().map(|value| value * value).sum();
                let is_sure = reward >= self.confidence;
                if is_sure && part.is_success(place, found.logits.row(place)) {
                    succeeded[index] = true;
                    best.keep(index, image, distance);
                }
                let outer = pairwise(&change, found.images.image(place), |change, gradient| {
                    2. * change - weight * gradient
                });
                // The slope of (tanh w + 1) / 2 at the image x is 2 x (1 − x).
                let gradient = pairwise(&outer, image, |outer, value| {
                    outer * 2. * value * (1. - value)
                });
                adams[index].step(inner.image_mut(index), &gradient, -self.step_size);
                let cost = distance - weight * reward;
                let is_check = self.early_stop && step % (self.steps / CHECKS).max(1) == 0;
                if is_check && cost > std::mem::replace(&mut earlier[index], cost) {
                    ended.push(index);
                }
            }
            running.retain(|index| !ended.contains(index));
        }
        Ok(succeeded)
    }
}

impl Attack for CarliniWagner {
    fn name(&self) -> &'static str {
        "cw"
    }

    fn threat(&self) -> Option<Threat> {
        None
    }

    fn attack(&self, model: &dyn AttackedModel, batch: &AttackBatch<'_>) -> Result<Images, Error> {
        let mut searches = vec![WeightSearch::new(self.weight); batch.len()];
        let mut best = Best {
            images: batch.images().clone(),
            distances: vec![f64::INFINITY; batch.len()],
        };
        for _ in 0..self.search_steps {
            let succeeded = self.descend(model, batch, &searches, &mut best)?;
            for (search, succeeded) in searches.iter_mut().zip(succeeded) {
                search.go_on(succeeded);
            }
        }
        Ok(best.images)
    }
}

/// The margin, as far as it is wanted: `min(margin, κ)`.
struct Reward<'a> {
    margin: MarginLoss<'a>,
    confidence: f64,
}

impl LogitLoss for Reward<'_> {
    fn loss(&self, index: usize, logits: &[f64], gradient: &mut [f64]) -> f64 {
        let margin = self.margin.loss(index, logits, gradient);
        if margin > self.confidence {
            gradient.fill(0.);
        }
        margin.min(self.confidence)
    }
}

/// The nearest images so far.
struct Best {
    images: Images,
    /// The squares of their distances.
    distances: Vec<f64>,
}

impl Best {
    fn keep(&mut self, index: usize, image: &[f64], distance: f64) {
        if distance < self.distances[index] {
            self.distances[index] = distance;
            self.images.image_mut(index).copy_from_slice(image);
        }
    }
}

fn pairwise(a: &[f64], b: &[f64], function: impl Fn(f64, f64) -> f64) -> Vec<f64> {
    a.iter().zip(b).map(|(&a, &b)| function(a, b)).collect()
}
