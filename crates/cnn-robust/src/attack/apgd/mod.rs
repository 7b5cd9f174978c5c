//! Ascent that chooses its own step size: APGD (Croce & Hein 2020, arXiv:2003.01690), in L1 with
//! sparse steps (Croce & Hein 2021, arXiv:2103.01208).

mod climb;
mod schedule;

use climb::{Climb, Finding, project};
use schedule::{checkpoints, stages};

use super::loss::descending;
use super::pgd::failures;
use super::{Attack, AttackBatch, CrossEntropyLoss, DlrLoss, TargetedDlrLoss};
use crate::{AttackedModel, Draw, Error, Images, LogitLoss, Logits, Norm, Threat};

/// Keeps a division by the size of a random direction finite.
const FLOOR: f64 = 1e-12;

/// What APGD makes larger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Objective {
    CrossEntropy,
    Dlr,
    /// The DLR loss towards each of so many classes in turn.
    TargetedDlr {
        classes: usize,
    },
}

/// Projected gradient ascent with momentum, which halves its steps and goes back to its best point
/// where it does not get on.
///
/// With the projection `P` to the allowed changes, the step size `η` (at first `2 ε`) and the
/// ascent direction `d` of the loss,
///
/// ```text
/// z = P(x_k + η d(x_k))
/// x_{k+1} = P(x_k + 0.75 (z − x_k) + 0.25 (x_k − x_{k−1}))
/// ```
///
/// An image that it succeeds on is the last that the model erred on, another the one of the largest
/// loss of the last run. Images that the model errs on beforehand are left alone.
///
/// A batch with targets is led to these, of the DLR loss by its form with a target.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Apgd {
    threat: Threat,
    objective: Objective,
    steps: usize,
    restarts: usize,
    shrinking_ball: bool,
    early_stop: bool,
}

/// One ascent of all images that still stand.
struct Run {
    /// Its place among all runs, by which its start is drawn.
    number: usize,
    /// The place of the target among the other classes by their clean scores, if there is one.
    rank: Option<usize>,
}

impl Apgd {
    /// With the cross-entropy: `apgd-ce`. Default: 100 steps from one random start, all of them.
    pub fn cross_entropy(threat: Threat) -> Self {
        Self {
            threat,
            objective: Objective::CrossEntropy,
            steps: 100,
            restarts: 1,
            shrinking_ball: false,
            early_stop: false,
        }
    }

    /// With [`DlrLoss`]: `apgd-dlr`. Default: as [`Apgd::cross_entropy`].
    pub fn dlr(threat: Threat) -> Self {
        Self {
            objective: Objective::Dlr,
            ..Self::cross_entropy(threat)
        }
    }

    /// With [`TargetedDlrLoss`] towards the most likely other classes, one after the other:
    /// `apgd-t`. Any error is a success. Default: 9 classes, or as many as there are; otherwise as
    /// [`Apgd::cross_entropy`].
    pub fn targeted(threat: Threat) -> Self {
        Self {
            objective: Objective::TargetedDlr { classes: 9 },
            ..Self::cross_entropy(threat)
        }
    }

    /// How many steps each run has.
    #[must_use]
    pub fn with_steps(self, steps: usize) -> Self {
        Self { steps, ..self }
    }

    /// How often it starts, for each class if it is `apgd-t`, each time for the images that still
    /// stand; at least once.
    #[must_use]
    pub fn with_restarts(self, restarts: usize) -> Self {
        Self {
            restarts: restarts.max(1),
            ..self
        }
    }

    /// Towards how many classes `apgd-t` goes; the others ignore it.
    #[must_use]
    pub fn with_target_classes(self, classes: usize) -> Self {
        let objective = match self.objective {
            Objective::TargetedDlr { .. } => Objective::TargetedDlr {
                classes: classes.max(1),
            },
            other => other,
        };
        Self { objective, ..self }
    }

