//! Steps to the nearest linearised boundary: DeepFool (Moosavi-Dezfooli et al. 2016,
//! arXiv:1511.04599).

use super::checks::{at_least_one, not_negative};
use super::{Attack, AttackBatch};
use crate::{AttackedModel, Error, Images, Logits, Norm, Threat};

/// Keeps a division by the size of a gradient finite.
const FLOOR: f64 = 1e-300;

/// Looks for the smallest change in L2: with the scores `z` linear at the image, the boundary to
/// class `k` is `|z_k − z_y| / ‖∇z_k − ∇z_y‖₂` away; a step goes to the nearest of them and a
/// little further, until the network takes the image for another class.
///
/// Of an image that it did not succeed on it gives the last try. The method has no form with
/// targets.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DeepFool {
    steps: usize,
    overshoot: f64,
    candidates: usize,
}

impl Default for DeepFool {
    fn default() -> Self {
        Self {
            steps: 50,
            overshoot: 0.02,
            candidates: 10,
        }
    }
}

impl DeepFool {
    /// Default: at most 50 steps, each 2 % further than the boundary; the 10 classes of the highest
    /// scores are looked at.
    pub fn new() -> Self {
        Self::default()
    }

    /// The largest number of steps.
    #[must_use]
    pub fn with_steps(self, steps: usize) -> Self {
        Self { steps, ..self }
    }

    /// How much further than the boundary a step goes, as a share of the way to it.
    ///
    /// # Errors
    /// [`Error::Argument`] if it is negative or not finite.
    pub fn with_overshoot(self, overshoot: f64) -> Result<Self, Error> {
        let overshoot = not_negative("overshoot", overshoot)?;
        Ok(Self { overshoot, ..self })
    }

    /// How many classes are looked at, those of the highest scores of the unchanged image, the
    /// label among them: a step costs as many gradients, less one.
    ///
    /// # Errors
    /// [`Error::Argument`] if there are fewer than two.
    pub fn with_candidates(self, candidates: usize) -> Result<Self, Error> {
        at_least_one("candidates", candidates.saturating_sub(1))
            .map_err(|_| Error::argument("candidates", candidates, "at least 2"))?;
        Ok(Self { candidates, ..self })
    }

    /// The classes other than the label that each image may be taken for, by their numbers.
    fn rivals(&self, batch: &AttackBatch<'_>, logits: &Logits) -> Vec<Vec<usize>> {
        let rivals = |(scores, label): (&[f64], &u32)| {
            let others = (0..scores.len()).filter(|class| *class != *label as usize);
            let mut others: Vec<usize> = others.collect();
            others.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
            others.truncate(self.candidates - 1);
            others.sort_unstable();
            others
        };
        logits.rows().zip(batch.labels()).map(rivals).collect()
    }
}

impl Attack for DeepFool {
    fn name(&self) -> &'static str {
        "deepfool"
    }

    fn threat(&self) -> Option<Threat> {
        None
    }

    fn attack(&self, model: &dyn AttackedModel, batch: &AttackBatch<'_>) -> Result<Images, Error> {
        if batch.targets().is_some() {
            let expected = "none: DeepFool goes to the nearest class, whichever it is";
            return Err(Error::argument("targets", "some", expected));
        }
        let mut images = batch.images().clone();
        let mut logits = model.logits(&images)?;
        let rivals = self.rivals(batch, &logits);
        let mut running: Vec<usize> = (0..batch.len()).collect();
        for _ in 0..self.steps {
            let goes_on = |place: &usize| !batch.is_success(running[*place], logits.row(*place));
            let places: Vec<usize> = (0..running.len()).filter(goes_on).collect();
            running = places.iter().map(|&place| running[place]).collect();
            if running.is_empty() {
                break;
            }
            let now = images.select(&running);
            let part = batch.select(&running);
            let rivals: Vec<&[usize]> = running.iter().map(|&at| rivals[at].as_slice()).collect();
            let step = nearest_boundary(model, &now, part.labels(), &rivals)?;
            let moved = now.plus(&step, 1. + self.overshoot).within_unit();
            logits = model.logits(&moved)?;
            images.replace(&running, &moved);
        }
        Ok(images)
    }
}

/// The step of each image to the nearest of its linearised boundaries.
fn nearest_boundary(
    model: &dyn AttackedModel,
    images: &Images,
    labels: &[u32],
    rivals: &[&[usize]],
) -> Result<Images, Error> {
    let mut steps = images.zeros_like();
    let mut nearest = vec![f64::INFINITY; images.len()];
    let count = rivals.iter().map(|rivals| rivals.len()).max().unwrap_or(0);
    for place in 0..count {
        let classes: Vec<usize> = rivals.iter().map(|rivals| rivals[place]).collect();
        let ahead = |index: usize, logits: &[f64], gradient: &mut [f64]| {
            let label = labels[index] as usize;
            let class = classes[index];
            gradient[class] = 1.;
            gradient[label] = -1.;
            logits[class] - logits[label]
        };
        let found = model.gradient(images, &ahead)?;
        for (index, margin) in found.losses.iter().enumerate() {
            let gradient = found.images.image(index);
            let size = Norm::L2.size(gradient).max(FLOOR);
            if margin.abs() / size < nearest[index] {
                nearest[index] = margin.abs() / size;
                let factor = margin.abs() / size / size;
                for (step, value) in steps.image_mut(index).iter_mut().zip(gradient) {
                    *step = value * factor;
                }
            }
        }
    }
    Ok(steps)
}
