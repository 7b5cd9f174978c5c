//! What APGD knows of one image while it climbs.

use super::super::fgsm::sign;
use super::super::projection::to_l1_ball_within_unit;
use crate::{Norm, Threat};

/// The size of a step is halved if fewer steps than this share made the loss larger.
const RHO: f64 = 0.75;
/// How much of a step is new; the rest is the step before.
const NEW_SHARE: f64 = 0.75;
/// Keeps a division by the size of a gradient finite.
const FLOOR: f64 = 1e-12;

/// What a query told of an image.
pub(super) struct Finding<'a> {
    pub(super) loss: f64,
    pub(super) gradient: &'a [f64],
    pub(super) is_success: bool,
}

/// The point of the largest loss so far.
struct Best {
    image: Vec<f64>,
    gradient: Vec<f64>,
    loss: f64,
    /// The loss as it was at the last checkpoint.
    loss_before: f64,
}

/// One image on its way up.
pub(super) struct Climb {
    threat: Threat,
    clean: Vec<f64>,
    image: Vec<f64>,
    previous: Vec<f64>,
    gradient: Vec<f64>,
    best: Best,
    adversarial: Option<Vec<f64>>,
    /// The loss after each step, behind a 0 that the first is compared with, as in the authors'
    /// code.
    losses: Vec<f64>,
    step_size: f64,
    was_reduced: bool,
    sparsity: Sparsity,
}

/// Which steps are taken in L1.
struct Sparsity {
    /// The share of values that a step changes.
    share: f64,
    /// How many values differed from the clean image at the last checkpoint.
    changed_before: f64,
}

impl Climb {
    /// At a point of the ball. `is_fresh` is false where the point comes from a climb in a larger
    /// ball.
    pub(super) fn new(threat: Threat, clean: &[f64], start: Vec<f64>, is_fresh: bool) -> Self {
        let values = clean.len() as f64;
        let changed = if is_fresh {
            values
        } else {
            count_changed(clean, &start)
        };
        Self {
            threat,
            clean: clean.to_vec(),
            previous: start.clone(),
            gradient: vec![0.; start.len()],
            best: Best {
                image: start.clone(),
                gradient: vec![0.; start.len()],
                loss: f64::NEG_INFINITY,
                loss_before: f64::NEG_INFINITY,
            },
            image: start,
            adversarial: None,
            losses: vec![0.],
            step_size: Self::largest_step(threat),
            was_reduced: true,
            sparsity: Sparsity {
                share: if is_fresh {
                    0.2
                } else {
                    changed / values / 1.5
                },
                changed_before: changed,
            },
        }
    }

    fn largest_step(threat: Threat) -> f64 {
        match threat.norm {
            Norm::Linf | Norm::L2 => 2. * threat.eps,
            Norm::L1 => threat.eps,
        }
    }

    /// Where it is.
    pub(super) fn image(&self) -> &[f64] {
        &self.image
    }

    /// The last image that succeeded.
    pub(super) fn adversarial(&self) -> Option<&[f64]> {
        self.adversarial.as_deref()
    }

    /// The image of the largest loss.
    pub(super) fn into_best(self) -> Vec<f64> {
        self.best.image
    }

    /// Learns of its starting point.
    pub(super) fn begin(&mut self, finding: &Finding<'_>) {
        self.learn(finding);
        self.best.loss_before = self.best.loss;
    }

    /// Learns of the image after a step, and looks at the size of its steps at a checkpoint, which
    /// looks so many steps back.
    pub(super) fn record(&mut self, finding: &Finding<'_>, checkpoint: Option<usize>) {
        self.learn(finding);
        self.losses.push(finding.loss);
        let Some(interval) = checkpoint else {
            return;
        };
        let restarts = match self.threat.norm {
            Norm::Linf | Norm::L2 => self.halves_step(interval),
            Norm::L1 => self.becomes_sparser(),
        };
        if restarts {
            self.image.clone_from(&self.best.image);
            self.gradient.clone_from(&self.best.gradient);
        }
    }

    fn learn(&mut self, finding: &Finding<'_>) {
        self.gradient.copy_from_slice(finding.gradient);
        if finding.is_success {
            self.adversarial = Some(self.image.clone());
        }
        if finding.loss > self.best.loss {
            self.best.loss = finding.loss;
            self.best.image.clone_from(&self.image);
            self.best.gradient.clone_from(&self.gradient);
        }
    }

