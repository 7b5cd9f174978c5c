//! Several attacks, one after the other: AutoAttack (Croce & Hein 2020, arXiv:2003.01690).

use super::pgd::failures;
use super::{Apgd, Attack, AttackBatch, FabT, Square};
use crate::{AttackedModel, Counted, Error, Images, Norm, Queries, Threat};

/// An ensemble of attacks without parameters to tune; each works on the images that still stand
/// after those before it.
///
/// All members leave an image on their first success, so the figures of one, [`AttackReport`], say
/// what it added to those before. A batch with targets is led to these by each member.
///
/// ```
/// use cnn_layers::Mode;
/// use cnn_models::{ModelConfig, Network};
/// use cnn_robust::attack::{AttackBatch, AutoAttack, Verdict};
/// use cnn_robust::{AttackedModel, Images, PixelClassifier, Threat};
///
/// let network = Network::new("resnet8_cifar10", &ModelConfig::default(), 0)?;
/// let model = PixelClassifier::new(network.model(), network.preprocessing())?;
/// let images = Images::new(1, [32, 32, 3], vec![0.5; 32 * 32 * 3])?;
/// let mut labels = model.logits(&images)?.predictions();
/// labels[0] = (labels[0] + 1) % 10;
///
/// let attack = AutoAttack::cheap(Threat::linf(8. / 255.)?);
/// let report = attack.report(&model, &AttackBatch::new(images, labels)?)?;
/// // The model errs without any attack.
/// assert_eq!(report.verdicts, [Verdict::ErredBefore]);
/// # Ok::<(), anyhow::Error>(())
/// ```
pub struct AutoAttack {
    name: &'static str,
    threat: Threat,
    members: Vec<Box<dyn Attack>>,
}

/// What became of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The model erred on the clean image; with targets, it took it for its target.
    ErredBefore,
    /// The member of this place in [`AutoAttack::members`] succeeded.
    FooledBy(usize),
    /// No member succeeded.
    Stands,
}

/// What [`AutoAttack::report`] gives.
#[derive(Clone, Debug)]
pub struct AttackReport {
    /// The changed images. One that stands is the first member's best try.
    pub images: Images,
    /// What became of each.
    pub verdicts: Vec<Verdict>,
    /// What each member asked of the model.
    pub queries: Vec<Queries>,
}

impl AutoAttack {
    /// The published standard version.
    ///
    /// | member | L∞, L2 | L1 |
    /// |---|---|---|
    /// | `apgd-ce` | 100 steps | 5 restarts of 100 steps in a shrinking ball |
    /// | `apgd-t` | 9 classes of 100 steps each | 5 classes of 100 steps in a shrinking ball |
    /// | `fab-t` | 9 classes of 100 steps each | the same |
    /// | `square` | 5000 queries | the same |
    ///
    /// Of fewer classes all others are targets.
    pub fn standard(threat: Threat) -> Self {
        let [cross_entropy, targeted] = match threat.norm {
            Norm::Linf | Norm::L2 => [Apgd::cross_entropy(threat), Apgd::targeted(threat)],
            Norm::L1 => [
                Apgd::cross_entropy(threat).with_restarts(5),
                Apgd::targeted(threat).with_target_classes(5),
            ]
            .map(|attack| attack.with_shrinking_ball(true)),
        };
        Self {
            name: "autoattack",
            threat,
            members: vec![
                Box::new(cross_entropy.with_early_stop(true)),
                Box::new(targeted.with_early_stop(true)),
                Box::new(FabT::new(threat).with_early_stop(true)),
                Box::new(Square::new(threat).with_rescaled_schedule(false)),
            ],
        }
    }

    /// The same members at about a sixth of the passes forward and an eighth of those backward, for
    /// use while a defence is developed: `apgd-ce` of 40 steps, `apgd-t` of 40 steps towards each
    /// of 3 classes, `fab-t` of 20 steps towards each of 3 classes, `square` of 1000 queries with
    /// its schedule compressed to these. All start once; in L1 both ascents use the shrinking ball.
    ///
    /// What it leaves is an upper bound of what [`AutoAttack::standard`] leaves, so publish the
    /// latter.
    pub fn cheap(threat: Threat) -> Self {
        let ascents = [Apgd::cross_entropy(threat), Apgd::targeted(threat)];
        let [cross_entropy, targeted] = ascents.map(|attack| {
            let attack = attack.with_steps(40).with_target_classes(3);
            attack
                .with_shrinking_ball(threat.norm == Norm::L1)
                .with_early_stop(true)
        });
        let boundary = FabT::new(threat).with_steps(20).with_target_classes(3);
        Self {
            name: "autoattack-cheap",
            threat,
            members: vec![
                Box::new(cross_entropy),
                Box::new(targeted),
                Box::new(boundary.with_early_stop(true)),
                Box::new(Square::new(threat).with_queries(1000)),
            ],
        }
    }

    /// Its members in their order.
    pub fn members(&self) -> &[Box<dyn Attack>] {
        &self.members
    }

    /// Runs all members, and tells which succeeded on which image.
    ///
    /// # Errors
    /// As [`AttackBatch::check`], and what the model reports.
    pub fn report(
        &self,
        model: &dyn AttackedModel,
        batch: &AttackBatch<'_>,
    ) -> Result<AttackReport, Error> {
        batch.check(model)?;
        let mut standing = failures(batch, &model.logits(batch.images())?);
        let mut report = AttackReport {
            images: batch.images().clone(),
            verdicts: vec![Verdict::ErredBefore; batch.len()],
            queries: Vec::with_capacity(self.members.len()),
        };
        for (place, member) in self.members.iter().enumerate() {
            let counted = Counted::new(model);
            if !standing.is_empty() {
                let part = batch.select(&standing);
                let found = member.run(&counted, &part)?;
                let left = failures(&part, &model.logits(&found)?);
                let mut fooled = vec![true; part.len()];
                left.iter().for_each(|&index| fooled[index] = false);
                for (index, &image) in standing.iter().enumerate() {
                    if fooled[index] {
                        report.verdicts[image] = Verdict::FooledBy(place);
                    }
                    if fooled[index] || place == 0 {
                        let found = found.image(index);
                        report.images.image_mut(image).copy_from_slice(found);
                    }
                }
                standing = left.iter().map(|&index| standing[index]).collect();
            }
            report.queries.push(counted.queries());
        }
        for image in standing {
            report.verdicts[image] = Verdict::Stands;
        }
        Ok(report)
    }
}

impl Attack for AutoAttack {
    fn name(&self) -> &'static str {
        self.name
    }

    fn threat(&self) -> Option<Threat> {
        Some(self.threat)
    }

    fn attack(&self, model: &dyn AttackedModel, batch: &AttackBatch<'_>) -> Result<Images, Error> {
        Ok(self.report(model, batch)?.images)
    }
}
