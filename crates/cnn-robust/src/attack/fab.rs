//! Steps to the nearest point of the decision boundary: FAB-T (Croce & Hein 2020,
//! arXiv:1907.02044), in the form with targets that AutoAttack uses (arXiv:2003.01690).

use super::apgd::aimed;
use super::pgd::failures;
use super::projection::Hyperplane;
use super::{Attack, AttackBatch};
use crate::{AttackedModel, Draw, Error, Images, Norm, Threat};

/// The largest weight of the way that starts at the clean image.
const ALPHA_MAX: f64 = 0.1;
/// How much farther than to the plane a step goes.
const OVERSHOOT: f64 = 1.05;
/// How much of a change that succeeded is kept.
const BACKWARD: f64 = 0.9;

/// Looks for the smallest change: it takes the boundary between the label and a target class for a
/// plane, goes to the nearest point of that in 0..1, and where the model errs comes back towards
/// the image.
///
/// With `d(x)` the smallest change that brings `x` to the plane of the linearised scores at `x_k`,
/// and `α = min(‖d(x_k)‖ / (‖d(x_k)‖ + ‖d(x_clean)‖), 0.1)`,
///
/// ```text
/// x_{k+1} = (1 − α) (x_k + 1.05 d(x_k)) + α (x_clean + 1.05 d(x_clean))
/// ```
///
/// Of an image on which no change within the ball succeeded it gives the image itself. Images that
/// the model errs on beforehand are left alone. A batch with targets is led to these alone.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FabT {
    threat: Threat,
    classes: usize,
    steps: usize,
    restarts: usize,
    early_stop: bool,
}

/// An image on its way along the boundary.
struct Walk {
    image: Vec<f64>,
    smallest: Option<Found>,
}

/// A change that succeeded.
struct Found {
    size: f64,
    image: Vec<f64>,
}

/// One walk of all images that still stand.
#[derive(Clone, Copy)]
struct Run {
    /// Its place among all runs, by which its start is drawn.
    number: usize,
    /// Whether it starts at a random point and not at the image.
    is_random: bool,
}

impl FabT {
    /// Looks in a ball. Default: 100 steps from the image, towards each of the 9 most likely other
    /// classes, or of as many as there are; all steps.
    pub fn new(threat: Threat) -> Self {
        Self {
            threat,
            classes: 9,
            steps: 100,
            restarts: 1,
            early_stop: false,
        }
    }

    /// Towards how many classes it goes.
    #[must_use]
    pub fn with_target_classes(self, classes: usize) -> Self {
        Self {
            classes: classes.max(1),
            ..self
        }
    }

    /// How many steps each walk has.
    #[must_use]
    pub fn with_steps(self, steps: usize) -> Self {
        Self { steps, ..self }
    }

    /// How often it starts for each class: at the image, then at random points half as far away as
    /// the ball reaches.
    #[must_use]
    pub fn with_restarts(self, restarts: usize) -> Self {
        Self {
            restarts: restarts.max(1),
            ..self
        }
    }

    /// Whether an image is left as soon as a change within the ball has succeeded, without looking
    /// for a smaller one. It succeeds on the same images then.
    #[must_use]
    pub fn with_early_stop(self, early_stop: bool) -> Self {
        Self { early_stop, ..self }
    }

    fn is_within(&self, walk: &Walk) -> bool {
        let smallest = walk.smallest.as_ref();
        smallest.is_some_and(|found| found.size <= self.threat.eps)
    }

    fn start(&self, batch: &AttackBatch<'_>, index: usize, run: Run) -> Result<Vec<f64>, Error> {
        let clean = batch.images().image(index);
        if !run.is_random {
            return Ok(clean.to_vec());
        }
        let draw = Draw::new("start", batch.samples()[index]).in_restart(run.number);
        let change: Vec<f64> = match self.threat.norm {
            Norm::Linf => {
                let values = batch.draws().uniform(draw, clean.len())?;
                values.iter().map(|value| 2. * value - 1.).collect()
            }
            Norm::L2 | Norm::L1 => batch.draws().normal(draw, clean.len())?,
        };
        let size = self.threat.norm.size(&change).max(f64::MIN_POSITIVE);
        let factor = self.threat.eps / 2. / size;
        let pairs = clean.iter().zip(change);
        Ok(pairs.map(|(x, d)| (x + factor * d).clamp(0., 1.)).collect())
    }