    /// Whether the first steps may go three times, then twice as far as the ball reaches: 0.3 of
    /// the steps each. In L1 that finds more.
    #[must_use]
    pub fn with_shrinking_ball(self, shrinking_ball: bool) -> Self {
        Self {
            shrinking_ball,
            ..self
        }
    }

    /// Whether an image is left as soon as the model errs on it. It succeeds on the same images
    /// then, with fewer queries.
    #[must_use]
    pub fn with_early_stop(self, early_stop: bool) -> Self {
        Self { early_stop, ..self }
    }

    fn runs(&self, batch: &AttackBatch<'_>, classes: usize) -> Vec<Run> {
        let ranks: Vec<Option<usize>> = match (self.objective, batch.targets()) {
            (Objective::TargetedDlr { classes: wanted }, None) => {
                let others = wanted.min(classes.saturating_sub(1));
                (0..others).map(Some).collect()
            }
            _ => vec![None],
        };
        let ranks = ranks.iter().flat_map(|rank| vec![*rank; self.restarts]);
        let runs = ranks.enumerate();
        runs.map(|(number, rank)| Run { number, rank }).collect()
    }

    fn loss<'a>(&self, aim: &'a AttackBatch<'_>) -> Box<dyn LogitLoss + 'a> {
        match (self.objective, aim.targets()) {
            (Objective::CrossEntropy, _) => Box::new(CrossEntropyLoss(aim)),
            (Objective::Dlr, None) => Box::new(DlrLoss(aim)),
            _ => Box::new(TargetedDlrLoss(aim)),
        }
    }

    /// A random point of the ball, at its border but for values cut to 0..1; in L1 the nearest
    /// allowed point to a normal one.
    fn start(
        &self,
        batch: &AttackBatch<'_>,
        index: usize,
        run: &Run,
        eps: f64,
    ) -> Result<Vec<f64>, Error> {
        let clean = batch.images().image(index);
        let draw = Draw::new("start", batch.samples()[index]).in_restart(run.number);
        let mut change = match self.threat.norm {
            Norm::Linf => {
                let values = batch.draws().uniform(draw, clean.len())?;
                values.iter().map(|value| 2. * value - 1.).collect()
            }
            Norm::L2 | Norm::L1 => batch.draws().normal(draw, clean.len())?,
        };
        if self.threat.norm != Norm::L1 {
            let factor = eps / (self.threat.norm.size(&change) + FLOOR);
            change.iter_mut().for_each(|value| *value *= factor);
        }
        let mut image = clean.iter().zip(change).map(|(x, d)| x + d).collect();
        project(Threat { eps, ..self.threat }, clean, &mut image);
        Ok(image)
    }

    /// Lets all images of a batch climb. A success is what `batch` says, the loss what `aim` says.
    fn ascend(
        &self,
        model: &dyn AttackedModel,
        batch: &AttackBatch<'_>,
        aim: &AttackBatch<'_>,
        run: &Run,
    ) -> Result<Vec<Climb>, Error> {
        let stages = stages(self.threat.eps, self.steps, self.shrinking_ball);
        let mut starts: Vec<Vec<f64>> = (0..batch.len())
            .map(|index| self.start(batch, index, run, stages[0].eps))
            .collect::<Result<_, _>>()?;
        let mut climbs = Vec::new();
        for (number, stage) in stages.iter().enumerate() {
            let threat = Threat {
                eps: stage.eps,
                ..self.threat
            };
            climbs = Vec::with_capacity(starts.len());
            for (index, mut start) in starts.drain(..).enumerate() {
                let clean = batch.images().image(index);
                project(threat, clean, &mut start);
                let is_fresh = number == 0 && !self.shrinking_ball;
                climbs.push(Climb::new(threat, clean, start, is_fresh));
            }
            let is_last = number + 1 == stages.len();
            let stage_of_run = Part {
                model,
                batch,
                aim,
                loss: self,
                stops: self.early_stop && is_last,
            };
            stage_of_run.climb(&mut climbs, stage.steps)?;
            if !is_last {
                starts.extend(climbs.drain(..).map(Climb::into_best));
            }
        }
        Ok(climbs)
    }
}

