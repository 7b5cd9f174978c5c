//! The accuracy under an attack as a function of how much it may change.

use cnn_metrics::{Interval, wilson_interval};

use crate::attack::{Attack, AttackBatch};
use crate::{AttackedModel, Error};

/// A point of the curve.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SweepPoint {
    /// The size that the attack may use.
    pub eps: f64,
    /// The share of all images that are still right.
    pub robust_top1: f64,
    /// Its 95 % interval.
    pub interval: Interval,
}

/// Makes an attack at several sizes. An image that was fooled at a size counts as fooled at all
/// larger ones, since what fooled it is allowed there, too, and is not attacked again; so the curve
/// falls.
///
/// # Errors
/// As [`AttackBatch::check`], what `attack` reports of a size, and what the model reports.
pub fn sweep(
    model: &dyn AttackedModel,
    batches: &[AttackBatch<'_>],
    sizes: &[f64],
    attack: &dyn Fn(f64) -> Result<Box<dyn Attack>, Error>,
) -> Result<Vec<SweepPoint>, Error> {
    let mut sizes = sizes.to_vec();
    sizes.sort_by(f64::total_cmp);
    let samples: usize = batches.iter().map(AttackBatch::len).sum();
    let mut standing = vec![0; sizes.len()];
    for batch in batches {
        batch.check(model)?;
        let logits = model.logits(batch.images())?;
        let predictions = logits.predictions();
        let is_right = |index: &usize| predictions[*index] == batch.labels()[*index];
        let right: Vec<usize> = (0..batch.len()).filter(is_right).collect();
        let mut left = batch.select(&right);
        for (size, standing) in sizes.iter().zip(&mut standing) {
            if !left.is_empty() {
                let images = attack(*size)?.run(model, &left)?;
                let fooled = left.successes(&model.logits(&images)?);
                let stand: Vec<usize> = (0..left.len()).filter(|&index| !fooled[index]).collect();
                left = left.select(&stand);
            }
            *standing += left.len();
        }
    }
    let point = |(eps, standing): (f64, usize)| {
        Ok(SweepPoint {
            eps,
            robust_top1: standing as f64 / samples.max(1) as f64,
            interval: wilson_interval(standing as u64, samples as u64, 0.95)?,
        })
    };
    sizes.into_iter().zip(standing).map(point).collect()
}