    /// Lets all images of a batch walk towards the classes of `aim`.
    fn walk(
        &self,
        model: &dyn AttackedModel,
        batch: &AttackBatch<'_>,
        aim: &AttackBatch<'_>,
        run: Run,
    ) -> Result<Vec<Walk>, Error> {
        let start = |index| self.start(batch, index, run);
        let starts = (0..batch.len()).map(start);
        let walks = starts.map(|image| {
            image.map(|image| Walk {
                image,
                smallest: None,
            })
        });
        let mut walks: Vec<Walk> = walks.collect::<Result<_, _>>()?;
        let mut running: Vec<usize> = (0..walks.len()).collect();
        for _ in 0..self.steps {
            running.retain(|&index| !(self.early_stop && self.is_within(&walks[index])));
            if running.is_empty() {
                break;
            }
            let part = aim.select(&running);
            let gradient = model.gradient(&gather(batch, &walks, &running)?, &towards(&part))?;
            for (place, &index) in running.iter().enumerate() {
                let difference = gradient.losses[place];
                let slope = gradient.images.image(place);
                walks[index].step(
                    self.threat.norm,
                    batch.images().image(index),
                    difference,
                    slope,
                );
            }
            let logits = model.logits(&gather(batch, &walks, &running)?)?;
            for (place, &index) in running.iter().enumerate() {
                if batch.is_success(index, logits.row(place)) {
                    walks[index].keep(self.threat.norm, batch.images().image(index));
                }
            }
        }
        Ok(walks)
    }
}

impl Walk {
    /// Goes on to where the scores' `difference` would be 0 by its `slope`.
    fn step(&mut self, norm: Norm, clean: &[f64], difference: f64, slope: &[f64]) {
        let pairs = slope.iter().zip(&self.image);
        let here: f64 = pairs.map(|(w, x)| w * x).sum();
        let plane = Hyperplane {
            normal: slope,
            offset: here - difference,
        };
        let onward = plane.change_to(norm, &self.image);
        let afresh = plane.change_to(norm, clean);
        let length = |change: &[f64]| norm.size(change).max(1e-8);
        let share = length(&onward) / (length(&onward) + length(&afresh));
        let share = share.min(ALPHA_MAX);
        let from_here = self.image.iter_mut().zip(onward);
        let from_clean = clean.iter().zip(afresh);
        for ((x, onward), (clean, afresh)) in from_here.zip(from_clean) {
            let here = *x + OVERSHOOT * onward;
            let there = clean + OVERSHOOT * afresh;
            *x = (here * (1. - share) + there * share).clamp(0., 1.);
        }
    }

    /// The model errs on where it is: keeps that if it is the nearest so far, and goes back a
    /// little.
    fn keep(&mut self, norm: Norm, clean: &[f64]) {
        let pairs = self.image.iter().zip(clean);
        let change: Vec<f64> = pairs.map(|(a, b)| a - b).collect();
        let size = norm.size(&change);
        if self.smallest.as_ref().is_none_or(|found| size < found.size) {
            self.smallest = Some(Found {
                size,
                image: self.image.clone(),
            });
        }
        let pairs = clean.iter().zip(change);
        self.image = pairs.map(|(x, d)| x + BACKWARD * d).collect();
    }
}

/// The images where the walks of these numbers are.
fn gather(batch: &AttackBatch<'_>, walks: &[Walk], running: &[usize]) -> Result<Images, Error> {
    let values = running.iter().flat_map(|&index| &walks[index].image);
    let size = batch.images().size();
    Images::new(running.len(), size, values.copied().collect())
}

/// How much the target's score is above the label's.
fn towards<'a>(aim: &'a AttackBatch<'_>) -> impl Fn(usize, &[f64], &mut [f64]) -> f64 + 'a {
    |index, logits, gradient| {
        let label = aim.labels()[index] as usize;
        let target = aim.targets().unwrap_or(aim.labels())[index] as usize;
        gradient[target] += 1.;
        gradient[label] -= 1.;
        logits[target] - logits[label]
    }
}

impl Attack for FabT {
    fn name(&self) -> &'static str {
        "fab-t"
    }

    fn threat(&self) -> Option<Threat> {
        Some(self.threat)
    }

    fn attack(&self, model: &dyn AttackedModel, batch: &AttackBatch<'_>) -> Result<Images, Error> {
        let logits = model.logits(batch.images())?;
        let mut images = batch.images().clone();
        let mut standing = failures(batch, &logits);
        let ranks = match batch.targets() {
            Some(_) => 1,
            None => self.classes.min(logits.classes().saturating_sub(1)),
        };
        for number in 0..ranks * self.restarts {
            if standing.is_empty() {
                break;
            }
            let run = Run {
                number,
                is_random: number % self.restarts > 0,
            };
            let part = batch.select(&standing);
            let aim = match batch.targets() {
                Some(_) => part.clone(),
                None => aimed(batch, &logits, &standing, number / self.restarts)?,
            };
            let walks = self.walk(model, &part, &aim, run)?;
            let mut left = Vec::new();
            for (index, walk) in standing.into_iter().zip(walks) {
                match walk.smallest.filter(|found| found.size <= self.threat.eps) {
                    Some(found) => images.image_mut(index).copy_from_slice(&found.image),
                    None => left.push(index),
                }
            }
            standing = left;
        }
        Ok(images)
    }
}