/// The steps in one ball.
struct Part<'a> {
    model: &'a dyn AttackedModel,
    batch: &'a AttackBatch<'a>,
    aim: &'a AttackBatch<'a>,
    loss: &'a Apgd,
    /// Whether images are left on success.
    stops: bool,
}

impl Part<'_> {
    fn climb(&self, climbs: &mut [Climb], steps: usize) -> Result<(), Error> {
        let mut running: Vec<usize> = (0..climbs.len()).collect();
        self.query(climbs, &running, Climb::begin)?;
        for checkpoint in checkpoints(self.loss.threat.norm, steps) {
            running.retain(|&index| !(self.stops && climbs[index].adversarial().is_some()));
            if running.is_empty() {
                break;
            }
            for &index in &running {
                climbs[index].advance();
            }
            self.query(climbs, &running, |climb, finding| {
                climb.record(finding, checkpoint);
            })?;
        }
        Ok(())
    }

    fn query(
        &self,
        climbs: &mut [Climb],
        running: &[usize],
        learn: impl Fn(&mut Climb, &Finding<'_>),
    ) -> Result<(), Error> {
        let aim = self.aim.select(running);
        let images = running.iter().flat_map(|&index| climbs[index].image());
        let images = Images::new(
            running.len(),
            self.batch.images().size(),
            images.copied().collect(),
        )?;
        let found = self
            .model
            .gradient(&images, self.loss.loss(&aim).as_ref())?;
        for (place, &index) in running.iter().enumerate() {
            let finding = Finding {
                loss: found.losses[place],
                gradient: found.images.image(place),
                is_success: self.batch.is_success(index, found.logits.row(place)),
            };
            learn(&mut climbs[index], &finding);
        }
        Ok(())
    }
}

/// The other class at a place among those of the clean scores, from the most likely one on.
pub(crate) fn other_class(logits: &[f64], label: u32, rank: usize) -> u32 {
    let others = descending(logits).into_iter().map(|class| class as u32);
    let mut others = others.filter(|class| *class != label);
    others.nth(rank).unwrap_or(label)
}

/// Images with the class of this rank for each as its target.
pub(crate) fn aimed<'a>(
    batch: &AttackBatch<'a>,
    logits: &Logits,
    standing: &[usize],
    rank: usize,
) -> Result<AttackBatch<'a>, Error> {
    let targets = standing.iter().map(|&index| {
        let label = batch.labels()[index];
        other_class(logits.row(index), label, rank)
    });
    batch.select(standing).with_targets(targets.collect())
}

impl Attack for Apgd {
    fn name(&self) -> &'static str {
        match self.objective {
            Objective::CrossEntropy => "apgd-ce",
            Objective::Dlr => "apgd-dlr",
            Objective::TargetedDlr { .. } => "apgd-t",
        }
    }

    fn threat(&self) -> Option<Threat> {
        Some(self.threat)
    }

    fn attack(&self, model: &dyn AttackedModel, batch: &AttackBatch<'_>) -> Result<Images, Error> {
        let logits = model.logits(batch.images())?;
        let mut images = batch.images().clone();
        let mut standing = failures(batch, &logits);
        for run in self.runs(batch, logits.classes()) {
            if standing.is_empty() {
                break;
            }
            let part = batch.select(&standing);
            let aim = match run.rank {
                Some(rank) => aimed(batch, &logits, &standing, rank)?,
                None => part.clone(),
            };
            let climbs = self.ascend(model, &part, &aim, &run)?;
            let mut left = Vec::new();
            for (index, climb) in standing.into_iter().zip(climbs) {
                match climb.adversarial() {
                    Some(found) => images.image_mut(index).copy_from_slice(found),
                    None => {
                        left.push(index);
                        images.image_mut(index).copy_from_slice(&climb.into_best());
                    }
                }
            }
            standing = left;
        }
        Ok(images)
    }
}
