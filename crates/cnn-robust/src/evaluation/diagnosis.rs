//! Whether attacks with gradients can be believed.

use super::{Alarm, AlarmKind};
use crate::attack::{Apgd, Attack, AttackBatch, CrossEntropyLoss, Fgsm, MarginLoss, Pgd, Square};
use crate::{AttackedModel, Error, Images, LogitLoss, Logits, Norm, Threat};

/// Steps of the attack that others are compared with.
const STEPS: usize = 20;
/// Starts of the attack that is to show whether more of them help.
const RESTARTS: usize = 5;
/// Steps of each ascent that chooses its own step size.
const ASCENT_STEPS: usize = 40;
/// Queries of the attack without gradients.
const QUERIES: usize = 300;
/// The share of the images beyond which a difference between two attacks is a sign; less may be
/// chance.
const DIFFERENCE: f64 = 0.05;
/// The share of the images beyond which a gain by restarts is.
const RESTART_GAIN: f64 = 0.1;
/// The share of the images beyond which vanished gradients are.
const VANISHED: f64 = 0.1;
/// The step, as a share of the allowed size, along which the loss is compared with its gradient.
const PROBE: f64 = 0.02;
/// The loss has to change by what the gradient says, up to this factor.
const FACTOR: f64 = 3.;
/// Relative differences of scores that rounding alone makes.
const SCORE_ROUNDING: f64 = 1e-6;

/// What was looked at to tell a robust classifier from one whose gradients are hidden.
///
/// Every figure counts images that the classifier takes for what they are without an attack.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Diagnosis {
    /// How many images were looked at.
    pub samples: usize,
    /// How many are still right after one step.
    pub one_step: usize,
    /// After many steps from one start.
    pub many_steps: usize,
    /// After many steps from several starts.
    pub restarts: usize,
    /// After all attacks with gradients: many steps from several starts, then APGD with the
    /// cross-entropy and with the difference of logits ratio.
    pub white_box: usize,
    /// After an attack without gradients, of those that all with gradients left.
    pub black_box: usize,
    /// After many steps that may change everything.
    pub unlimited: usize,
    /// How many have a gradient of zero.
    pub without_gradient: usize,
    /// The median of how much the loss changed for each unit that the gradient promised.
    pub kept_promise: f64,
    /// What looks wrong.
    pub alarms: Vec<Alarm>,
}

