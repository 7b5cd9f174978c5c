//! Projected gradient ascent: PGD (Madry et al. 2018, arXiv:1706.06083) in L∞ and L2, and with
//! sparse steps in L1 (Tramèr & Boneh 2019, arXiv:1904.13000); without a random start in L∞ it is
//! BIM (Kurakin et al. 2017, arXiv:1607.02533).

use super::checks::not_negative;
use super::fgsm::sign;
use super::{Attack, AttackBatch, CrossEntropyLoss};
use crate::{AttackedModel, Draw, Error, Images, LogitLoss, Logits, Norm, Threat};

/// Keeps a division by the size of a gradient finite.
const FLOOR: f64 = 1e-10;
/// The share of values that a step in L1 changes.
const L1_SHARE: f64 = 0.01;

/// Steps along the gradient of the cross-entropy, each followed by a projection to the allowed
/// changes.
///
/// A step in L∞ goes along the gradient's sign, in L2 along its direction, in L1 along the signs of
/// its largest values alone.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pgd {
    threat: Threat,
    steps: usize,
    step_size: f64,
    restarts: usize,
    random_start: bool,
    early_stop: bool,
}

impl Pgd {
    /// Looks in a ball. Default: 40 steps of `2.5 ε / 40`, one random start, no early stop.
    pub fn new(threat: Threat) -> Self {
        Self {
            threat,
            steps: 40,
            step_size: 2.5 * threat.eps / 40.,
            restarts: 1,
            random_start: true,
            early_stop: false,
        }
    }

    /// How many steps, of `2.5 ε / steps` each: enough to reach the ball's other side.
    #[must_use]
    pub fn with_steps(self, steps: usize) -> Self {
        Self {
            steps,
            step_size: 2.5 * self.threat.eps / steps.max(1) as f64,
            ..self
        }
    }

    /// How far a step goes, in the norm.
    ///
    /// # Errors
    /// [`Error::Argument`] if it is negative or not finite.
    pub fn with_step_size(self, step_size: f64) -> Result<Self, Error> {
        let step_size = not_negative("step_size", step_size)?;
        Ok(Self { step_size, ..self })
    }

    /// How often it starts, each time for the images that it did not succeed on before.
    #[must_use]
    pub fn with_restarts(self, restarts: usize) -> Self {
        Self {
            restarts: restarts.max(1),
            ..self
        }
    }

    /// Whether it starts at a random point of the ball, or at the image.
    #[must_use]
    pub fn with_random_start(self, random_start: bool) -> Self {
        Self {
            random_start,
            ..self
        }
    }

    /// Whether an image is left as soon as the attack has succeeded on it. That costs nothing, for
    /// its scores come with the next step's gradient.
    #[must_use]
    pub fn with_early_stop(self, early_stop: bool) -> Self {
        Self { early_stop, ..self }
    }

    /// The step of size 1 in the norm along each image's gradient.
    pub(crate) fn step(&self, gradient: &Images) -> Images {
        let mut step = gradient.clone();
        for index in 0..step.len() {
            direction(self.threat.norm, step.image_mut(index));
        }
        step
    }

    fn start(&self, batch: &AttackBatch<'_>, restart: usize) -> Result<Images, Error> {
        if !self.random_start {
            return Ok(batch.images().clone());
        }
        random_start(self.threat, batch, restart)
    }

    /// Steps from a start of its own along the gradient of a loss of its own, of all images to the
    /// end.
    pub(crate) fn ascend_from(
        &self,
        model: &dyn AttackedModel,
        batch: &AttackBatch<'_>,
        start: Images,
        loss: &dyn LogitLoss,
    ) -> Result<Images, Error> {
        let mut images = self.threat.project(&start, batch.images());
        for _ in 0..self.steps {
            let step = self.step(&model.gradient(&images, loss)?.images);
            let moved = images.plus(&step, self.step_size);
            images = self.threat.project(&moved, batch.images());
        }
        Ok(images)
    }

