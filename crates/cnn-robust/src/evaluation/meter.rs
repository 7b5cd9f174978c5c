//! Attacking a dataset batch by batch.

use std::time::Instant;

use cnn_metrics::Reliability;

use super::{AttackResult, JudgedAttack, RobustnessResult};
use crate::attack::AttackBatch;
use crate::{AttackedModel, Counted, Error, Images, Logits, Norm, Queries};

/// Makes attacks on batches and counts what they leave, so that memory is bounded by a batch.
///
/// Of each batch only the images that the classifier takes for what they are are attacked. An image
/// counts as fooled if the model says so of what an attack gives, whatever the attack thinks of it.
///
/// ```
/// use cnn_models::{ModelConfig, Network};
/// use cnn_robust::attack::{AttackBatch, Fgsm, Pgd};
/// use cnn_robust::{AttackedModel, Images, JudgedAttack, PixelClassifier, RobustnessMeter, Threat};
///
/// let network = Network::new("resnet8_cifar10", &ModelConfig::default(), 0)?;
/// let model = PixelClassifier::new(network.model(), network.preprocessing())?;
/// let images = Images::new(2, [32, 32, 3], vec![0.5; 2 * 32 * 32 * 3])?;
/// let labels = model.logits(&images)?.predictions();
///
/// let eps = 8. / 255.;
/// let mut meter = RobustnessMeter::new(vec![
///     JudgedAttack::new(Box::new(Fgsm::new(eps)?)),
///     JudgedAttack::new(Box::new(Pgd::new(Threat::linf(eps)?).with_steps(5))),
/// ]);
/// meter.add(&model, &AttackBatch::new(images, labels)?)?;
/// let result = meter.result();
/// assert_eq!((result.samples, result.clean_top1()), (2, 1.));
/// assert!(result.worst_top1() <= result.attacks[0].robust_top1());
/// # Ok::<(), anyhow::Error>(())
/// ```
pub struct RobustnessMeter {
    attacks: Vec<JudgedAttack>,
    result: RobustnessResult,
}

/// What became of a batch.
#[derive(Clone, Debug)]
pub struct AttackedBatch {
    /// The class that each image was taken for before.
    pub clean_predictions: Vec<u32>,
    /// What each attack made of it.
    pub attacks: Vec<AttackedImages>,
}

/// What one attack made of a batch.
#[derive(Clone, Debug)]
pub struct AttackedImages {
    /// The changed images; those that were wrong before are as they were.
    pub images: Images,
    /// The class that each is taken for.
    pub predictions: Vec<u32>,
    /// Whether each was fooled.
    pub fooled: Vec<bool>,
}

impl RobustnessMeter {
    /// Makes these attacks.
    pub fn new(attacks: Vec<JudgedAttack>) -> Self {
        let begin = |attack: &JudgedAttack| AttackResult {
            name: attack.attack().name().to_string(),
            limit: attack.limit(),
            samples: 0,
            attacked: 0,
            fooled: 0,
            mean_linf: 0.,
            mean_l2: 0.,
            sizes: Vec::new(),
            transferred: None,
            reliability: Reliability::default(),
            queries: Queries::default(),
            seconds: 0.,
        };
        let result = RobustnessResult {
            samples: 0,
            clean_correct: 0,
            reliability: Reliability::default(),
            attacks: attacks.iter().map(begin).collect(),
            worst_correct: 0,
        };
        Self { attacks, result }
    }

    /// Attacks a batch.
    ///
    /// # Errors
    /// As [`AttackBatch::check`], [`Error::NotFinite`] if the classifier gives scores of the images
    /// that are not finite, and what the model and the attacks report.
    pub fn add(
        &mut self,
        model: &dyn AttackedModel,
        batch: &AttackBatch<'_>,
    ) -> Result<AttackedBatch, Error> {
        self.measure(model, batch, None)
    }

    /// Attacks a batch that a defence stands before: each attack is made on the defended
    /// classifier, by an attacker who knows of the defence, and again on the bare one, by one who
    /// does not. An image that either fools counts in the worst case.
    ///
    /// # Errors
    /// As [`add`](Self::add).
    pub fn add_defended(
        &mut self,
        defended: &dyn AttackedModel,
        bare: &dyn AttackedModel,
        batch: &AttackBatch<'_>,
    ) -> Result<AttackedBatch, Error> {
        self.measure(defended, batch, Some(bare))
    }