/// Looks for signs that attacks fail because gradients are hidden, in L∞ and L2.
///
/// A classifier without a sign may still have hidden its gradients in another way; one with a sign
/// is not as robust as attacks with gradients say.
///
/// # Errors
/// [`Error::Argument`] in L1, as [`AttackBatch::check`], and what the model reports.
pub fn diagnose(
    model: &dyn AttackedModel,
    batches: &[AttackBatch<'_>],
    threat: Threat,
) -> Result<Diagnosis, Error> {
    if threat.norm == Norm::L1 {
        return Err(Error::argument("norm", threat.norm, "linf or l2"));
    }
    let mut diagnosis = Diagnosis::default();
    let mut promises = Vec::new();
    let mut is_random = false;
    for batch in batches {
        batch.check(model)?;
        let logits = model.logits(batch.images())?;
        is_random |= differs(&logits, &model.logits(batch.images())?);
        let predictions = logits.predictions();
        let is_right = |index: &usize| predictions[*index] == batch.labels()[*index];
        let right: Vec<usize> = (0..batch.len()).filter(is_right).collect();
        if !right.is_empty() {
            diagnosis.look(model, &batch.select(&right), threat, &mut promises)?;
        }
    }
    promises.sort_by(f64::total_cmp);
    // Without a promise there is none to break.
    diagnosis.kept_promise = promises.get(promises.len() / 2).copied().unwrap_or(1.);
    diagnosis.alarms = diagnosis.find_alarms(is_random);
    Ok(diagnosis)
}

impl Diagnosis {
    /// Adds what is seen of a batch of images that are right.
    fn look(
        &mut self,
        model: &dyn AttackedModel,
        batch: &AttackBatch<'_>,
        threat: Threat,
        promises: &mut Vec<f64>,
    ) -> Result<(), Error> {
        let gradient = model.gradient(batch.images(), &CrossEntropyLoss(batch))?;
        let is_zero = |index: &usize| {
            let mut values = gradient.images.image(*index).iter();
            values.all(|value| *value == 0.)
        };
        let pgd = Pgd::new(threat).with_steps(STEPS).with_early_stop(true);
        let any_size = Threat::new(threat.norm, everything(threat.norm, batch.images()))?;
        let any_size = Pgd::new(any_size)
            .with_steps(2 * STEPS)
            .with_early_stop(true);
        let square = Square::new(threat).with_queries(QUERIES);
        let many = standing(model, batch, &pgd)?;
        let rest = batch.select(&many);
        let after_restarts = standing(model, &rest, &pgd.with_restarts(RESTARTS))?;
        let ascents = [Apgd::cross_entropy(threat), Apgd::dlr(threat)];
        let mut hardest = rest.select(&after_restarts);
        for ascent in ascents {
            let ascent = ascent.with_steps(ASCENT_STEPS).with_early_stop(true);
            hardest = hardest.select(&standing(model, &hardest, &ascent)?);
        }
        self.samples += batch.len();
        self.without_gradient += (0..batch.len()).filter(is_zero).count();
        self.one_step += standing(model, batch, one_step(threat)?.as_ref())?.len();
        self.many_steps += many.len();
        self.restarts += after_restarts.len();
        self.white_box += hardest.len();
        self.black_box += standing(model, &hardest, &square)?.len();
        self.unlimited += standing(model, batch, &any_size)?.len();
        promises.extend(kept_promises(model, batch, threat)?);
        Ok(())
    }

    fn find_alarms(&self, is_random: bool) -> Vec<Alarm> {
        let all = self.samples;
        let beyond = |share: f64| (share * all as f64).max(1.) as usize;
        let mut alarms = Vec::new();
        let mut tell = |is_found: bool, kind: AlarmKind, evidence: String| {
            if is_found {
                alarms.push(Alarm::new(kind, evidence));
            }
        };
        tell(
            is_random,
            AlarmKind::ScoresAreRandom,
            "The same images had other scores the second time.".to_string(),
        );
        tell(
            self.without_gradient > beyond(VANISHED),
            AlarmKind::GradientsVanish,
            format!(
                "The gradient of the loss is zero for {} of {all} images.",
                self.without_gradient
            ),
        );
        let is_kept = (1. / FACTOR..=FACTOR).contains(&self.kept_promise);
        tell(
            self.without_gradient <= beyond(VANISHED) && !is_kept && !is_random,
            AlarmKind::LossIgnoresGradient,
            format!(
                "Along its gradient the loss changes {:.2} times as much as the gradient says.",
                self.kept_promise
            ),
        );
        tell(
            self.one_step + beyond(DIFFERENCE) < self.many_steps,
            AlarmKind::OneStepBeatsMany,
            format!(
                "One step leaves {} of {all} images right, {STEPS} steps leave {}.",
                self.one_step, self.many_steps
            ),
        );
        // Not of what PGD alone leaves: of an honest network trained against it Square Attack finds
        // some of that, and so do other attacks with gradients.
        tell(
            self.black_box + beyond(DIFFERENCE) < self.white_box,
            AlarmKind::BlackBoxBeatsWhiteBox,
            format!(
                "Of {} images that all attacks along the gradient leave right, {QUERIES} queries without one leave {}.",
                self.white_box, self.black_box
            ),
        );
        tell(
            self.unlimited > beyond(DIFFERENCE),
            AlarmKind::UnlimitedSizeLeavesAccuracy,
            format!(
                "With changes of any size {} of {all} images stay right.",
                self.unlimited
            ),
        );
        tell(
            self.restarts + beyond(RESTART_GAIN) < self.many_steps,
            AlarmKind::RestartsStillHelp,
            format!(
                "One start leaves {} of {all} images right, {RESTARTS} starts leave {}.",
                self.many_steps, self.restarts
            ),
        );
        alarms
    }
}

/// The places of the images that an attack leaves right.
fn standing(
    model: &dyn AttackedModel,
    batch: &AttackBatch<'_>,
    attack: &dyn Attack,
) -> Result<Vec<usize>, Error> {
    if batch.is_empty() {
        return Ok(Vec::new());
    }
    let fooled = batch.successes(&model.logits(&attack.run(model, batch)?)?);
    Ok((0..batch.len()).filter(|&index| !fooled[index]).collect())
}

fn one_step(threat: Threat) -> Result<Box<dyn Attack>, Error> {
    Ok(match threat.norm {
        Norm::Linf => Box::new(Fgsm::new(threat.eps)?),
        _ => Box::new(
            Pgd::new(threat)
                .with_steps(1)
                .with_step_size(threat.eps)?
                .with_random_start(false),
        ),
    })
}

/// A size that no change within 0..1 is beyond.
fn everything(norm: Norm, images: &Images) -> f64 {
    let values = images.values_per_image() as f64;
    match norm {
        Norm::Linf => 1.,
        Norm::L2 => values.sqrt(),
        Norm::L1 => values,
    }
}

/// For each image with a gradient the change of its margin along that, divided by what the gradient
/// says of it.
fn kept_promises(
    model: &dyn AttackedModel,
    batch: &AttackBatch<'_>,
    threat: Threat,
) -> Result<Vec<f64>, Error> {
    let loss = MarginLoss(batch);
    let here = model.gradient(batch.images(), &loss)?;
    let probe = Threat::new(threat.norm, PROBE * threat.eps)?;
    let step = Pgd::new(probe).step(&here.images);
    let there = batch.images().plus(&step, probe.eps).within_unit();
    let [before, after] = [model.logits(batch.images())?, model.logits(&there)?];
    let moved = there.minus(batch.images());
    let margin = |logits: &Logits, index: usize| {
        let row = logits.row(index);
        loss.loss(index, row, &mut vec![0.; row.len()])
    };
    let mut promises = Vec::new();
    for index in 0..batch.len() {
        let pairs = here.images.image(index).iter().zip(moved.image(index));
        let promised: f64 = pairs.map(|(gradient, step)| gradient * step).sum();
        if promised > 0. {
            promises.push((margin(&after, index) - margin(&before, index)) / promised);
        }
    }
    Ok(promises)
}

/// Whether scores differ by more than rounding.
fn differs(a: &Logits, b: &Logits) -> bool {
    let differ = |(a, b): (&[f64], &[f64])| {
        let largest = a
            .iter()
            .fold(1f64, |largest, value| largest.max(value.abs()));
        let mut pairs = a.iter().zip(b);
        pairs.any(|(a, b)| (a - b).abs() > SCORE_ROUNDING * largest)
    };
    a.rows().zip(b.rows()).any(differ)
}