    /// Whether the step is halved: too few steps went up, or neither the step nor the best loss has
    /// changed since the last checkpoint (conditions 1 and 2 of the paper).
    fn halves_step(&mut self, interval: usize) -> bool {
        let last = self.losses.len() - interval - 1;
        let pairs = self.losses[last..].windows(2);
        let ascents = pairs.filter(|pair| pair[1] > pair[0]).count();
        let oscillates = ascents as f64 <= RHO * interval as f64;
        let stagnates = !self.was_reduced && self.best.loss_before >= self.best.loss;
        self.was_reduced = oscillates || stagnates;
        self.best.loss_before = self.best.loss;
        if self.was_reduced {
            self.step_size /= 2.;
        }
        self.was_reduced
    }

    /// Whether the best image differs from the clean one in fewer values than before; if so steps
    /// are as large as at first, otherwise they become smaller.
    fn becomes_sparser(&mut self) -> bool {
        let changed = count_changed(&self.clean, &self.best.image);
        let is_sparser = changed / self.sparsity.changed_before < 0.95;
        let largest = Self::largest_step(self.threat);
        self.step_size = if is_sparser {
            largest
        } else {
            (self.step_size / 1.5).clamp(largest / 10., largest)
        };
        self.sparsity = Sparsity {
            share: changed / self.clean.len() as f64 / 1.5,
            changed_before: changed,
        };
        is_sparser
    }

    /// One step up; from the second on a part of it repeats the one before, but not in L1.
    pub(super) fn advance(&mut self) {
        let direction = self.direction();
        let pairs = self.image.iter().zip(&direction);
        let mut next = pairs.map(|(x, d)| x + self.step_size * d).collect();
        project(self.threat, &self.clean, &mut next);
        if self.threat.norm != Norm::L1 {
            let is_first = self.losses.len() == 1;
            let share = if is_first { 1. } else { NEW_SHARE };
            let points = self.image.iter().zip(&self.previous);
            for (new, (x, before)) in next.iter_mut().zip(points) {
                *new = x + (*new - x) * share + (x - before) * (1. - share);
            }
            project(self.threat, &self.clean, &mut next);
        }
        self.previous = std::mem::replace(&mut self.image, next);
    }

    /// The step of size 1 that goes up most; in L1 along the signs of the largest values alone.
    fn direction(&self) -> Vec<f64> {
        let gradient = &self.gradient;
        match self.threat.norm {
            Norm::Linf => gradient.iter().map(|value| sign(*value)).collect(),
            Norm::L2 => {
                let size = Norm::L2.size(gradient) + FLOOR;
                gradient.iter().map(|value| value / size).collect()
            }
            Norm::L1 => sparse_direction(gradient, self.sparsity.share),
        }
    }
}

fn count_changed(clean: &[f64], image: &[f64]) -> f64 {
    let pairs = clean.iter().zip(image);
    pairs.filter(|(a, b)| a != b).count() as f64
}

fn sparse_direction(gradient: &[f64], share: f64) -> Vec<f64> {
    let count = gradient.len() as f64;
    let place = ((1. - share) * count).clamp(0., count - 1.) as usize;
    let mut magnitudes: Vec<f64> = gradient.iter().map(|value| value.abs()).collect();
    let (_, threshold, _) = magnitudes.select_nth_unstable_by(place, f64::total_cmp);
    let threshold = *threshold;
    let is_kept = |value: f64| value != 0. && value.abs() >= threshold;
    let kept = gradient.iter().filter(|value| is_kept(**value)).count();
    let step = |value: &f64| {
        let signs = if is_kept(*value) { sign(*value) } else { 0. };
        signs / (kept as f64 + 1e-10)
    };
    gradient.iter().map(step).collect()
}

/// The nearest allowed image; in L1 of those with values in 0..1 at once, which scaling or cutting
/// one after the other would miss.
pub(super) fn project(threat: Threat, clean: &[f64], image: &mut Vec<f64>) {
    let pairs = image.iter().zip(clean);
    let mut change: Vec<f64> = pairs.map(|(a, b)| a - b).collect();
    match threat.norm {
        Norm::Linf | Norm::L2 => threat.project_change(&mut change),
        Norm::L1 => to_l1_ball_within_unit(clean, &mut change, threat.eps),
    }
    let pairs = clean.iter().zip(change);
    *image = pairs.map(|(x, d)| (x + d).clamp(0., 1.)).collect();
}