    /// All steps from a start.
    pub(super) fn ascend(
        &self,
        model: &dyn AttackedModel,
        batch: &AttackBatch<'_>,
        start: Images,
    ) -> Result<Images, Error> {
        let mut images = start;
        let mut running: Vec<usize> = (0..batch.len()).collect();
        for _ in 0..self.steps {
            let part = batch.select(&running);
            let now = images.select(&running);
            let gradient = model.gradient(&now, &CrossEntropyLoss(&part))?;
            let step = self.step(&gradient.images);
            let moved = self
                .threat
                .project(&now.plus(&step, self.step_size), part.images());
            let goes_on = |place: &usize| {
                !(self.early_stop && part.is_success(*place, gradient.logits.row(*place)))
            };
            let places: Vec<usize> = (0..running.len()).filter(goes_on).collect();
            running = places.iter().map(|&place| running[place]).collect();
            images.replace(&running, &moved.select(&places));
            if running.is_empty() {
                break;
            }
        }
        Ok(images)
    }
}

impl Attack for Pgd {
    fn name(&self) -> &'static str {
        match (self.threat.norm, self.random_start) {
            (Norm::Linf, false) => "bim",
            _ => "pgd",
        }
    }

    fn threat(&self) -> Option<Threat> {
        Some(self.threat)
    }

    fn attack(&self, model: &dyn AttackedModel, batch: &AttackBatch<'_>) -> Result<Images, Error> {
        let mut images = self.ascend(model, batch, self.start(batch, 0)?)?;
        for restart in 1..self.restarts {
            let failed = failures(batch, &model.logits(&images)?);
            if failed.is_empty() {
                break;
            }
            let again = batch.select(&failed);
            let start = self.start(&again, restart)?;
            images.replace(&failed, &self.ascend(model, &again, start)?);
        }
        Ok(images)
    }
}

/// The places of the images that the attack did not succeed on.
pub(crate) fn failures(batch: &AttackBatch<'_>, logits: &Logits) -> Vec<usize> {
    let successes = batch.successes(logits);
    (0..batch.len())
        .filter(|&index| !successes[index])
        .collect()
}

/// A random point of each image's ball.
pub(super) fn random_start(
    threat: Threat,
    batch: &AttackBatch<'_>,
    restart: usize,
) -> Result<Images, Error> {
    let clean = batch.images();
    let mut change = clean.zeros_like();
    for (index, &sample) in batch.samples().iter().enumerate() {
        let draw = Draw::new("start", sample).in_restart(restart);
        random_change(threat, batch, draw, change.image_mut(index))?;
    }
    Ok(threat.project(&clean.plus(&change, 1.), clean))
}

/// A random change in the ball: uniform in L∞, in L2 and L1 a random direction with a uniform
/// length.
fn random_change(
    threat: Threat,
    batch: &AttackBatch<'_>,
    draw: Draw,
    change: &mut [f64],
) -> Result<(), Error> {
    let draws = batch.draws();
    if threat.norm == Norm::Linf {
        let values = draws.uniform(draw, change.len())?;
        for (change, value) in change.iter_mut().zip(values) {
            *change = (2. * value - 1.) * threat.eps;
        }
        return Ok(());
    }
    let direction = draws.normal(draw, change.len())?;
    let length = Draw {
        name: "start_length",
        ..draw
    };
    let length = draws.uniform(length, 1)?[0];
    let factor = length * threat.eps / threat.norm.size(&direction).max(FLOOR);
    for (change, value) in change.iter_mut().zip(direction) {
        *change = value * factor;
    }
    Ok(())
}

/// Makes of a gradient the step of size 1 that goes up most, or a sparse one in L1.
pub(super) fn direction(norm: Norm, gradient: &mut [f64]) {
    match norm {
        Norm::Linf => gradient.iter_mut().for_each(|value| *value = sign(*value)),
        Norm::L2 => {
            let size = Norm::L2.size(gradient) + FLOOR;
            gradient.iter_mut().for_each(|value| *value /= size);
        }
        Norm::L1 => {
            let kept =
                ((gradient.len() as f64 * L1_SHARE).ceil() as usize).clamp(1, gradient.len());
            let mut magnitudes: Vec<f64> = gradient.iter().map(|value| value.abs()).collect();
            let (_, threshold, _) =
                magnitudes.select_nth_unstable_by(kept - 1, |a, b| b.total_cmp(a));
            let threshold = *threshold;
            let is_large = |value: f64| value != 0. && value.abs() >= threshold;
            let count = gradient
                .iter()
                .filter(|value| is_large(**value))
                .count()
                .max(1) as f64;
            for value in gradient {
                *value = if is_large(*value) {
                    sign(*value) / count
                } else {
                    0.
                };
            }
        }
    }
}