    fn measure(
        &mut self,
        model: &dyn AttackedModel,
        batch: &AttackBatch<'_>,
        bare: Option<&dyn AttackedModel>,
    ) -> Result<AttackedBatch, Error> {
        batch.check(model)?;
        let logits = model.logits(batch.images())?;
        let is_wrong = |row: &[f64]| row.iter().any(|score| !score.is_finite());
        if let Some(index) = logits.rows().position(is_wrong) {
            let sample = batch.samples()[index];
            return Err(Error::NotFinite { sample });
        }
        let clean_predictions = logits.predictions();
        let right: Vec<usize> = (0..batch.len())
            .filter(|&index| clean_predictions[index] == batch.labels()[index])
            .collect();
        let others: Vec<usize> = (0..batch.len())
            .filter(|index| !right.contains(index))
            .collect();
        let part = batch.select(&right);
        let logits_of_part = logits.select(&right);
        let beside = batch.select(&others);
        let logits_beside = logits.select(&others);
        count(&mut self.result.reliability, batch, &logits)?;
        let mut stands = vec![true; right.len()];
        let mut attacked = Vec::with_capacity(self.attacks.len());
        for (attack, result) in self.attacks.iter().zip(&mut self.result.attacks) {
            result.samples += batch.len();
            count(&mut result.reliability, &beside, &logits_beside)?;
            let on_part = attack_part(attack, result, model, &part, &logits_of_part)?;
            for (stands, fooled) in stands.iter_mut().zip(&on_part.fooled) {
                *stands &= !fooled;
            }
            if let Some(bare) = bare {
                let fooled = transferred(attack, bare, model, &part)?;
                let so_far = result.transferred.get_or_insert(0);
                for (stands, fooled) in stands.iter_mut().zip(fooled) {
                    *stands &= !fooled;
                    *so_far += usize::from(fooled);
                }
            }
            attacked.push(on_part.among(&right, batch, &clean_predictions));
        }
        self.result.samples += batch.len();
        self.result.clean_correct += right.len();
        self.result.worst_correct += stands.iter().filter(|stands| **stands).count();
        Ok(AttackedBatch {
            clean_predictions,
            attacks: attacked,
        })
    }

    /// What the attacks left so far.
    pub fn result(&self) -> RobustnessResult {
        let mut result = self.result.clone();
        for attack in &mut result.attacks {
            let fooled = attack.fooled.max(1) as f64;
            attack.mean_linf /= fooled;
            attack.mean_l2 /= fooled;
            attack.sizes.sort_by(f64::total_cmp);
        }
        result
    }
}

/// Counts how sure the model is of a batch, of which it gave these scores.
fn count(
    reliability: &mut Reliability,
    batch: &AttackBatch<'_>,
    logits: &Logits,
) -> Result<(), Error> {
    let values: Vec<f32> = logits.rows().flatten().map(|&score| score as f32).collect();
    Ok(reliability.update(&values, logits.classes(), batch.labels())?)
}

/// Makes an attack on images that are right, of which the model gives the scores `clean`, and adds
/// what came of it, sums in place of means.
fn attack_part(
    attack: &JudgedAttack,
    result: &mut AttackResult,
    model: &dyn AttackedModel,
    part: &AttackBatch<'_>,
    clean: &Logits,
) -> Result<AttackedImages, Error> {
    if part.is_empty() {
        return Ok(AttackedImages {
            images: part.images().clone(),
            predictions: Vec::new(),
            fooled: Vec::new(),
        });
    }
    let start = Instant::now();
    let counted = Counted::new(model);
    let images = attack.attack().run(&counted, part)?;
    result.seconds += start.elapsed().as_secs_f64();
    let queries = counted.queries();
    result.queries.forward += queries.forward;
    result.queries.backward += queries.backward;
    let logits = model.logits(&images)?;
    let change = images.minus(part.images());
    let fooled = judged(attack, part, &change, &logits);
    let mut counted_logits = logits.clone();
    for index in (0..part.len()).filter(|&index| !attack.is_allowed(&change, index)) {
        let row = counted_logits.row_mut(index);
        row.copy_from_slice(clean.row(index));
    }
    count(&mut result.reliability, part, &counted_logits)?;
    let norm = attack.limit().map_or(Norm::L2, |limit| limit.norm);
    for index in (0..part.len()).filter(|&index| fooled[index]) {
        let change = change.image(index);
        result.fooled += 1;
        result.mean_linf += Norm::Linf.size(change);
        result.mean_l2 += Norm::L2.size(change);
        result.sizes.push(norm.size(change));
    }
    result.attacked += part.len();
    Ok(AttackedImages {
        predictions: logits.predictions(),
        images,
        fooled,
    })
}

/// Whether each image fools the model after the attack was made on another one.
fn transferred(
    attack: &JudgedAttack,
    source: &dyn AttackedModel,
    model: &dyn AttackedModel,
    part: &AttackBatch<'_>,
) -> Result<Vec<bool>, Error> {
    if part.is_empty() {
        return Ok(Vec::new());
    }
    let images = attack.attack().run(source, part)?;
    let change = images.minus(part.images());
    Ok(judged(attack, part, &change, &model.logits(&images)?))
}

/// Whether each image fools the model that gave these scores, and is changed little enough.
fn judged(
    attack: &JudgedAttack,
    part: &AttackBatch<'_>,
    change: &Images,
    logits: &Logits,
) -> Vec<bool> {
    let mut fooled = part.successes(logits);
    for (index, fooled) in fooled.iter_mut().enumerate() {
        *fooled &= attack.is_allowed(change, index);
    }
    fooled
}

impl AttackedImages {
    /// The same for a whole batch, of which these are the images at `places`.
    fn among(&self, places: &[usize], batch: &AttackBatch<'_>, clean: &[u32]) -> Self {
        let mut whole = Self {
            images: batch.images().clone(),
            predictions: clean.to_vec(),
            fooled: vec![false; batch.len()],
        };
        whole.images.replace(places, &self.images);
        for (from, &to) in places.iter().enumerate() {
            whole.predictions[to] = self.predictions[from];
            whole.fooled[to] = self.fooled[from];
        }
        whole
    }
}
